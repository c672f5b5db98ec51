"""The month's quota, its leases, and what was used."""

from __future__ import annotations

revision = "0017_usage"
down_revision = "0016_plans"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
