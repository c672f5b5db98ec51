"""Tells the database which generation of a session is in use, in batches and off the request's path.

A refresh whose answer was lost may be repeated only while nobody has used the child token.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import SessionId
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.sessions.rows import SessionLookups

_BATCH_S = 0.1
_RETRY_S = 1.0
_REMEMBERED = 50_000
_LOG = get_logger(__name__)


class UsedGenerations:
    """Collects (session, generation) pairs and writes them at most 0.25 s later.

    Args:
        db: Database as the runtime role.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: OrderedDict[SessionId, int] = OrderedDict()
        self._pending: dict[SessionId, int] = {}
        self._writer: asyncio.Task[None] | None = None

    def note(self, session_id: SessionId, generation: int) -> None:
        """An access token of this generation was verified; costs nothing when that is known."""
        if self._seen.get(session_id, -1) >= generation:
            return
        self._seen[session_id] = generation
        self._seen.move_to_end(session_id)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._pending[session_id] = generation
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what is pending, once; gives up when the database does not answer."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
        if self._pending:
            await self._flush()

    async def _write(self) -> None:
        delay = _BATCH_S
        while self._pending:
            await asyncio.sleep(delay)
            delay = _BATCH_S if await self._flush() else _RETRY_S

    async def _flush(self) -> bool:
        batch, self._pending = self._pending, {}
        try:
            async with self._db.transaction() as tx:
                await SessionLookups(tx).mark_used(batch)
        except CohortLensError as error:
            _LOG.warning("used_generations_not_written", reason=error.reason, pending=len(batch))
            self._pending = batch | self._pending
            return False
        except asyncio.CancelledError:
            self._pending = batch | self._pending
            raise
        return True
