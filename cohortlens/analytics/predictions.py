"""Predict: rows in, values with intervals out; those of customers are stored before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import numpy as np

from cohortlens.analytics.models import (
    PURCHASE_DAYS_UNIT,
    HorizonUnsupported,
    Prediction,
    ResourceMissing,
    Rows,
    StoredPrediction,
    Subjects,
    Task,
    created_at_of,
)
from cohortlens.analytics.ports import Features, InferenceClient, Scores
from cohortlens.analytics.repository import PredictionsRepository
from cohortlens.analytics.serving import serving
from cohortlens.analytics.subjects import HORIZON, CustomerData, rows_of
from cohortlens.contracts.features import SCHEMA, snapshot_id
from cohortlens.core.clock import now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, Internal
from cohortlens.core.ids import CustomerId, PredictionId, TenantId, uuid7
from cohortlens.registry.models import PREDICTION, ModelVersion
from cohortlens.registry.service import RegistryService


class PredictionsService:
    """Use cases of predictions.

    Args:
        db: The database.
        customers: Gives features of customers.
        registry: Gives the active version.
        client: Runs it.
    """

    def __init__(
        self, db: Database, customers: CustomerData, registry: RegistryService, client: InferenceClient
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._client = client
        self._writer = PredictionWriter(db)

    async def predict(
        self, ctx: RequestContext, task: Task, subjects: Subjects, horizon_days: int = 0
    ) -> list[Prediction]:
        """Predict for each subject, in the order given.

        Args:
            ctx: The request.
            task: What to predict.
            subjects: Customers or vectors.
            horizon_days: One of the model's horizons; its longest when 0.

        Raises:
            SubjectsInvalid, VectorInvalid, HorizonUnsupported: See their texts.
            NoActiveModel: Nothing is trained yet.
            NotFound: An unknown customer.
            Unavailable: No worker, too many rows, or no database.
        """
        rows = await rows_of(ctx, subjects, self._customers)
        version = await self._registry.active(ctx.tenant_id, PREDICTION)
        horizon = set_horizon(rows.matrix, version, horizon_days)
        scores = await self._score(ctx, version, task, rows.matrix)
        predictions = _predictions(task, rows, version, horizon, scores)
        if rows.customer_ids:
            schema_hash = version.manifest.schema_hash
            vectors = np.ascontiguousarray(rows.matrix, "<f4")
            stored = [
                StoredPrediction(one, vector.tobytes(), schema_hash, ctx.request_id)
                for one, vector in zip(predictions, vectors, strict=True)
            ]
            await self._writer.store(ctx.tenant_id, stored)
        return predictions

    async def score_matrix(
        self,
        ctx: RequestContext,
        task: Task,
        matrix: Features,
        *,
        horizon_days: int | None = None,
        version: int | None = None,
    ) -> tuple[Scores, ModelVersion]:
        """Predict for rows of features; nothing is stored.

        Args:
            ctx: The request.
            task: What to predict.
            matrix: Shape (n, columns), float32, n >= 1, in schema order; its horizon column is not used.
            horizon_days: One of the model's horizons; its longest when 0 or None.
            version: A version that passed its gate; the active one when 0 or None.

        Returns:
            ``value``, ``lower`` and ``upper``, shape (n,), float64, and the version that made them.

        Raises:
            ContractFault: The rows do not keep to the schema; names the first faulty row and column.
            HorizonUnsupported, NoActiveModel, VersionNotFound, VersionNotReady: See their texts.
            Unavailable: No worker, or too many rows.
        """
        SCHEMA.check(matrix)
        found = await serving(self._registry, ctx.tenant_id, PREDICTION, version)
        rows = np.array(matrix, np.float32)
        set_horizon(rows, found, horizon_days or 0)
        return await self._score(ctx, found, task, rows), found

    async def _score(
        self, ctx: RequestContext, version: ModelVersion, task: Task, matrix: Features
    ) -> Scores:
        scores = await self._client.score(
            PREDICTION,
            version.artifact_digest,
            version.manifest.schema_hash,
            task.target,
            matrix,
            deadline=ctx.deadline,
            tenant=str(ctx.tenant_id),
        )
        if not all(np.isfinite(scores[name]).all() for name in ("value", "lower", "upper")):
            raise Internal("a worker answered a value that is not finite", reason="WORKER_FAULT")
        return scores

    async def get(self, ctx: RequestContext, prediction_id: UUID) -> StoredPrediction:
        """One stored prediction with the features it was made of.

        Raises:
            ResourceMissing: No such prediction.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await PredictionsRepository(tx).get(prediction_id)
        if found is None:
            raise ResourceMissing("prediction")
        return found

    async def page(
        self,
        ctx: RequestContext,
        *,
        customer_id: CustomerId | None,
        task: Task | None,
        before: UUID | None,
        limit: int,
    ) -> list[Prediction]:
        """Stored predictions made before ``before``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = await PredictionsRepository(tx).page(
                customer_id=customer_id, task=task, before=before, limit=limit
            )
        return [row.prediction for row in rows]


class PredictionWriter:
    """Writes predictions so that concurrent calls of a tenant share one transaction.

    While one commit is under way, what arrives waits and goes together with the next: one insert, one commit.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[TenantId, list[tuple[Sequence[StoredPrediction], asyncio.Future[None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, tenant_id: TenantId, rows: Sequence[StoredPrediction]) -> None:
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
                    await PredictionsRepository(tx).insert([row for rows, _ in group for row in rows])
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
        group: list[tuple[Sequence[StoredPrediction], asyncio.Future[None]]],
        error: Exception,
    ) -> None:
        """One call's rows are at fault, those of a customer deleted meanwhile: spare the others."""
        for rows, done in group:
            fault: Exception | None = error
            if len(group) > 1:
                try:
                    async with self._db.tenant_transaction(tenant_id) as tx:
                        await PredictionsRepository(tx).insert(rows)
                    fault = None
                except Exception as own:
                    fault = own
            if done.done():
                continue
            if fault is None:
                done.set_result(None)
            else:
                done.set_exception(fault)


def set_horizon(matrix: Features, version: ModelVersion, horizon_days: int) -> int:
    """Write the horizon into its column of the rows and return it.

    Raises:
        HorizonUnsupported: The version was not trained for it.
        FailedPrecondition: The version takes another feature schema (``FEATURE_SCHEMA_MISMATCH``).
    """
    check_schema(version)
    supported = version.manifest.horizons_days
    horizon = horizon_days or max(supported)
    if horizon not in supported:
        raise HorizonUnsupported(horizon, supported)
    matrix[:, HORIZON] = horizon
    return horizon


def check_schema(version: ModelVersion) -> None:
    """Raise FailedPrecondition unless the version takes the present feature schema."""
    if version.manifest.schema_hash != SCHEMA.hash:
        raise FailedPrecondition(
            f"version {version.version} of {version.model} takes an older feature schema; start a training",
            reason="FEATURE_SCHEMA_MISMATCH",
            metadata={"model": version.model, "version": str(version.version)},
        )


def unit_of(task: Task, version: ModelVersion) -> str:
    """Unit of a task's values."""
    return PURCHASE_DAYS_UNIT if task is Task.PURCHASES else version.manifest.currency


def _predictions(
    task: Task, rows: Rows, version: ModelVersion, horizon: int, scores: Scores
) -> list[Prediction]:
    manifest = version.manifest
    values, lower, upper = (scores[name].tolist() for name in ("value", "lower", "upper"))
    level, unit = manifest.calibration[task.target].level_ratio, unit_of(task, version)
    count = len(values)
    if rows.customer_ids:
        identifiers: Sequence[PredictionId | None] = [PredictionId(uuid7()) for _ in range(count)]
        times = [created_at_of(one) for one in identifiers if one is not None]
        customers: Sequence[CustomerId | None] = rows.customer_ids
        externals: Sequence[str] = rows.external_ids
    else:
        identifiers, customers, externals = [None] * count, [None] * count, [""] * count
        times = [now()] * count
    return [
        Prediction(
            identifiers[row],
            customers[row],
            externals[row],
            task,
            horizon,
            values[row],
            lower[row],
            upper[row],
            level,
            unit,
            version.version,
            snapshot_id(manifest.schema_hash, rows.matrix[row]),
            rows.as_of,
            times[row],
        )
        for row in range(count)
    ]
