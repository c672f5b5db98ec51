"""Baselines and drift reports."""

from __future__ import annotations

revision = "0025_drift"
down_revision = "0024_segmentation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
