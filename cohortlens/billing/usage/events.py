"""Usage events: a bounded queue, a spool on disk, one insert for many; off the path of the calls.

Events of one second that differ in nothing but their request become one on the way to the spool.
Detail can be lost, the limit cannot: a crash loses what was not written to the spool yet, at most a quarter
of a second of it; a full queue or spool loses what comes, counted by ``usage_events_lost_total``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.usage.models import UsageEvent
from cohortlens.billing.usage.spool import Batch, Spool, SpoolFull
from cohortlens.core.counting import Counter
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import uuid7
from cohortlens.core.telemetry import REGISTRY, get_logger

QUEUE_MAX = 50_000
BATCH_WAKES, BATCH_MAX = 500, 2_000
EVERY_S = 0.25
REPLAY_EVERY_S = 30.0
_RETRY_S = 1.0
_CLOSE_S = 5.0
_STORED = Counter(
    "usage_events_total", "Usage events stored, alike ones of one second as one", (), registry=REGISTRY
)
_LOST = Counter("usage_events_lost_total", "Usage events lost, by cause", ("cause",), registry=REGISTRY)
_LOG = get_logger(__name__)
_APPEND = text(
    """
SELECT app.usage_append(CAST(:spool AS uuid), CAST(:seq AS bigint), CAST(:batch AS uuid),
  CAST(:tenants AS uuid[]), CAST(:meters AS text[]), CAST(:periods AS timestamptz[]),
  CAST(:at AS timestamptz[]), CAST(:methods AS text[]), CAST(:principals AS text[]),
  CAST(:units AS integer[]), CAST(:calls AS integer[]), CAST(:outcomes AS text[]), CAST(:requests AS text[]))
"""
)
_NAMES = (
    "tenants",
    "meters",
    "periods",
    "at",
    "methods",
    "principals",
    "units",
    "calls",
    "outcomes",
    "requests",
)


class UsageEvents:
    """The queue of one process and the task that empties it.

    Args:
        db: The database.
        folder: Folder of the spools of this machine's processes.
        queue_max: Events that may wait for the disk.
    """

    def __init__(self, db: Database, folder: Path, queue_max: int = QUEUE_MAX) -> None:
        self._db = db
        self._folder = folder
        self._queue: deque[UsageEvent] = deque()
        self._queue_max = queue_max
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._spool: Spool | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to store, and take over what processes that are gone left behind."""
        self._spool = Spool.create(self._folder)
        self._tasks = [
            asyncio.create_task(self._write_forever(), name="usage-spool"),
            asyncio.create_task(self._store_forever(), name="usage-events"),
            asyncio.create_task(self._replay_forever(), name="usage-replay"),
        ]

    def note(self, event: UsageEvent) -> None:
        """Queue an event; one beyond the bound is counted and lost."""
        queue = self._queue
        if len(queue) >= self._queue_max:
            _LOST.labels("queue").inc()
            return
        queue.append(event)
        if len(queue) == BATCH_WAKES:
            self._wake.set()

    async def close(self) -> None:
        """Store what is queued, for 5 s at most; what the database does not take stays in the spool."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._write()
                await _drain(self._db, self._spool)
        except (CohortLensError, OSError, TimeoutError) as error:
            _LOG.warning("usage_events_stay", spool=str(self._spool.id), error=str(error))
        await asyncio.to_thread(self._spool.close)
        self._spool = None

    async def _write_forever(self) -> None:
        while True:
            if len(self._queue) < BATCH_WAKES:
                await self._woken()
            try:
                await self._write()
            except OSError as error:
                _LOG.error("usage_events_wait", events=len(self._queue), error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _store_forever(self) -> None:
        assert self._spool is not None
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await _drain(self._db, self._spool)
            except (CohortLensError, OSError, TimeoutError) as error:
                _LOG.warning("usage_events_wait", spool=str(self._spool.id), error=str(error))
                self._written.set()
                await asyncio.sleep(_RETRY_S)

    async def _woken(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _write(self) -> None:
        """Put what is queued on the disk."""
        spool, queue = self._spool, self._queue
        assert spool is not None
        while queue:
            events = [queue[at] for at in range(min(len(queue), BATCH_MAX))]
            try:
                await asyncio.to_thread(_put, spool, events)
            except SpoolFull:
                _LOST.labels("spool").inc(len(events))
                _LOG.error("usage_events_lost", events=len(events), cause="the spool is full")
            for _ in events:
                queue.popleft()
            self._written.set()

    async def _replay_forever(self) -> None:
        while True:
            try:
                await replay(self._db, self._folder)
            except (CohortLensError, OSError, TimeoutError) as error:
                _LOG.warning("usage_replay_waits", error=str(error))
            await asyncio.sleep(REPLAY_EVERY_S)


def folded(events: list[UsageEvent]) -> list[UsageEvent]:
    """Fold the events of one second that differ in nothing but their request: a busy caller fills no table.

    Args:
        events: Events of any tenants.

    Returns:
        Events with the same sums of units and calls by tenant, meter, period, second, method, principal and
        outcome; one that stands for several has no request id, and ended when the last of them did.
    """
    alike: dict[tuple[object, ...], list[UsageEvent]] = {}
    for event in events:
        at_s = event.at_us // 1_000_000
        key = (*event[:3], at_s, event.method, event.principal, event.outcome)
        alike.setdefault(key, []).append(event)
    return [
        group[0]
        if len(group) == 1
        else group[-1]._replace(
            units=sum(one.units for one in group), calls=sum(one.calls for one in group), request_id=""
        )
        for group in alike.values()
    ]


def _put(spool: Spool, events: list[UsageEvent]) -> None:
    spool.append(folded(events))


async def replay(db: Database, folder: Path) -> int:
    """Store what processes that are gone left in their spools; answers how many events were new."""
    stored = 0
    for spool in Spool.left_behind(folder):
        try:
            await asyncio.to_thread(spool.recover)
            stored += await _drain(db, spool)
        finally:
            spool.close()
    return stored


async def append(tx: AsyncConnection, events: list[UsageEvent]) -> None:
    """Store events with whatever else the transaction does."""
    await _append(tx, None, events)


async def _drain(db: Database, spool: Spool) -> int:
    stored = 0
    while (found := await asyncio.to_thread(spool.next)) is not None:
        batch, place = found
        async with db.transaction() as tx:
            new = await _append(tx, batch, list(batch.events))
        _STORED.labels().inc(new)
        stored += new
        await asyncio.to_thread(spool.forget, place)
    return stored


async def _append(tx: AsyncConnection, batch: Batch | None, events: list[UsageEvent]) -> int:
    columns: dict[str, Any] = dict(zip(_NAMES, map(list, zip(*events, strict=True)), strict=True))
    columns["at"] = [datetime.fromtimestamp(us / 1_000_000, UTC) for us in columns["at"]]
    named = {
        "spool": batch.spool_id if batch is not None else None,
        "seq": batch.seq if batch is not None else 0,
        "batch": batch.batch_id if batch is not None else uuid7(),
    }
    return int(await tx.scalar(_APPEND, {**named, **columns}) or 0)
