"""Checkouts under way, planned changes of plan, and usage told to the provider."""

from __future__ import annotations

revision = "0020_subscriptions"
down_revision = "0019_payments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
