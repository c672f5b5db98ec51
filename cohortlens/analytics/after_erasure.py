"""Trainings without the persons who were erased: once for all that are waiting, once a day at most.

An erasure notes the active models whose training may have known the person (``app.train_without``). From then
on no snapshot contains them, so a training that begins later and ends well settles it. Its version still has
to win against the one it would replace; what an old one goes on serving with are numbers without a name.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.models import WorkState
from cohortlens.analytics.subjects import CustomerData
from cohortlens.analytics.training import TrainingService
from cohortlens.analytics.training_runs import Cause, TrainingRunsRepository
from cohortlens.analytics.training_work import MIN_CUSTOMERS
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.customers.usability import Activity
from cohortlens.registry.service import RegistryService

AT_MOST_EVERY = timedelta(days=1)
"""Time between the last training of a model and one after an erasure."""
_PAGE = 200
_NOBODY = UUID(int=0)
_DUE = "SELECT app.tenants_to_train_after_erasure(:after, :limit)"
_WANTED = (
    "SELECT model, since FROM trainings_after_erasure WHERE tenant_id = app.tid() ORDER BY model FOR UPDATE"
)
_SETTLED = "DELETE FROM trainings_after_erasure WHERE tenant_id = app.tid() AND model = :model"


class TrainingAfterErasure:
    """Trains models again that knew somebody who was erased; every plan has it.

    Args:
        db: The database.
        customers: Tells how many customers there are.
        registry: Tells which models serve.
        training: Stores runs.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        customers: CustomerData,
        registry: RegistryService,
        training: TrainingService,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._training = training
        self._clock = clock

    async def run(self) -> int:
        """Start what is due, of all tenants; answers how many trainings began."""
        after, started = _NOBODY, 0
        while True:
            async with self._db.transaction() as tx:
                rows = await tx.scalars(text(_DUE), {"after": after, "limit": _PAGE})
                due = [TenantId(plain_uuid(value)) for value in rows]
            for tenant_id in due:
                started += await self._start(tenant_id)
            if len(due) < _PAGE:
                return started
            after = due[-1]

    async def _start(self, tenant_id: TenantId) -> int:
        customers, _ = await self._customers.count_customers(tenant_id, Activity.TRAINING)
        started = 0
        async with self._db.tenant_transaction(tenant_id) as tx:
            inactive = await self._registry.inactive_models(tx)
            for model, since in (await tx.execute(text(_WANTED))).all():
                if model in inactive or await self._is_settled(tx, model, since):
                    await tx.execute(text(_SETTLED), {"model": model})
                elif customers >= MIN_CUSTOMERS and await self._is_due(tx, model):
                    run_id = await self._training.start_by_itself(tx, model, Cause.ERASURE)
                    started += run_id is not None
        return started

    async def _is_settled(self, tx: AsyncConnection, model: str, since: datetime) -> bool:
        last = await TrainingRunsRepository(tx).last(model)
        if last is None or last.state is not WorkState.SUCCEEDED or last.started_at is None:
            return False
        return last.started_at > since

    async def _is_due(self, tx: AsyncConnection, model: str) -> bool:
        last = await TrainingRunsRepository(tx).last(model)
        if last is None:
            return True
        return last.state.is_final and self._clock() - last.created_at >= AT_MOST_EVERY
