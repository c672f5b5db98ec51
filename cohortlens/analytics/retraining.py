"""Trainings that start by themselves: by growth, by drift, by the week; and who may ask for one.

The first training of a model and those after growth are for every plan; the feature ``retraining`` adds the
schedule, the answer to drift, and calls. A training on data that the one before knew would repeat it, so none
starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.drift.models import DriftVerdict
from cohortlens.analytics.subjects import CustomerData
from cohortlens.analytics.training import TrainingService
from cohortlens.analytics.training_runs import Cause, TrainingRun, TrainingRunsRepository
from cohortlens.analytics.training_work import MIN_CUSTOMERS
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.models import Access, PlanFeatureRequired
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, TrainingRunId, plain_uuid
from cohortlens.core.telemetry import get_logger
from cohortlens.customers.models import DataState
from cohortlens.customers.usability import Activity
from cohortlens.registry.models import MODELS
from cohortlens.registry.service import RegistryService

FEATURE = "retraining"
"""Feature of plans."""

GROWTH_RATIO = 1.2
"""Purchase-days over those of the last training from which on a model is trained again."""

EVERY_S = 7 * 86_400.0
_PAGE = 200
_NOBODY = UUID(int=0)
_log = get_logger(__name__)


class Retraining:
    """Starts trainings that nobody asked for.

    Args:
        db: The database.
        customers: Tells how much data there is.
        registry: Tells which models serve.
        training: Stores runs.
        entitlements: What each tenant may do.
        catalogue: Names the plan that contains what is missing.
        every_s: Seconds between trainings by the schedule; 0 for none.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        customers: CustomerData,
        registry: RegistryService,
        training: TrainingService,
        entitlements: Entitlements,
        catalogue: Catalogue,
        *,
        every_s: float = EVERY_S,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._training = training
        self._entitlements = entitlements
        self._catalogue = catalogue
        self._every_s = every_s
        self._clock = clock

    async def check_plan(self, tenant_id: TenantId, model: str) -> None:
        """Refuse the training of a model that serves already to a plan without the feature.

        Raises:
            PlanFeatureRequired: Neither the plan nor an exception contains it.
        """
        found = await self._entitlements.of(tenant_id)
        if FEATURE in found.features:
            return
        async with self._db.tenant_transaction(tenant_id) as tx:
            inactive = await self._registry.inactive_models(tx)
        if not set((model,) if model else MODELS) <= set(inactive):
            raise PlanFeatureRequired(FEATURE, await self._catalogue.with_feature(FEATURE, found.rank))

    async def after_import(self, tenant_id: TenantId) -> list[TrainingRunId]:
        """Train what does not serve yet, and what knows much less than there is by now."""
        started = await self._training.start_first(tenant_id)
        state = await self._customers.data_state(tenant_id)

        def is_due(last: TrainingRun) -> bool:
            return state.purchase_days >= GROWTH_RATIO * (last.purchase_days or 0)

        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            for model in await self._serving(tx):
                last = await repository.last(model)
                if last is None or not last.state.is_final:
                    continue
                if last.purchase_days is None:
                    await repository.set_purchase_days(last.run_id, state.purchase_days)
                elif is_due(last):
                    started += await self._start(tx, model, Cause.GROWTH)
        return started

    async def after_drift(
        self, tenant_id: TenantId, model: str, verdict: str, report_id: UUID | None
    ) -> list[TrainingRunId]:
        """Train a model again whose drift report asks to act.

        Args:
            tenant_id: The tenant.
            model: Model of the report.
            verdict: Verdict of the report.
            report_id: The report.
        """
        if verdict != DriftVerdict.ACT or model not in MODELS:
            return []
        if not await self._may_retrain(tenant_id):
            _log.info("drift_without_retraining", tenant_id=str(tenant_id), model=model)
            return []
        return await self._start_on_new_data(tenant_id, (model,), Cause.DRIFT, report_id)

    async def run_schedule(self) -> int:
        """Train the models again whose last training is older than the schedule allows; answers how many."""
        if self._every_s <= 0:
            return 0
        before, after, started = self._clock() - timedelta(seconds=self._every_s), _NOBODY, 0
        while True:
            async with self._db.transaction() as tx:
                rows = await tx.scalars(
                    text("SELECT app.trainings_due(:before, :after, :limit)"),
                    {"before": before, "after": after, "limit": _PAGE},
                )
                due = [TenantId(plain_uuid(value)) for value in rows]
            for tenant_id in due:
                if await self._may_retrain(tenant_id):
                    started += len(await self._start_on_new_data(tenant_id, MODELS, Cause.SCHEDULE))
            if len(due) < _PAGE:
                return started
            after = due[-1]

    async def _may_retrain(self, tenant_id: TenantId) -> bool:
        found = await self._entitlements.of(tenant_id)
        return FEATURE in found.features and found.access is Access.FULL

    async def _start_on_new_data(
        self, tenant_id: TenantId, models: Sequence[str], cause: Cause, drift_report: UUID | None = None
    ) -> list[TrainingRunId]:
        if (await self._customers.count_customers(tenant_id, Activity.TRAINING))[0] < MIN_CUSTOMERS:
            return []
        state = await self._customers.data_state(tenant_id)
        started = []
        async with self._db.tenant_transaction(tenant_id) as tx:
            serving = await self._serving(tx)
            for model in models:
                last = await TrainingRunsRepository(tx).last(model)
                if model in serving and self._is_due(last, state, cause):
                    started += await self._start(tx, model, cause, drift_report)
        return started

    def _is_due(self, last: TrainingRun | None, state: DataState, cause: Cause) -> bool:
        if last is None:
            return True
        if not last.state.is_final or last.data_revision == state.revision:
            return False
        age_s = (self._clock() - last.created_at).total_seconds()
        return cause is not Cause.SCHEDULE or age_s >= self._every_s

    async def _serving(self, tx: AsyncConnection) -> list[str]:
        inactive = await self._registry.inactive_models(tx)
        return [model for model in MODELS if model not in inactive]

    async def _start(
        self, tx: AsyncConnection, model: str, cause: Cause, drift_report: UUID | None = None
    ) -> list[TrainingRunId]:
        run_id = await self._training.start_by_itself(tx, model, cause, drift_report)
        return [] if run_id is None else [run_id]
