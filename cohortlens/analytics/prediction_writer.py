"""Stored predictions on their way into the database: calls that come together share a transaction."""

from __future__ import annotations

import asyncio

from cohortlens.analytics.columns import Predictions
from cohortlens.analytics.models import ResourceMissing
from cohortlens.analytics.repository import PredictionsRepository
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId


class PredictionWriter:
    """Writes predictions so that concurrent calls of a tenant share one transaction.

    While one commit is under way, what arrives waits and goes together with the next: one insert, one commit.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[TenantId, list[tuple[Predictions, asyncio.Future[None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, tenant_id: TenantId, rows: Predictions) -> None:
        """Return once the rows are committed.

        Raises:
            Unavailable: The database is away; nothing was stored.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(tenant_id)
        if waiting is not None:
            waiting.append((rows, done))
        else:
            self._waiting[tenant_id] = [(rows, done)]
            task = asyncio.create_task(self._drain(tenant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _drain(self, tenant_id: TenantId) -> None:
        while group := self._waiting[tenant_id]:
            self._waiting[tenant_id] = []
            try:
                async with self._db.tenant_transaction(tenant_id) as tx:
                    await PredictionsRepository(tx).insert([rows for rows, _ in group])
            except ResourceMissing as error:
                await self._one_by_one(tenant_id, group, error)
            except Exception as error:
                # Whether a lost commit took place is unknown: it must not be repeated.
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in group:
                    if not done.done():
                        done.set_result(None)
        del self._waiting[tenant_id]

    async def _one_by_one(
        self,
        tenant_id: TenantId,
        group: list[tuple[Predictions, asyncio.Future[None]]],
        error: Exception,
    ) -> None:
        """One call's rows are at fault, those of a customer deleted meanwhile: spare the others."""
        for rows, done in group:
            fault: Exception | None = error
            if len(group) > 1:
                try:
                    async with self._db.tenant_transaction(tenant_id) as tx:
                        await PredictionsRepository(tx).insert([rows])
                    fault = None
                except Exception as own:
                    fault = own
            if done.done():
                continue
            if fault is None:
                done.set_result(None)
            else:
                done.set_exception(fault)
