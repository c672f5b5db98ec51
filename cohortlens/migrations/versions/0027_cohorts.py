"""What cohorts are read from."""

from __future__ import annotations

revision = "0027_cohorts"
down_revision = "0026_registry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
