"""What each tenant may do, from memory, at most 2 s old.

A process remembers the entitlements it was asked for and reads once a second which have changed. PostgreSQL
is the only source; through Redis processes only hear at once that there is something to read. See ADR 0031.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import Entitlement
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Internal, Unavailable
from cohortlens.core.feeds import READING_S, Feed
from cohortlens.core.redis import RedisClient, end_tasks, key
from cohortlens.core.telemetry import get_logger

FRESH_S = 1.8
"""How old an answer may be: what was committed two seconds ago must be known, reading included."""
TRUSTED_S = 60.0
"""How old an answer may be while PostgreSQL does not answer."""
_PERIOD_S = 0.8
_KEPT_MAX = 50_000
_CHANNEL = key("entitlement", "changes")
_LOG = get_logger(__name__)


class Entitlements:
    """The entitlements that this process knows.

    Args:
        db: Database as the runtime role.
        redis: Tells that there is something to read; None: the reading of each second is enough.
        feed: Reads the changes: one of its own keeps a busy pool from making the news late. ``db`` when None.
    """

    def __init__(self, db: Database, redis: RedisClient | None = None, feed: Database | None = None) -> None:
        self._db = db
        self._feed_db = feed or db
        self._feed = Feed("entitlements", _CHANNEL, self._read, redis)
        self._known: dict[UUID, tuple[Entitlement, float]] = {}
        self._loading: dict[UUID, asyncio.Task[None]] = {}
        self._watermark: str | None = None
        self._read_at = self._fresh_until = float("-inf")
        self._avoid_until = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow the changes; without it every answer that is not fresh is read on demand."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._feed.listen())]

    async def close(self) -> None:
        """End what runs beside the calls; call before the clients are closed."""
        await end_tasks((*self._tasks, *self._loading.values()))
        await self._feed.close()
        self._tasks.clear()

    def known(self, tenant_id: UUID) -> Entitlement | None:
        """The entitlement of a tenant, if it is known and fresh; else ask ``of``."""
        found = self._known.get(tenant_id)
        if found is None:
            return None
        now = time.monotonic()
        return found[0] if now < self._fresh_until and now < found[1] else None

    async def of(self, tenant_id: UUID) -> Entitlement:
        """The entitlement of a tenant.

        Raises:
            Internal: The tenant has none.
            Unavailable: PostgreSQL does not answer, and what is known is older than a minute.
        """
        found = self.known(tenant_id)
        return found if found is not None else await self._asked(tenant_id)

    async def publish(self) -> None:
        """Know what was committed and tell the other processes; call after the commit. Never fails."""
        await self._feed.publish()

    async def _asked(self, tenant_id: UUID) -> Entitlement:
        now = time.monotonic()
        found = self._known.get(tenant_id)
        may_be_old = found is not None and now - self._read_at < TRUSTED_S and now < found[1]
        if not (may_be_old and now < self._avoid_until):
            try:
                await self._learned(tenant_id)
            except (CohortLensError, TimeoutError) as error:
                if not may_be_old:
                    raise _unavailable(error) from None
                self._avoid_until = time.monotonic() + _PERIOD_S
        known = self._known.get(tenant_id)
        if known is None:
            _LOG.error("entitlement_missing", tenant_id=str(tenant_id))
            raise Internal("the tenant has no entitlement")
        return known[0]

    async def _learned(self, tenant_id: UUID) -> None:
        """Read the changes if they are not fresh, then the tenant if it is not known or has lapsed."""
        if time.monotonic() >= self._fresh_until:
            await asyncio.shield(self._feed.joined())
        found = self._known.get(tenant_id)
        if found is not None and time.monotonic() < found[1]:
            return
        loading = self._loading.get(tenant_id)
        if loading is None:
            # From here on readings of changes keep what they see of it: it may be newer than the load.
            loading = self._loading[tenant_id] = asyncio.create_task(self._load(tenant_id, found))
            loading.add_done_callback(self._feed.seen)
        await asyncio.shield(loading)

    async def _load(self, tenant_id: UUID, lapsed: tuple[Entitlement, float] | None) -> None:
        try:
            async with asyncio.timeout(READING_S), self._db.transaction() as tx:
                rows = EntitlementRows(tx)
                if lapsed is not None:
                    await rows.settle(tenant_id)
                began = time.monotonic()
                found = await rows.get(tenant_id)
            if found is not None:
                self._learn(*found, began)
        finally:
            del self._loading[tenant_id]

    def _learn(self, entitlement: Entitlement, lapses_in_s: float | None, began: float) -> None:
        lapses_at = float("inf") if lapses_in_s is None else began + lapses_in_s
        before = self._known.get(entitlement.tenant_id)
        if before is None and len(self._known) >= _KEPT_MAX:
            del self._known[next(iter(self._known))]
        if before is None or before[0].version <= entitlement.version:
            self._known[entitlement.tenant_id] = (entitlement, lapses_at)

    async def _read(self) -> None:
        began = time.monotonic()
        async with self._feed_db.transaction() as tx:
            watermark, changed = await EntitlementRows(tx).since(self._watermark)
        for entitlement, lapses_in_s in changed:
            if entitlement.tenant_id in self._known or entitlement.tenant_id in self._loading:
                self._learn(entitlement, lapses_in_s, began)
        self._watermark = watermark
        self._read_at, self._fresh_until = began, began + FRESH_S

    async def _follow(self) -> None:
        while True:
            await self._feed.turn(_PERIOD_S)


def _unavailable(error: BaseException) -> Unavailable:
    _LOG.warning("entitlement_unknown", error=str(error) or type(error).__name__)
    return Unavailable(
        "what the plan allows cannot be told; try again", reason="DATABASE_UNAVAILABLE", retry_delay_s=1.0
    )
