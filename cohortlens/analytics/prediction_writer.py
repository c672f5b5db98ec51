"""Stored predictions on their way into the database: calls that come together share a transaction."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from cohortlens.analytics.columns import Predictions
from cohortlens.analytics.models import ResourceMissing
from cohortlens.analytics.repository import PredictionsRepository
from cohortlens.core import idempotency
from cohortlens.core.db import Database
from cohortlens.core.idempotency import Claim, KeyTakenOver
from cohortlens.core.ids import TenantId
from cohortlens.customers.usability import ConsentRequired


class _Waiting(NamedTuple):
    """The rows of one call, what tells it of their end, and the key it holds."""

    rows: Predictions
    done: asyncio.Future[None]
    claim: Claim | None


class PredictionWriter:
    """Writes predictions so that concurrent calls of a tenant share one transaction.

    While one commit is under way, what arrives waits and goes together with the next: one insert, one commit.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[TenantId, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, tenant_id: TenantId, rows: Predictions) -> None:
        """Return once the rows are committed.

        Raises:
            ConsentRequired: A customer may not be used any more; nothing was stored.
            Unavailable: The database is away; nothing was stored.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(tenant_id)
        if waiting is not None:
            waiting.append(_Waiting(rows, done, idempotency.held()))
        else:
            self._waiting[tenant_id] = [_Waiting(rows, done, idempotency.held())]
            task = asyncio.create_task(self._drain(tenant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _drain(self, tenant_id: TenantId) -> None:
        while group := self._waiting[tenant_id]:
            self._waiting[tenant_id] = []
            try:
                await self._insert(tenant_id, group)
            except (ResourceMissing, ConsentRequired, KeyTakenOver) as error:
                await self._one_by_one(tenant_id, group, error)
            except Exception as error:
                # Whether a lost commit took place is unknown: it must not be repeated.
                for one in group:
                    if not one.done.done():
                        one.done.set_exception(error)
            else:
                for one in group:
                    if not one.done.done():
                        one.done.set_result(None)
        del self._waiting[tenant_id]

    async def _insert(self, tenant_id: TenantId, group: list[_Waiting]) -> None:
        async with self._db.tenant_transaction(tenant_id, generic_plans=True) as tx:
            if claims := [one.claim for one in group if one.claim is not None]:
                idempotency.works_for(tx, claims)
            await PredictionsRepository(tx).insert([one.rows for one in group])

    async def _one_by_one(
        self,
        tenant_id: TenantId,
        group: list[_Waiting],
        error: Exception,
    ) -> None:
        """One call is at fault, for a customer who left meanwhile or a key taken over: spare the others."""
        for one in group:
            fault: Exception | None = error
            if len(group) > 1:
                try:
                    await self._insert(tenant_id, [one])
                    fault = None
                except Exception as own:
                    fault = own
            if one.done.done():
                continue
            if fault is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(fault)
