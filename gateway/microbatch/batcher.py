"""An ``InferenceClient`` that gathers rows of concurrent calls into batches; the gateway wraps its own in it.

No timer: while a replica is free, the calls of one turn of the event loop leave together at its end; what
arrives while all are busy is the next batch. So the batch grows with the load and a lone call never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import numpy as np

from cohortlens.analytics.ports import (
    Attributions,
    Features,
    InferenceClient,
    Scores,
    TrainingOrder,
    TrainingProgress,
)
from cohortlens.core.errors import DeadlineExceeded, InvalidArgument
from cohortlens.core.telemetry import AT_WORKERS
from gateway.microbatch.lane import BatchLimits, Lane
from gateway.microbatch.queue import Key, Part


class MicroBatcher:
    """Implements ``cohortlens.analytics.ports.InferenceClient`` around another one.

    Args:
        inner: Sends a batch to a replica.
        limits: How far to go.
    """

    def __init__(self, inner: InferenceClient, limits: BatchLimits | None = None) -> None:
        self._inner = inner
        self._limits = limits or BatchLimits()
        self._lanes: dict[str, Lane] = {}

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
        """See the port. Rows keep their order; a call of more rows than a batch holds is split and joined.

        Raises:
            InvalidArgument: Not a matrix of float32, or an infinite value: refused before it joins a batch.
            Unavailable: ``OVERLOADED`` beside the inner client's.
        """
        _refuse_poison(features)
        lane = self._lanes.get(deployment)
        if lane is None:
            lane = self._lanes[deployment] = Lane(deployment, self._inner, self._limits)
        now = time.monotonic()
        if deadline <= now:
            raise DeadlineExceeded("the deadline passed before the rows were sent")
        rows, columns = features.shape
        lane.admit(tenant, rows, deadline, now)
        key = Key(deployment, artifact_digest, schema_hash, target, columns)
        create_future, most = asyncio.get_running_loop().create_future, self._limits.call_rows
        if rows <= most:
            part = Part(key, tenant, features, deadline, now, create_future())
            lane.put(part)
            try:
                return await part.future
            finally:
                lane.leave(part)
                AT_WORKERS.set((part.queued_at, part.sent_at, part.done_at))
        parts = [
            Part(key, tenant, features[start : start + most], deadline, now, create_future())
            for start in range(0, rows, most)
        ]
        return await _joined(lane, parts)

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
        """See the port; explanations are not gathered."""
        return await self._inner.explain(
            artifact_digest, schema_hash, target, features, deadline=deadline, method=method, seeds=seeds
        )

    async def load_model(self, deployment: str, artifact_digest: str, *, deadline: float) -> int:
        """See the port."""
        return await self._inner.load_model(deployment, artifact_digest, deadline=deadline)

    async def live_replicas(self) -> dict[str, int]:
        """See the port."""
        return await self._inner.live_replicas()

    def replica_count(self, deployment: str) -> int:
        """See the port."""
        return self._inner.replica_count(deployment)

    def train(self, order: TrainingOrder) -> AsyncIterator[TrainingProgress]:
        """See the port."""
        return self._inner.train(order)


async def _joined(lane: Lane, parts: list[Part]) -> Scores:
    for part in parts:
        lane.put(part)
    try:
        answers = [await part.future for part in parts]
    finally:
        for part in parts:
            lane.leave(part)
        AT_WORKERS.set((parts[0].queued_at, parts[0].sent_at, parts[-1].done_at))
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _refuse_poison(features: Features) -> None:
    if features.ndim != 2 or features.dtype != np.float32 or not features.size:
        raise InvalidArgument(
            f"expected float32 rows, found {features.dtype} of shape {features.shape}",
            reason="FEATURE_SCHEMA_MISMATCH",
        )
    infinite = np.isinf(features)
    # Looking for a byte costs a fraction of numpy's own pass, which shows in a call of one row.
    if b"\1" in infinite.tobytes():
        row, column = (int(at) for at in np.argwhere(infinite)[0])
        raise InvalidArgument(f"row {row}, column {column} is infinite", reason="VALUE_NOT_FINITE")
