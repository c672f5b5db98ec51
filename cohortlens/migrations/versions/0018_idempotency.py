"""Requests that may be repeated: their keys and their answers."""

from __future__ import annotations

revision = "0018_idempotency"
down_revision = "0017_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
