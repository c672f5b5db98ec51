"""What goes on beside the requests: the count of those that are overdue, and links that open nothing more."""

from __future__ import annotations

from prometheus_client import Gauge
from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.telemetry import REGISTRY

_OVERDUE = Gauge(
    "consent_data_requests_overdue",
    "Requests of persons that should have been answered by now, of all tenants",
    registry=REGISTRY,
)
_PAGE = 1000


class DataRequestUpkeep:
    """Run by jobs alone: it looks at all tenants.

    Args:
        db: The database as the role of jobs.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self) -> int:
        """Count what is overdue, and delete links that are over; answers how many of these."""
        async with self._db.transaction() as tx:
            _OVERDUE.set(int(await tx.scalar(text("SELECT app.data_requests_overdue()")) or 0))
        gone = 0
        while True:
            async with self._db.transaction() as tx:
                hit = int(await tx.scalar(text("SELECT app.consent_links_purge(:n)"), {"n": _PAGE}) or 0)
            gone += hit
            if hit < _PAGE:
                return gone
