"""Predict: rows in, values with intervals out; those of customers are stored before the answer leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

import numpy as np

from cohortlens.analytics.columns import Predictions
from cohortlens.analytics.models import (
    PROBABILITY_UNIT,
    PURCHASE_DAYS_UNIT,
    Prediction,
    ResourceMissing,
    Rows,
    StoredPrediction,
    Subjects,
    Task,
    created_at_of,
)
from cohortlens.analytics.options import (
    DEFAULT_OPTIONS,
    HorizonUnsupported,
    Loss,
    PredictionOptions,
    ask_for,
    basis_of,
)
from cohortlens.analytics.ports import Features, InferenceClient, Scores, Values
from cohortlens.analytics.prediction_writer import PredictionWriter
from cohortlens.analytics.repository import PredictionsRepository
from cohortlens.analytics.serving import serving
from cohortlens.analytics.shadow import ShadowTraffic
from cohortlens.analytics.subjects import HORIZON, CustomerData, rows_of
from cohortlens.contracts.asks import Ask
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import FEATURE_COLUMNS
from cohortlens.core import idempotency
from cohortlens.core.clock import now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, Internal
from cohortlens.core.ids import CustomerId, PredictionId, uuid7s
from cohortlens.customers.usability import Activity, ConsentRequired, purpose_of, refused
from cohortlens.registry.models import PREDICTION, ModelVersion
from cohortlens.registry.service import RegistryService

_FEW = 16


class PredictionsService:
    """Use cases of predictions.

    Args:
        db: The database.
        customers: Gives features of customers.
        registry: Gives the active version.
        client: Runs it.
        shadow: Shows a share of the calls to a challenger; None for none.
    """

    def __init__(
        self,
        db: Database,
        customers: CustomerData,
        registry: RegistryService,
        client: InferenceClient,
        shadow: ShadowTraffic | None = None,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._client = client
        self._shadow = shadow
        self._writer = PredictionWriter(db)

    async def predict(
        self,
        ctx: RequestContext,
        task: Task,
        subjects: Subjects,
        horizon_days: int = 0,
        options: PredictionOptions = DEFAULT_OPTIONS,
    ) -> Predictions:
        """Predict for each subject, in the order given.

        Args:
            ctx: The request.
            task: What to predict.
            subjects: Customers or vectors.
            horizon_days: Days ahead; the longest the model was trained for when 0.
            options: Level of the interval, loss, discount.

        Raises:
            SubjectsInvalid, VectorInvalid, HorizonUnsupported, TaskUnsupported, OptionUnsupported: See their
                texts.
            NoActiveModel: Nothing is trained yet.
            NotFound: An unknown customer.
            ConsentRequired: None of the customers may be used, or one withdrew while it was predicted.
            Unavailable: No worker, too many rows, or no database.
        """
        version = await self._registry.active(ctx.tenant_id, PREDICTION)
        rows = await rows_of(
            ctx, subjects, self._customers, Activity.PREDICTION, wide=version.manifest.wants_sequence
        )
        horizon = set_horizon(rows.matrix, version, horizon_days)
        ask = ask_for(version.manifest, task.target, options)
        scores = await self._score(ctx, version, task, ask, rows.matrix, rows.customer_ids)
        predictions = _predictions(ctx, task, ask, rows, version, horizon, scores)
        if rows.customer_ids:
            if idempotency.held() is not None:
                idempotency.made(predictions=[str(one) for one in predictions.prediction_ids])
            await self._writer.store(ctx.tenant_id, predictions)
        return predictions

    async def score_matrix(
        self,
        ctx: RequestContext,
        task: Task,
        matrix: Features,
        *,
        horizon_days: int | None = None,
        version: int | None = None,
        options: PredictionOptions = DEFAULT_OPTIONS,
    ) -> tuple[Scores, ModelVersion]:
        """Predict for rows of features; nothing is stored.

        Args:
            ctx: The request.
            task: What to predict.
            matrix: Shape (n, columns), float32, n >= 1, in schema order; its horizon column is not used.
            horizon_days: Days ahead; the longest the model was trained for when 0 or None.
            version: A version that passed its gate; the active one when 0 or None.
            options: Level of the interval, loss, discount.

        Returns:
            ``value``, ``lower`` and ``upper``, shape (n,), float64, and the version that made them.

        Raises:
            ContractFault: The rows do not keep to the schema; names the first faulty row and column.
            HorizonUnsupported, TaskUnsupported, OptionUnsupported, NoActiveModel, VersionNotFound,
            VersionNotReady: See their texts.
            Unavailable: No worker, or too many rows.
        """
        SCHEMA.check(matrix)
        found = await serving(self._registry, ctx.tenant_id, PREDICTION, version)
        rows = np.array(matrix, np.float32)
        set_horizon(rows, found, horizon_days or 0)
        ask = ask_for(found.manifest, task.target, options)
        return await self._score(ctx, found, task, ask, rows), found

    async def _score(
        self,
        ctx: RequestContext,
        version: ModelVersion,
        task: Task,
        ask: Ask,
        matrix: Features,
        customers: Sequence[CustomerId] = (),
    ) -> Scores:
        scores = await self._client.score(
            PREDICTION,
            version.artifact_digest,
            version.manifest.schema_hash,
            ask.text(),
            matrix,
            deadline=ctx.deadline,
            tenant=str(ctx.tenant_id),
        )
        if not all(_finite(scores[name]) for name in ("value", "lower", "upper")):
            raise Internal("a worker answered a value that is not finite", reason="WORKER_FAULT")
        if version.challenger is not None and self._shadow is not None and ask.is_plain:
            horizon = int(matrix[0, HORIZON])
            self._shadow.offer(ctx.tenant_id, version, task, horizon, matrix, scores, customers)
        return scores

    async def get(
        self, ctx: RequestContext, prediction_id: UUID, activity: Activity = Activity.PREDICTION
    ) -> StoredPrediction:
        """One stored prediction with the features it was made of, to be used for ``activity``.

        Raises:
            ResourceMissing: No such prediction.
            ConsentRequired: Its customer may not be used any more.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await PredictionsRepository(tx).get(prediction_id)
            if found is None:
                raise ResourceMissing("prediction")
            customer = found.prediction.customer_id
            if customer is not None and await refused(tx, [customer], activity):
                raise ConsentRequired(activity, await purpose_of(tx, activity))
        return found

    async def made(self, ctx: RequestContext, prediction_ids: Sequence[UUID]) -> list[Prediction]:
        """The stored predictions of one call, in the order given.

        Raises:
            ResourceMissing: Some are not there any more.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await PredictionsRepository(tx).made(prediction_ids)
        if len(found) < len(prediction_ids):
            raise ResourceMissing("predictions")
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
        """Stored predictions of usable customers made before ``before``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = await PredictionsRepository(tx).page(
                customer_id=customer_id, task=task, before=before, limit=limit
            )
        return [row.prediction for row in rows]


