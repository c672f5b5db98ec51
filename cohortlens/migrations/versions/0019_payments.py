"""What the payment provider tells: its events, subscriptions and invoices."""

from __future__ import annotations

revision = "0019_payments"
down_revision = "0018_idempotency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
