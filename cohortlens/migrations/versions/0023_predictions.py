"""Tasks, bases and levels of stored predictions."""

from __future__ import annotations

revision = "0023_predictions"
down_revision = "0022_sequences"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
