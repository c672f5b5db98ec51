"""Which version was live when, and why a training began."""

from __future__ import annotations

revision = "0026_registry"
down_revision = "0025_drift"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
