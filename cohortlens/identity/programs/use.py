"""Notes which programs call and which are refused; in batches, off the request's path.

A key that calls a thousand times a second is noted once a minute. A flood of bad keys writes a bounded number
of audit rows: one a minute for each key and reason, and no more than a hundred a minute altogether.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId
from cohortlens.core.telemetry import get_logger

NOTED_EVERY_S = 60.0
REFUSALS_A_MINUTE = 100
_BATCH_S = 0.5
_RETRY_S = 5.0
_PENDING_MAX = 10_000
_REMEMBERED = 50_000
_LOG = get_logger(__name__)
_KeyT = TypeVar("_KeyT")


@dataclass(frozen=True)
class Refusal:
    """A program that was known and refused.

    Attributes:
        tenant_id: Its tenant, whose log tells of it.
        kind: api_key or service_account.
        program_id: The key or account.
        reason: Why, in upper snake case.
        address: From where it called.
    """

    tenant_id: TenantId
    kind: str
    program_id: UUID
    reason: str
    address: str


class ProgramUse:
    """Collects uses and refusals and writes them half a second later.

    Args:
        db: Database as the runtime role.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: OrderedDict[UUID, float] = OrderedDict()
        self._told: OrderedDict[tuple[UUID, str], float] = OrderedDict()
        self._used: set[UUID] = set()
        self._refused: list[Refusal] = []
        self._minute = float("-inf")
        self._in_minute = 0
        self._writer: asyncio.Task[None] | None = None

    def note(self, program_id: UUID, now: float) -> None:
        """A program made a call; costs nothing when that was noted within a minute.

        Args:
            program_id: API key or service account.
            now: Monotonic time.
        """
        if now - self._noted.get(program_id, float("-inf")) < NOTED_EVERY_S:
            return
        _remember(self._noted, program_id, now)
        if len(self._used) < _PENDING_MAX:
            self._used.add(program_id)
            self._write_soon()

    def refuse(self, refusal: Refusal) -> None:
        """A known program was refused; becomes an audit row unless there are too many."""
        now, key = time.monotonic(), (refusal.program_id, refusal.reason)
        if now - self._told.get(key, float("-inf")) < NOTED_EVERY_S:
            return
        if now - self._minute >= NOTED_EVERY_S:
            self._minute, self._in_minute = now, 0
        if self._in_minute >= REFUSALS_A_MINUTE:
            return
        self._in_minute += 1
        _remember(self._told, key, now)
        self._refused.append(refusal)
        self._write_soon()

    async def close(self) -> None:
        """Write what is pending, once; gives up when the database does not answer."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
        if self._used or self._refused:
            await self._flush()

    def _write_soon(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        delay = _BATCH_S
        while self._used or self._refused:
            await asyncio.sleep(delay)
            delay = _BATCH_S if await self._flush() else _RETRY_S

    async def _flush(self) -> bool:
        used, self._used = self._used, set()
        try:
            if used:
                await self._write_used(used)
                used = set()
            while self._refused:
                await self._write_refusal(self._refused[0])
                self._refused.pop(0)
        except CohortLensError as error:
            _LOG.warning("program_use_not_written", reason=error.reason, pending=len(used))
            self._used |= used
            return False
        except asyncio.CancelledError:
            self._used |= used
            raise
        return True

    async def _write_used(self, used: set[UUID]) -> None:
        async with self._db.transaction() as tx:
            await tx.execute(text("SELECT app.auth_programs_used(CAST(:ids AS uuid[]))"), {"ids": list(used)})

    async def _write_refusal(self, refusal: Refusal) -> None:
        who = Actor(refusal.kind, str(refusal.program_id), address=refusal.address)
        async with self._db.tenant_transaction(refusal.tenant_id) as tx:
            await AuditTrail(tx).append(
                who,
                f"identity.{refusal.kind}.refused",
                resource=f"{_COLLECTIONS[refusal.kind]}/{refusal.program_id}",
                outcome="DENIED",
                details={"reason": refusal.reason},
            )


_COLLECTIONS = {"api_key": "apiKeys", "service_account": "serviceAccounts"}


def _remember(seen: OrderedDict[_KeyT, float], key: _KeyT, now: float) -> None:
    seen[key] = now
    seen.move_to_end(key)
    if len(seen) > _REMEMBERED:
        seen.popitem(last=False)
