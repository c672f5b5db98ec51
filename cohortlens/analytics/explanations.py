"""Explain: which feature makes a prediction what it is, by SHAP in log space."""

from __future__ import annotations

import numpy as np

from cohortlens.analytics.columns import Explanations
from cohortlens.analytics.models import Rows, Subjects, Task
from cohortlens.analytics.ports import Attributions, InferenceClient
from cohortlens.analytics.predictions import set_horizon, unit_of
from cohortlens.analytics.subjects import CustomerData, rows_of
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import Internal
from cohortlens.registry.models import PREDICTION, ModelVersion
from cohortlens.registry.service import RegistryService

_MONEY = "money"


class ExplanationsService:
    """Use cases of explanations.

    Args:
        customers: Gives features of customers.
        registry: Gives the active version.
        client: Explains its predictions.
    """

    def __init__(self, customers: CustomerData, registry: RegistryService, client: InferenceClient) -> None:
        self._customers = customers
        self._registry = registry
        self._client = client

    async def explain(
        self, ctx: RequestContext, task: Task, subjects: Subjects, horizon_days: int = 0, top: int = 0
    ) -> Explanations:
        """Explain the prediction of each subject, in the order given.

        Args:
            ctx: The request.
            task: What is predicted.
            subjects: Customers or vectors.
            horizon_days: One of the model's horizons; its longest when 0.
            top: Strongest attributions to return; all when 0.

        Raises:
            As ``PredictionsService.predict``.
        """
        rows = await rows_of(ctx, subjects, self._customers)
        version = await self._registry.active(ctx.tenant_id, PREDICTION)
        horizon = set_horizon(rows.matrix, version, horizon_days)
        manifest = version.manifest
        found = await self._client.explain(
            version.artifact_digest, manifest.schema_hash, task.target, rows.matrix, deadline=ctx.deadline
        )
        return _explanations(task, rows, version, horizon, found, top)


def _explanations(
    task: Task, rows: Rows, version: ModelVersion, horizon: int, found: Attributions, top: int
) -> Explanations:
    value, contributions = found.values, found.contributions
    if not (value > 0).all() or not np.isfinite(value).all() or not np.isfinite(contributions).all():
        raise Internal("a worker explained a value that is not positive", reason="WORKER_FAULT")
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")
    shown = order[:, : top or order.shape[1]]
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
        found.base_value,
        contributions,
        shown,
        left_out.sum(axis=1),
        np.log(value) - found.base_value - contributions.sum(axis=1),
    )