def _finite(values: Values) -> bool:
    # A few numbers one by one cost a fraction of two passes by numpy.
    few = len(values) <= _FEW
    return all(map(math.isfinite, values.tolist())) if few else bool(np.isfinite(values).all())


def set_horizon(matrix: Features, version: ModelVersion, horizon_days: int) -> int:
    """Write the horizon into its column of the rows and return it.

    Raises:
        HorizonUnsupported: The version does not predict it.
        FailedPrecondition: The version takes another feature schema (``FEATURE_SCHEMA_MISMATCH``).
    """
    horizon = horizon_of(version, horizon_days)
    matrix[:, HORIZON] = horizon
    return horizon


def horizon_of(version: ModelVersion, horizon_days: int) -> int:
    """The horizon that is predicted when one is asked for; errors as of ``set_horizon``."""
    check_schema(version)
    manifest = version.manifest
    horizon = horizon_days or max(manifest.horizons_days)
    if horizon not in manifest.horizons_days and not 1 <= horizon <= manifest.horizon_most_days:
        raise HorizonUnsupported(horizon, manifest.horizons_days, manifest.horizon_most_days)
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
    if task is Task.CHURN:
        return PROBABILITY_UNIT
    return PURCHASE_DAYS_UNIT if task is Task.PURCHASES else version.manifest.currency


def _predictions(
    ctx: RequestContext,
    task: Task,
    ask: Ask,
    rows: Rows,
    version: ModelVersion,
    horizon: int,
    scores: Scores,
) -> Predictions:
    manifest = version.manifest
    # Identifiers of one call share their time, so that the call's rows share their partition's key.
    ids = tuple(map(PredictionId, uuid7s(len(rows.customer_ids)))) if rows.customer_ids else ()
    return Predictions(
        rows,
        manifest.schema_hash,
        version.version,
        ids,
        task,
        horizon,
        scores["value"],
        scores["lower"],
        scores["upper"],
        ask.level_ratio,
        unit_of(task, version),
        created_at_of(ids[0]) if ids else now(),
        ctx.request_id,
        basis_of(manifest, ask, with_sequence=rows.matrix.shape[1] > FEATURE_COLUMNS),
        Loss(ask.loss.upper()),
        ask.annual_discount_ratio if task is Task.CLV else None,
    )
