"""Weekly sequences beside the stored features."""

from __future__ import annotations

revision = "0022_sequences"
down_revision = "0021_charges_of_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
