"""Segments that keep their keys from run to run."""

from __future__ import annotations

revision = "0024_segmentation"
down_revision = "0023_predictions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
