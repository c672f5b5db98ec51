"""Explain: which feature makes a prediction what it is, by SHAP in log space."""

from __future__ import annotations

import math

import numpy as np

from cohortlens.analytics.models import Attribution, Explanation, Subjects, Task
from cohortlens.analytics.ports import Features, InferenceClient, Values
from cohortlens.analytics.predictions import set_horizon, unit_of
from cohortlens.analytics.subjects import CustomerData, rows_of
from cohortlens.contracts.features import SCHEMA, snapshot_id
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import Internal
from cohortlens.registry.models import PREDICTION
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
    ) -> list[Explanation]:
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
        explanations = []
        for index, vector in enumerate(rows.matrix):
            value, contributions = float(found.values[index]), found.contributions[index]
            if not value > 0 or not np.isfinite(contributions).all():
                raise Internal("a worker explained a value that is not positive", reason="WORKER_FAULT")
            attributions = _attributions(vector, contributions, manifest.currency)
            shown = attributions[: top or len(attributions)]
            explanations.append(
                Explanation(
                    customer_id=rows.customer_ids[index] if rows.customer_ids else None,
                    external_id=rows.external_ids[index] if rows.external_ids else "",
                    value=value,
                    unit=unit_of(task, version),
                    horizon_days=horizon,
                    base_value=found.base_value,
                    attributions=tuple(shown),
                    other_contribution=math.fsum(one.contribution for one in attributions[len(shown) :]),
                    additivity_residual=math.log(value)
                    - math.fsum((found.base_value, *(one.contribution for one in attributions))),
                    model_version=version.version,
                    snapshot_id=snapshot_id(manifest.schema_hash, vector),
                )
            )
        return explanations


def _attributions(vector: Features, contributions: Values, currency: str) -> list[Attribution]:
    """Strongest first; equal ones in schema order."""
    order = np.argsort(-np.abs(contributions), kind="stable")
    return [
        Attribution(
            SCHEMA.columns[at].name,
            None if np.isnan(vector[at]) else float(vector[at]),
            currency if SCHEMA.columns[at].unit == _MONEY else SCHEMA.columns[at].unit,
            float(contributions[at]),
        )
        for at in order.tolist()
    ]
