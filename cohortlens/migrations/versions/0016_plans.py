"""Plans, entitlements, and the limits on customers and users."""

from __future__ import annotations

revision = "0016_plans"
down_revision = "0015_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
