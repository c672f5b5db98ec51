"""Explain: which feature makes a prediction what it is, by SHAP or LIME in log space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np

from cohortlens.analytics.columns import Explanations
from cohortlens.analytics.methods import Method
from cohortlens.analytics.models import (
    MethodUnsupported,
    Rows,
    StoredPrediction,
    Subjects,
    SubjectsInvalid,
    Task,
)
from cohortlens.analytics.options import ask_for
from cohortlens.analytics.ports import Attributions, InferenceClient
from cohortlens.analytics.predictions import set_horizon, unit_of
from cohortlens.analytics.serving import named
from cohortlens.analytics.subjects import CustomerData, rows_of
from cohortlens.contracts.explanations import INTERVENTIONAL, LIME, SHAP, log_of, seed_of
from cohortlens.contracts.features import SCHEMA, SNAPSHOT_BYTES, snapshot_digests
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import Internal, InvalidArgument, Violation
from cohortlens.customers.usability import Activity
from cohortlens.registry.models import PREDICTION, ModelVersion
from cohortlens.registry.service import RegistryService

_MONEY = "money"


@dataclass(frozen=True)
class How:
    """How a prediction is to be explained.

    Attributes:
        method: SHAP or LIME.
        top: Strongest attributions to return; all when 0.
        interventional: SHAP against rows of the training data instead of along the trees' paths.
        seed: Seed of LIME's samples; None for one made of the version and each row.
    """

    method: Method = Method.SHAP
    top: int = 0
    interventional: bool = False
    seed: int | None = None


DEFAULT = How()


class StoredPredictions(Protocol):
    """Reads a stored prediction; ``PredictionsService`` has it."""

    async def get(
        self, ctx: RequestContext, prediction_id: UUID, activity: Activity = Activity.PREDICTION
    ) -> StoredPrediction:
        """One stored prediction with the features it was made of, to be used for ``activity``."""


class ExplanationsService:
    """Use cases of explanations.

    Args:
        customers: Gives features of customers.
        registry: Gives the active version.
        client: Explains its predictions.
        stored: Gives stored predictions.
    """

    def __init__(
        self,
        customers: CustomerData,
        registry: RegistryService,
        client: InferenceClient,
        stored: StoredPredictions,
    ) -> None:
        self._customers = customers
        self._registry = registry
        self._client = client
        self._stored = stored

    async def explain(
        self, ctx: RequestContext, task: Task, subjects: Subjects, horizon_days: int = 0, how: How = DEFAULT
    ) -> Explanations:
        """Explain the prediction of each subject, in the order given.

        Args:
            ctx: The request.
            task: What is predicted.
            subjects: Customers or vectors.
            horizon_days: Days ahead; the longest the model was trained for when 0.
            how: Method and its options.

        Raises:
            As ``PredictionsService.predict``, and MethodUnsupported: a lifetime value is asked for.
            FailedPrecondition: METHOD_UNSUPPORTED: the version lacks what the method needs.
        """
        version = await self._registry.active(ctx.tenant_id, PREDICTION)
        rows = await rows_of(
            ctx, subjects, self._customers, Activity.EXPLANATION, wide=version.manifest.wants_sequence
        )
        return await self._explained(ctx, task, rows, version, horizon_days, how)

    async def explain_stored(
        self, ctx: RequestContext, task: Task, prediction_id: UUID, subjects: Subjects, how: How = DEFAULT
    ) -> Explanations:
        """Explain a stored prediction with the features and the version that made it.

        Args:
            ctx: The request.
            task: What was predicted.
            prediction_id: The prediction.
            subjects: What else the caller named: nothing.
            how: Method and its options.

        Raises:
            ResourceMissing: No such prediction.
            SubjectsInvalid: Customers or vectors are named as well.
            InvalidArgument: The prediction is of another task.
            As ``explain`` otherwise.
        """
        stored = await self._stored.get(ctx, prediction_id, Activity.EXPLANATION)
        if subjects.customers or len(subjects.vectors):
            raise SubjectsInvalid
        made = stored.prediction
        if made.task is not task:
            text = f"the prediction is of {made.task.value}; ask for that task"
            raise InvalidArgument(text, violations=(Violation("task", text),))
        customers = () if made.customer_id is None else (made.customer_id,)
        matrix = np.frombuffer(stored.features, "<f4").astype(np.float32).reshape(1, -1)
        rows = Rows(customers, (made.external_id,) if customers else (), matrix, made.as_of)
        version = await named(self._registry, ctx.tenant_id, PREDICTION, made.model_version)
        return await self._explained(ctx, task, rows, version, made.horizon_days, how)

    async def _explained(
        self, ctx: RequestContext, task: Task, rows: Rows, version: ModelVersion, horizon_days: int, how: How
    ) -> Explanations:
        if task is Task.CLV:
            # It is spend on a curve of discounts: the features act on it through spend.
            raise MethodUnsupported("a lifetime value is made from spend; explain PREDICTION_TASK_SPEND")
        horizon = set_horizon(rows.matrix, version, horizon_days)
        ask_for(version.manifest, task.target)
        seeds = _seeds(version, rows, how) if how.method is Method.LIME else ()
        found = await self._client.explain(
            version.artifact_digest,
            version.manifest.schema_hash,
            task.target,
            rows.matrix,
            deadline=ctx.deadline,
            method=_name(how),
            seeds=seeds,
        )
        return _explanations(task, rows, version, horizon, found, how, seeds)


def _name(how: How) -> str:
    if how.method is Method.LIME:
        return LIME
    return INTERVENTIONAL if how.interventional else SHAP


def _seeds(version: ModelVersion, rows: Rows, how: How) -> tuple[int, ...]:
    if how.seed is not None:
        return (how.seed,) * len(rows.matrix)
    digests = snapshot_digests(version.manifest.schema_hash, rows.matrix).hex()
    width = 2 * SNAPSHOT_BYTES
    return tuple(
        seed_of(version.artifact_digest, digests[at : at + width]) for at in range(0, len(digests), width)
    )


def _explanations(
    task: Task,
    rows: Rows,
    version: ModelVersion,
    horizon: int,
    found: Attributions,
    how: How,
    seeds: tuple[int, ...],
) -> Explanations:
    value, contributions = found.values, found.contributions
    parts = (value, contributions, found.bases, found.explained, found.fidelities)
    if not (value >= 0).all() or not all(np.isfinite(part).all() for part in parts):
        raise Internal("a worker explained a value that is not a number >= 0", reason="WORKER_FAULT")
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")
    shown = order[:, : how.top or order.shape[1]]
    left_out = np.take_along_axis(contributions, order[:, shown.shape[1] :], axis=1)
    currency = version.manifest.currency
    return Explanations(
        rows,
        version.manifest.schema_hash,
        version.version,
        value,
        unit_of(task, version),
        tuple(currency if column.unit == _MONEY else column.unit for column in SCHEMA.columns),
        horizon,
        found.bases,
        contributions,
        shown,
        left_out.sum(axis=1),
        found.explained - found.bases - contributions.sum(axis=1),
        log_of(value) - found.explained,
        found.fidelities,
        how.method,
        seeds,
        found.imputed,
    )
