"""Brings the stack's database to the newest revision: ``python -m cohortlens.embedded.migration``.

A process of its own, so that the supervisor does not carry the migration tool's memory for ever.
"""

from __future__ import annotations

import sys

from cohortlens.embedded.settings import from_environment
from cohortlens.migrations import runner


def main() -> int:
    """Upgrade the database at ``COHORTLENS_DATABASE_ADMIN_URL``.

    Returns:
        Exit code: 0.
    """
    runner.upgrade(from_environment().database_admin_url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
