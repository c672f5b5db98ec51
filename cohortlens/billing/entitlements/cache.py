"""What each tenant may do, from memory, at most 2 s old.

A process remembers the entitlements it was asked for and reads once a second which have changed. PostgreSQL
is the only source; through Redis processes only hear at once that there is something to read. See ADR 0031.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from uuid import UUID

from redis.exceptions import RedisError

from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import Entitlement
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Internal, Unavailable
from cohortlens.core.redis import RedisClient, end_tasks, key, translated
from cohortlens.core.telemetry import get_logger

FRESH_S = 1.8
"""How old an answer may be: what was committed two seconds ago must be known, reading included."""
TRUSTED_S = 60.0
"""How old an answer may be while PostgreSQL does not answer."""
_PERIOD_S = 0.8
_READING_S = 5.0
_HINT_S = 0.25
_GATHER_S = 0.02
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
        self._feed = feed or db
        self._redis = redis
        self._known: dict[UUID, tuple[Entitlement, float]] = {}
        self._loading: dict[UUID, asyncio.Task[None]] = {}
        self._watermark: str | None = None
        self._read_at = self._fresh_until = float("-inf")
        self._avoid_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    def start(self) -> None:
        """Begin to follow the changes; without it every answer that is not fresh is read on demand."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow())]
            if self._redis is not None:
                self._tasks.append(asyncio.create_task(self._listen(self._redis)))

    async def close(self) -> None:
        """End what runs beside the calls; call before the clients are closed."""
        await end_tasks((*self._tasks, self._reading, *self._loading.values()))
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
        with contextlib.suppress(CohortLensError, TimeoutError):
            if self._reading is not None:
                # It may have begun before the commit.
                await asyncio.wait({self._reading})
            await asyncio.shield(self._joined())
        if self._redis is None:
            return
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_HINT_S):
                with translated():
                    await self._redis.publish(_CHANNEL, b"1")

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
            await asyncio.shield(self._joined())
        found = self._known.get(tenant_id)
        if found is not None and time.monotonic() < found[1]:
            return
        loading = self._loading.get(tenant_id)
        if loading is None:
            # From here on readings of changes keep what they see of it: it may be newer than the load.
            loading = self._loading[tenant_id] = asyncio.create_task(self._load(tenant_id, found))
            loading.add_done_callback(_seen)
        await asyncio.shield(loading)

    async def _load(self, tenant_id: UUID, lapsed: tuple[Entitlement, float] | None) -> None:
        try:
            async with asyncio.timeout(_READING_S), self._db.transaction() as tx:
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

    def _joined(self) -> asyncio.Task[None]:
        """The reading under way, or a new one; many callers share one."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_seen)
        return self._reading

    async def _read(self) -> None:
        began = time.monotonic()
        async with asyncio.timeout(_READING_S), self._feed.transaction() as tx:
            watermark, changed = await EntitlementRows(tx).since(self._watermark)
        for entitlement, lapses_in_s in changed:
            if entitlement.tenant_id in self._known or entitlement.tenant_id in self._loading:
                self._learn(entitlement, lapses_in_s, began)
        self._watermark = watermark
        self._read_at, self._fresh_until = began, began + FRESH_S

    async def _follow(self) -> None:
        while True:
            self._news.clear()
            with contextlib.suppress(CohortLensError, TimeoutError):
                await asyncio.shield(self._joined())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _PERIOD_S)
                await asyncio.sleep(_GATHER_S)

    async def _listen(self, redis: RedisClient) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with redis.pubsub() as pubsub:
                    await pubsub.subscribe(_CHANNEL)
                    while True:
                        if await pubsub.get_message(ignore_subscribe_messages=True, timeout=_READING_S):
                            self._news.set()
            await asyncio.sleep(_PERIOD_S)


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.warning("entitlements_not_read", error=str(error) or type(error).__name__)


def _unavailable(error: BaseException) -> Unavailable:
    _LOG.warning("entitlement_unknown", error=str(error) or type(error).__name__)
    return Unavailable(
        "what the plan allows cannot be told; try again", reason="DATABASE_UNAVAILABLE", retry_delay_s=1.0
    )
