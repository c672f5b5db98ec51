"""An ``InferenceClient`` that gathers rows of concurrent calls into batches; the gateway wraps its own in it.

No timer: while a replica is free, the calls of one turn of the event loop leave together at its end; what
arrives while all are busy is the next batch. So the batch grows with the load and a lone call never waits.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

from cohortlens.analytics.ports import (
    Attributions,
    Features,
    InferenceClient,
    Scores,
    TrainingOrder,
    TrainingProgress,
)
from cohortlens.core.errors import DeadlineExceeded, Internal, InvalidArgument, Unavailable
from cohortlens.core.telemetry import REGISTRY

BATCH_ROWS = Histogram(
    "microbatch_rows",
    "Rows of a dispatched batch",
    ("deployment",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
WAIT_SECONDS = Histogram(
    "microbatch_wait_seconds",
    "Seconds a call waited for its batch",
    ("deployment",),
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
    registry=REGISTRY,
)
QUEUED_ROWS = Gauge("microbatch_queued_rows", "Rows not sent yet", ("deployment",), registry=REGISTRY)
INFLIGHT_ROWS = Gauge("microbatch_inflight_rows", "Rows at the replicas", ("deployment",), registry=REGISTRY)
REFUSED = Counter("microbatch_refused_total", "Calls refused as overload", ("deployment",), registry=REGISTRY)
SPLIT = Counter(
    "microbatch_retried_batches_total", "Failed batches sent call by call", ("deployment",), registry=REGISTRY
)

_TREND_WEIGHT = 0.2


@dataclass(frozen=True)
class BatchLimits:
    """How far the batcher goes.

    Attributes:
        batch_rows: Most rows of a batch.
        queue_rows: Most rows that wait in one deployment.
        wait_s: Longest estimated wait that is accepted, seconds.
        batches_per_replica: Batches under way per live replica.
    """

    batch_rows: int = 256
    queue_rows: int = 16_384
    wait_s: float = 2.0
    batches_per_replica: int = 1


class _Key(NamedTuple):
    """What rows must share to travel together."""

    deployment: str
    artifact_digest: str
    schema_hash: str
    target: str
    columns: int


@dataclass(eq=False)
class _Part:
    """Up to ``batch_rows`` consecutive rows of one call."""

    key: _Key
    tenant: str
    features: Features
    deadline: float
    queued_at: float
    future: asyncio.Future[Scores]
    batch: _Batch | None = None

    @property
    def rows(self) -> int:
        return len(self.features)


@dataclass(eq=False)
class _Batch:
    parts: list[_Part]
    wanted: int
    task: asyncio.Task[None] | None = None

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


@dataclass(eq=False)
class _Queue:
    """Waiting parts of one deployment: tenant -> key -> parts, tenants and keys in turn."""

    tenants: OrderedDict[str, OrderedDict[_Key, deque[_Part]]] = field(default_factory=OrderedDict)
    rows: int = 0

    def put(self, part: _Part) -> None:
        keys = self.tenants.setdefault(part.tenant, OrderedDict())
        keys.setdefault(part.key, deque()).append(part)
        self.rows += part.rows

    def take(self, most_rows: int) -> list[_Part]:
        """The next batch: the key of the tenant whose turn it is, one part per tenant and round."""
        while self.tenants:
            turn = next(iter(self.tenants))
            key = next(iter(self.tenants[turn]))
            parts = self._gather(key, most_rows)
            if turn in self.tenants:
                self.tenants.move_to_end(turn)
                if key in self.tenants[turn]:
                    self.tenants[turn].move_to_end(key)
            if parts:
                return parts
        return []

    def _gather(self, key: _Key, most_rows: int) -> list[_Part]:
        parts: list[_Part] = []
        rows, moved, now = 0, True, time.monotonic()
        while moved:
            moved = False
            for tenant in [name for name, keys in self.tenants.items() if key in keys]:
                waiting = self.tenants[tenant][key]
                if rows + waiting[0].rows > most_rows:
                    continue
                part = self._pop(tenant, key)
                moved = True
                if not part.future.done() and part.deadline > now:
                    parts.append(part)
                    rows += part.rows
        return parts

    def _pop(self, tenant: str, key: _Key) -> _Part:
        keys = self.tenants[tenant]
        part = keys[key].popleft()
        self.rows -= part.rows
        if not keys[key]:
            del keys[key]
            if not keys:
                del self.tenants[tenant]
        return part


class _Lane:
    """Queue and batches under way of one deployment."""

    def __init__(self, deployment: str, inner: InferenceClient, limits: BatchLimits) -> None:
        self._deployment = deployment
        self._inner = inner
        self._limits = limits
        self._queue = _Queue()
        self._running: set[_Batch] = set()
        self._batch_seconds = 0.0
        self._pump_due = False
        self._rows_metric = BATCH_ROWS.labels(deployment)
        self._wait_metric = WAIT_SECONDS.labels(deployment)
        self._queued_metric = QUEUED_ROWS.labels(deployment)
        self._inflight_metric = INFLIGHT_ROWS.labels(deployment)

    def admit(self, rows: int, deadline: float) -> None:
        """Refuse what would wait too long: by rows, and by what the last batches took."""
        if not self._queue.rows:
            return
        batches = math.ceil((self._queue.rows + rows) / self._limits.batch_rows)
        estimate = batches * self._batch_seconds / self._slots()
        patience = min(self._limits.wait_s, deadline - time.monotonic())
        if self._queue.rows + rows > self._limits.queue_rows or estimate > patience:
            REFUSED.labels(self._deployment).inc()
            raise Unavailable(
                "Too many rows wait for the models; try again a little later.",
                reason="OVERLOADED",
                metadata={"deployment": self._deployment},
                retry_delay_s=math.ceil(max(0.1, min(estimate, 10.0)) * 10) / 10,
            )

    def put(self, part: _Part) -> None:
        """Queue rows; batches leave once the calls of this turn of the event loop are here."""
        self._queue.put(part)
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self.pump)

    def forget(self, part: _Part) -> None:
        """A caller left: its batch is cancelled when nobody else waits for it."""
        batch = part.batch
        if batch is not None:
            batch.wanted -= 1
            if batch.wanted == 0 and batch.task is not None:
                batch.task.cancel()

    def pump(self) -> None:
        """Send batches while replicas are free."""
        self._pump_due = False
        slots = self._slots()
        while len(self._running) < slots:
            parts = self._queue.take(self._limits.batch_rows)
            if not parts:
                break
            batch = _Batch(parts, len(parts))
            for part in parts:
                part.batch = batch
            self._running.add(batch)
            self._inflight_metric.inc(batch.rows)
            batch.task = asyncio.create_task(self._run(batch))
            # Not a finally of the task: one that is cancelled before its first step never runs.
            batch.task.add_done_callback(partial(self._finished, batch))
        self._queued_metric.set(self._queue.rows)

    def _slots(self) -> int:
        return max(1, self._inner.replica_count(self._deployment)) * self._limits.batches_per_replica

    async def _run(self, batch: _Batch) -> None:
        started = time.monotonic()
        self._rows_metric.observe(batch.rows)
        for part in batch.parts:
            self._wait_metric.observe(started - part.queued_at)
        await self._answer(batch.parts)
        self._batch_seconds += _TREND_WEIGHT * (time.monotonic() - started - self._batch_seconds)

    def _finished(self, batch: _Batch, _: asyncio.Task[None]) -> None:
        self._inflight_metric.dec(batch.rows)
        self._running.discard(batch)
        for part in batch.parts:
            part.batch = None
            part.future.cancel()
        self.pump()

    async def _answer(self, parts: list[_Part]) -> None:
        try:
            scores = await self._send(parts)
        except (Unavailable, DeadlineExceeded) as error:
            # Nobody's rows are to blame: repeating them one by one would only add load.
            _fail(parts, error)
        except Exception as error:
            if len(parts) == 1:
                _fail(parts, error)
                return
            SPLIT.labels(self._deployment).inc()
            for part in parts:
                if not part.future.done():
                    await self._answer([part])
        else:
            start = 0
            for part in parts:
                stop = start + part.rows
                if not part.future.done():
                    part.future.set_result({name: values[start:stop] for name, values in scores.items()})
                start = stop

    async def _send(self, parts: list[_Part]) -> Scores:
        key = parts[0].key
        features = parts[0].features if len(parts) == 1 else np.concatenate([part.features for part in parts])
        scores = await self._inner.score(
            key.deployment,
            key.artifact_digest,
            key.schema_hash,
            key.target,
            features,
            deadline=max(part.deadline for part in parts),
            tenant=parts[0].tenant,
        )
        if any(len(values) != len(features) for values in scores.values()):
            raise Internal("a worker answered another number of rows than were sent", reason="WORKER_FAULT")
        return scores


class MicroBatcher:
    """Implements ``cohortlens.analytics.ports.InferenceClient`` around another one.

    Args:
        inner: Sends a batch to a replica.
        limits: How far to go.
    """

    def __init__(self, inner: InferenceClient, limits: BatchLimits | None = None) -> None:
        self._inner = inner
        self._limits = limits or BatchLimits()
        self._lanes: dict[str, _Lane] = {}

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
        key = _Key(deployment, artifact_digest, schema_hash, target, features.shape[1])
        lane = self._lanes.get(deployment)
        if lane is None:
            lane = self._lanes[deployment] = _Lane(deployment, self._inner, self._limits)
        now = time.monotonic()
        if deadline <= now:
            raise DeadlineExceeded("the deadline passed before the rows were sent")
        lane.admit(len(features), deadline)
        loop, most = asyncio.get_running_loop(), self._limits.batch_rows
        parts = [
            _Part(key, tenant, features[start : start + most], deadline, now, loop.create_future())
            for start in range(0, len(features), most)
        ]
        for part in parts:
            lane.put(part)
        # A timer instead of asyncio.timeout: a call must cost microseconds here.
        timer = loop.call_later(deadline - now, _expire, lane, parts)
        try:
            answers = [await part.future for part in parts]
        finally:
            timer.cancel()
            _leave(lane, parts)
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    async def explain(
        self, artifact_digest: str, schema_hash: str, target: str, features: Features, *, deadline: float
    ) -> Attributions:
        """See the port; explanations are not gathered."""
        return await self._inner.explain(artifact_digest, schema_hash, target, features, deadline=deadline)

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


def _expire(lane: _Lane, parts: list[_Part]) -> None:
    for part in parts:
        if not part.future.done():
            part.future.set_exception(DeadlineExceeded("the deadline passed before a worker answered"))
            lane.forget(part)


def _leave(lane: _Lane, parts: list[_Part]) -> None:
    """Release what the caller no longer waits for; nothing is left to do after a full answer."""
    for part in parts:
        if part.future.cancel() or part.future.cancelled():
            lane.forget(part)
        else:
            # Marks the exception of a later part as seen: the first one is what the caller gets.
            part.future.exception()


def _fail(parts: list[_Part], error: Exception) -> None:
    for part in parts:
        if not part.future.done():
            part.future.set_exception(error)


def _refuse_poison(features: Features) -> None:
    if features.ndim != 2 or features.dtype != np.float32 or not features.size:
        raise InvalidArgument(
            f"expected float32 rows, found {features.dtype} of shape {features.shape}",
            reason="FEATURE_SCHEMA_MISMATCH",
        )
    if np.isinf(features).any():
        row, column = (int(at) for at in np.argwhere(np.isinf(features))[0])
        raise InvalidArgument(f"row {row}, column {column} is infinite", reason="VALUE_NOT_FINITE")
