"""An ``InferenceClient`` with a span around each call of the workers; made only where spans are collected.

The span is the caller's: it holds the wait for a batch, the way to the replica and back, and the work there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from cohortlens.analytics.ports import (
    Attributions,
    Features,
    InferenceClient,
    Scores,
    TrainingOrder,
    TrainingProgress,
)
from cohortlens.core import tracing
from cohortlens.core.tracing import Kind, Value

_INFERENCE = "cohortlens.internal.v1.InferenceService"
_TRAIN = "cohortlens.internal.v1.TrainingService/Train"


def traced(inner: InferenceClient) -> InferenceClient:
    """``inner`` with spans where they are collected, else as it is."""
    return TracedInference(inner) if tracing.is_on() else inner


class TracedInference:
    """Implements ``cohortlens.analytics.ports.InferenceClient`` around another one.

    Args:
        inner: Makes the calls.
    """

    def __init__(self, inner: InferenceClient) -> None:
        self._inner = inner

    async def score(
        self,
        deployment: str,
        artifact_digest: str,
        schema_hash: str,
        target: str,
        features: Features,
        *,
        deadline: float,
        tenant: str = "",
    ) -> Scores:
        """See the port."""
        path = f"{_INFERENCE}/Score"
        with tracing.span(path, Kind.CLIENT, _told(path, deployment, len(features))):
            return await self._inner.score(
                deployment, artifact_digest, schema_hash, target, features, deadline=deadline, tenant=tenant
            )

    async def explain(
        self,
        artifact_digest: str,
        schema_hash: str,
        target: str,
        features: Features,
        *,
        deadline: float,
        method: str = "shap",
        seeds: Sequence[int] = (),
    ) -> Attributions:
        """See the port."""
        path = f"{_INFERENCE}/Explain"
        with tracing.span(path, Kind.CLIENT, _told(path, "explanation", len(features))):
            return await self._inner.explain(
                artifact_digest, schema_hash, target, features, deadline=deadline, method=method, seeds=seeds
            )

    async def load_model(self, deployment: str, artifact_digest: str, *, deadline: float) -> int:
        """See the port."""
        path = f"{_INFERENCE}/LoadModel"
        with tracing.span(path, Kind.CLIENT, _told(path, deployment, 0)):
            return await self._inner.load_model(deployment, artifact_digest, deadline=deadline)

    async def live_replicas(self) -> dict[str, int]:
        """See the port; asks nobody, so no span."""
        return await self._inner.live_replicas()

    def replica_count(self, deployment: str) -> int:
        """See the port."""
        return self._inner.replica_count(deployment)

    async def train(self, order: TrainingOrder) -> AsyncIterator[TrainingProgress]:
        """See the port."""
        with tracing.span(_TRAIN, Kind.CLIENT, _told(_TRAIN, "training", 0)):
            async for progress in self._inner.train(order):
                yield progress


def _told(path: str, deployment: str, rows: int) -> dict[str, Value]:
    return {**tracing.rpc(path), "cohortlens.deployment": deployment, "cohortlens.rows": rows}
