"""Rounds in which processes race for one tenant's quota while something happens to them.

Used by ``make soak-quota`` and, a few of them, by the tests. A round starts its processes from a server that
has everything imported, so that a process costs a fork.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import asyncpg

from cohortlens.core.ids import uuid7
from load.bench.quota_process import Board, SpenderOptions, spend

LIMIT, PROCESSES, WORKERS = 1_000, 4, 16
_READY_S, _END_S = 60.0, 60.0
_BLOCK = 1  # a thousandth of 1,000 shared by four processes, at least 1


@dataclass(frozen=True)
class Round:
    """What one round showed.

    Attributes:
        kind: What happened in it.
        killed: Processes killed with -9.
        admitted: Units admitted, by period.
        limit: What each period might give at most.
        bound: Units that might get lost: reserved, and never admitted.
        reserved: What the database says was handed out, by period.
        drift: Periods whose leases do not sum up to what is reserved.
    """

    kind: str
    killed: int
    admitted: tuple[int, int]
    limit: int
    bound: int
    reserved: tuple[int, ...]
    drift: int

    @property
    def lost(self) -> int:
        """Units that were reserved and that nobody could use: forfeited with their process."""
        return sum(self.reserved) - sum(self.admitted)

    @property
    def holds(self) -> bool:
        """Whether all that is promised was kept."""
        over = max(self.admitted) > self.limit or max(self.reserved, default=0) > self.limit
        exact = self.kind not in ("plain", "upgrade") or self.admitted[0] == self.limit
        return not over and exact and 0 <= self.lost <= self.bound and not self.drift


class Arena:
    """Where rounds are played.

    Args:
        superuser: PostgreSQL as superuser: makes tenants, changes their plans.
        runtime: PostgreSQL as the runtime role, for the processes.
        restart: Restarts PostgreSQL without a goodbye; None where it cannot be.
        seed: Of what is random.
    """

    def __init__(
        self, superuser: str, runtime: str, restart: Callable[[], None] | None = None, seed: int = 1
    ) -> None:
        self._superuser = superuser
        self._runtime = runtime
        self._restart = restart
        self._random = random.Random(seed)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["load.bench.quota_process"])

    async def play(self, kind: str) -> Round:
        """One round: plain, kill, upgrade, downgrade, period or restart."""
        tenant = uuid7()
        await self._sql(
            "SELECT app.auth_register($1, $2, 'Soak', $3, 'none', '2026-11')",
            tenant,
            uuid7(),
            f"{tenant}@soak.example",
        )
        await self._limit(tenant, LIMIT)
        with tempfile.TemporaryDirectory(prefix="cl-quota-") as folder:
            board = Board(Path(folder) / "board", PROCESSES)
            lasts = kind in ("upgrade", "downgrade", "period")
            processes = [
                self._started(tenant.hex, Path(folder) / "board", place, kind, lasts=lasts)
                for place in range(PROCESSES)
            ]
            try:
                await _until(lambda: board.total(3) == PROCESSES, _READY_S)
                happen: dict[str, Callable[..., Awaitable[tuple[int, int]]]] = {
                    "plain": self._nothing,
                    "kill": self._kill,
                    "upgrade": self._upgrade,
                    "downgrade": self._downgrade,
                    "period": self._period,
                    "restart": self._restarted,
                }
                limit, bound = await happen[kind](tenant, board, processes)
                await _until(lambda: not any(one.is_alive() for one in processes), _END_S)
            finally:
                for one in processes:
                    one.kill()
                    one.join()
            return await self._seen(kind, tenant, board, processes, limit, bound)

    async def _seen(
        self, kind: str, tenant: object, board: Board, processes: list[BaseProcess], limit: int, bound: int
    ) -> Round:
        rows = await self._rows(
            "SELECT reserved FROM api_usage WHERE tenant_id = $1 ORDER BY period_start", tenant
        )
        drift = await self._rows("SELECT 1 FROM app.quota_drift() WHERE tenant_id = $1", tenant)
        killed = sum(one.exitcode == -signal.SIGKILL for one in processes)
        admitted = (board.total(0), board.total(1))
        return Round(kind, killed, admitted, limit, bound, tuple(row[0] for row in rows), len(drift))

    def _started(self, tenant: str, board: Path, place: int, kind: str, *, lasts: bool) -> BaseProcess:
        options = SpenderOptions(
            self._runtime, tenant, str(board), place, PROCESSES, WORKERS, kind in ("kill", "restart"), lasts
        )
        process = self._context.Process(target=spend, args=(options,), daemon=True)
        process.start()
        return process

    async def _nothing(self, _: object, board: Board, __: list[BaseProcess]) -> tuple[int, int]:
        board.say(1)
        return LIMIT, 0

    async def _kill(self, _: object, board: Board, processes: list[BaseProcess]) -> tuple[int, int]:
        moment, victim = self._random.randint(0, LIMIT * 9 // 10), self._random.choice(processes)
        board.say(1)
        until = time.monotonic() + _END_S
        while board.total(0) < moment and any(one.is_alive() for one in processes):
            if time.monotonic() > until:
                raise TimeoutError("the processes neither spend nor end")
            await asyncio.sleep(0.0005)
        victim.kill()
        return LIMIT, _BLOCK + WORKERS

    async def _upgrade(self, tenant: object, board: Board, _: list[BaseProcess]) -> tuple[int, int]:
        board.say(1)
        await _until(lambda: board.total(0) >= LIMIT // 2, _END_S)
        await self._limit(tenant, LIMIT + LIMIT // 2)
        await _until(lambda: board.total(0) >= LIMIT + LIMIT // 2, _END_S)
        board.say(2)
        return LIMIT + LIMIT // 2, 0

    async def _downgrade(self, tenant: object, board: Board, _: list[BaseProcess]) -> tuple[int, int]:
        board.say(1)
        await _until(lambda: board.total(0) >= LIMIT // 4, _END_S)
        await self._limit(tenant, LIMIT // 2)
        (row,) = await self._rows("SELECT max(reserved) FROM api_usage WHERE tenant_id = $1", tenant)
        # Grants whose statement began before the change may still commit: one for each process.
        most = max(LIMIT // 2, row[0] + PROCESSES * (_BLOCK + WORKERS))
        await _until(lambda: board.total(2) > 0, _END_S)
        await asyncio.sleep(2.0)
        board.say(2)
        return min(most, LIMIT), 0

    async def _period(self, tenant: object, board: Board, _: list[BaseProcess]) -> tuple[int, int]:
        await self._sql(
            "UPDATE entitlements SET anchor = now() - interval '1 month' + interval '2 seconds',"
            " version = version + 1 WHERE tenant_id = $1",
            tenant,
        )
        board.say(1)
        await _until(lambda: board.total(1) >= LIMIT, _END_S)
        board.say(2)
        return LIMIT, 0

    async def _restarted(self, _: object, board: Board, __: list[BaseProcess]) -> tuple[int, int]:
        if self._restart is None:
            raise ValueError("this PostgreSQL cannot be restarted")
        board.say(1)
        await _until(lambda: board.total(0) >= self._random.randint(1, LIMIT // 2), _END_S)
        await asyncio.to_thread(self._restart)
        # Whoever ends while the server is away cannot give back.
        return LIMIT, PROCESSES * (_BLOCK + WORKERS)

    async def _limit(self, tenant: object, limit: int) -> None:
        await self._sql(
            "UPDATE entitlements SET max_api_calls_per_month = $2, version = version + 1,"
            " xid = pg_current_xact_id() WHERE tenant_id = $1",
            tenant,
            limit,
        )

    async def _sql(self, query: str, *values: object) -> None:
        await self._rows(query, *values)

    async def _rows(self, query: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._superuser)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
        finally:
            await connection.close()
        return rows


async def _until(probe: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > end:
            raise TimeoutError("the processes of a round do not come on")
        await asyncio.sleep(0.002)
