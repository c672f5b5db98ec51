"""${message}."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables."""
    run_script("")
