"""A process that spends the quota of one tenant with several workers, until nothing is left or it is killed.

It counts what it admits in memory that outlives it: a figure is raised the moment a unit is admitted, before
anything else can happen, so a kill -9 loses none of them.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.usage.models import QuotaBackendUnavailable, QuotaExceeded
from cohortlens.billing.usage.quota import MonthlyQuota
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId

SLOT = struct.Struct("=qqqq")
"""Figures of a process: admitted in the first period, in later ones, refused workers, whether it is ready."""
_RELEASE_EVERY = 7
_PAUSE_S = 0.01


@dataclass(frozen=True)
class SpenderOptions:
    """What a process needs to know.

    Attributes:
        database: PostgreSQL as the runtime role.
        tenant: The tenant, hex.
        board: File of the figures.
        place: Which figures are this process's.
        processes: How many spend.
        workers: Workers of this process.
        fails: Whether some calls fail by a fault of ours and give their unit back.
        lasts: Whether workers go on after they were refused, until the process is told to stop.
    """

    database: str
    tenant: str
    board: str
    place: int
    processes: int
    workers: int
    fails: bool
    lasts: bool


class Board:
    """Figures of all processes in a file that each of them maps.

    Args:
        path: The file.
        processes: How many have figures; makes the file when it is not there.
    """

    def __init__(self, path: Path, processes: int) -> None:
        size = SLOT.size * processes + 1
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._processes = processes

    def add(self, place: int, figure: int, amount: int) -> None:
        """Raise a figure of a process."""
        at = SLOT.size * place + 8 * figure
        (value,) = struct.unpack_from("=q", self._map, at)
        struct.pack_into("=q", self._map, at, value + amount)

    def total(self, figure: int) -> int:
        """Sum of a figure over the processes."""
        return sum(SLOT.unpack_from(self._map, SLOT.size * place)[figure] for place in range(self._processes))

    def say(self, word: int) -> None:
        """Tell all processes: 1 to begin, 2 to stop."""
        self._map[-1] = word

    def wait(self) -> None:
        """Wait until something is told."""
        while not self.word:
            time.sleep(0.001)

    @property
    def word(self) -> int:
        """What was told last."""
        return self._map[-1]


def spend(options: SpenderOptions) -> None:
    """Run the process to its end."""
    asyncio.run(_spend(options))


async def _spend(options: SpenderOptions) -> None:
    board = Board(Path(options.board), options.processes)
    db, feed = Database(options.database, 2), Database(options.database, 1)
    entitlements = Entitlements(feed)
    entitlements.start()
    tenant_id = TenantId(UUID(options.tenant))
    await entitlements.of(tenant_id)
    quota = MonthlyQuota(db, entitlements, process_id=f"spender-{options.place}", processes=options.processes)
    quota.start()
    board.add(options.place, 3, 1)
    await asyncio.to_thread(board.wait)
    follower = asyncio.create_task(_follow(entitlements, tenant_id))
    await asyncio.gather(*(_work(quota, tenant_id, board, options, at) for at in range(options.workers)))
    follower.cancel()
    await quota.close()
    await entitlements.close()
    await db.close()
    await feed.close()


async def _follow(entitlements: Entitlements, tenant_id: TenantId) -> None:
    """Ask as the chain does at each call: the cache loads only what it is asked for."""
    while True:
        try:
            await entitlements.of(tenant_id)
        except CohortLensError:
            await asyncio.sleep(_PAUSE_S)
        await asyncio.sleep(_PAUSE_S)


async def _work(
    quota: MonthlyQuota, tenant_id: TenantId, board: Board, options: SpenderOptions, worker: int
) -> None:
    first, turn = None, worker
    while board.word != 2:
        try:
            spent = quota.try_spend(tenant_id, 1) or await quota.reserve(tenant_id, 1)
        except QuotaExceeded:
            board.add(options.place, 2, 1)
            if not options.lasts:
                return
            await asyncio.sleep(_PAUSE_S)
            continue
        except QuotaBackendUnavailable:
            await asyncio.sleep(_PAUSE_S)
            continue
        lease = spent[0][0] if isinstance(spent, tuple) else spent
        first = first or lease.period_start
        figure = 0 if lease.period_start == first else 1
        board.add(options.place, figure, 1)
        turn += 1
        await asyncio.sleep(0)
        if options.fails and turn % _RELEASE_EVERY == 0:
            quota.release(spent, 1)
            board.add(options.place, figure, -1)
