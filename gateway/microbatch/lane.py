"""One deployment's queue and its batches under way."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from cohortlens.analytics.ports import InferenceClient, Scores
from cohortlens.core import tracing
from cohortlens.core.errors import DeadlineExceeded, Internal, Unavailable
from gateway.microbatch import metrics
from gateway.microbatch.queue import Part, Queue

_TREND_WEIGHT = 0.2


@dataclass(frozen=True)
class BatchLimits:
    """How far the batcher goes.

    Attributes:
        batch_rows: Rows up to which a batch gathers calls.
        call_rows: Rows of one call that travel together; a call of more than ``batch_rows`` goes alone, and
            splitting it would cost a trip for each piece.
        queue_rows: Most rows that wait in one deployment; tenants that wait at once share them equally.
        wait_s: Longest estimated wait that is accepted, seconds.
        batches_per_replica: Batches under way per live replica.
    """

    batch_rows: int = 256
    call_rows: int = 1_024
    queue_rows: int = 16_384
    wait_s: float = 2.0
    batches_per_replica: int = 1


class Batch:
    """Parts on their way together.

    Attributes:
        parts: The parts, of one key.
        rows: Their rows.
        wanted: How many of the parts somebody still waits for.
        task: Sends them.
    """

    __slots__ = ("parts", "rows", "task", "wanted")

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.rows = sum(part.rows for part in parts)
        self.wanted = len(parts)
        self.task: asyncio.Task[None] | None = None


class Lane:
    """Queue and batches under way of one deployment.

    Args:
        deployment: The deployment.
        inner: Sends a batch to a replica.
        limits: How far to go.
    """

    def __init__(self, deployment: str, inner: InferenceClient, limits: BatchLimits) -> None:
        self._deployment = deployment
        self._inner = inner
        self._limits = limits
        self._queue = Queue()
        self._running: set[Batch] = set()
        self._open: set[Part] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._batch_seconds = 0.0
        self._pump_due = False
        self._is_traced = tracing.is_on()
        self._rows_metric = metrics.BATCH_ROWS.labels(deployment)
        self._wait_metric = metrics.WAIT_SECONDS.labels(deployment)
        self._worker_metric = metrics.WORKER_SECONDS.labels(deployment)
        self._queued_metric = metrics.QUEUED_ROWS.labels(deployment)
        self._inflight_metric = metrics.INFLIGHT_ROWS.labels(deployment)

    def admit(self, tenant: str, rows: int, deadline: float, now: float) -> None:
        """Refuse what would wait too long: by rows, and by what the last batches took.

        A tenant is measured by its own rows and turns: another one's flood refuses nobody else.

        Raises:
            Unavailable: ``OVERLOADED``, with the seconds to wait.
        """
        queue, limits = self._queue, self._limits
        if not queue.rows:
            return
        batches = math.ceil(queue.ahead(tenant, rows) / limits.batch_rows)
        estimate = batches * self._batch_seconds / self._slots()
        patience = min(limits.wait_s, deadline - now)
        held = queue.rows_of(tenant)
        too_many = (held and held + rows > queue.share(tenant, limits.queue_rows)) or rows > limits.queue_rows
        if too_many or estimate > patience:
            metrics.REFUSED.labels(self._deployment).inc()
            raise Unavailable(
                "Too many rows wait for the models; try again a little later.",
                reason="OVERLOADED",
                metadata={"deployment": self._deployment},
                retry_delay_s=math.ceil(max(0.1, min(estimate, 10.0)) * 10) / 10,
            )

    def put(self, part: Part) -> None:
        """Queue rows; batches leave once the calls of this turn of the event loop are here."""
        if self._is_traced:
            part.traceparent = tracing.CURRENT.get()
        self._queue.put(part)
        self._open.add(part)
        if part.deadline < self._timer_at:
            self._watch(part.deadline)
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self.pump)

    def leave(self, part: Part) -> None:
        """The caller is done with a part, answered or not: its batch ends when nobody waits for it."""
        self._open.discard(part)
        future = part.future
        if future.cancel() or future.cancelled():
            self._forget(part)
        else:
            # Marks the exception of a later part as seen: the first one is what the caller gets.
            future.exception()

    def pump(self) -> None:
        """Send batches while replicas are free."""
        self._pump_due = False
        slots = self._slots()
        while self._may_send(slots):
            parts = self._queue.take(self._limits.batch_rows)
            if not parts:
                break
            batch = Batch(parts)
            for part in parts:
                part.batch = batch
            self._running.add(batch)
            self._inflight_metric.inc(batch.rows)
            batch.task = asyncio.create_task(self._run(batch))
            # Not a finally of the task: one that is cancelled before its first step never runs.
            batch.task.add_done_callback(partial(self._finished, batch))
        self._queued_metric.set(self._queue.rows)

    def _may_send(self, slots: int) -> bool:
        """Whether a replica is free, or many rows are next: those travel while others are worked on."""
        running = len(self._running)
        return running < slots or (running < 2 * slots and self._queue.next_rows() > self._limits.batch_rows)

    def _watch(self, deadline: float) -> None:
        """One timer for all open parts, set to the earliest deadline: most calls are over long before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        now = time.monotonic()
        for part in list(self._open):
            if part.future.done():
                continue
            if part.deadline <= now:
                part.future.set_exception(DeadlineExceeded("the deadline passed before a worker answered"))
                self._forget(part)
            elif part.deadline < self._timer_at:
                self._timer_at = part.deadline
        if self._timer_at < math.inf:
            self._watch(self._timer_at)

    def _forget(self, part: Part) -> None:
        """Nobody waits for a part any more: cancel its batch when that holds for all of them."""
        batch, part.batch = part.batch, None
        if batch is not None:
            batch.wanted -= 1
            if batch.wanted == 0 and batch.task is not None:
                batch.task.cancel()

    def _slots(self) -> int:
        return max(1, self._inner.replica_count(self._deployment)) * self._limits.batches_per_replica

    async def _run(self, batch: Batch) -> None:
        started = time.monotonic()
        self._rows_metric.observe(batch.rows)
        for part in batch.parts:
            part.sent_at = started
            self._wait_metric.observe(started - part.queued_at)
        if self._is_traced:
            # The task has the context of whatever made room for it; the batch belongs to its first call.
            tracing.CURRENT.set(batch.parts[0].traceparent)
        await self._answer(batch.parts)
        done = time.monotonic()
        took = done - started
        for part in batch.parts:
            part.done_at = done
        self._worker_metric.observe(took)
        self._batch_seconds += _TREND_WEIGHT * (took - self._batch_seconds)

    def _finished(self, batch: Batch, _: asyncio.Task[None]) -> None:
        self._inflight_metric.dec(batch.rows)
        self._running.discard(batch)
        for part in batch.parts:
            part.batch = None
            part.future.cancel()
        self.pump()

    async def _answer(self, parts: list[Part]) -> None:
        try:
            scores = await self._send(parts)
        except (Unavailable, DeadlineExceeded) as error:
            # Nobody's rows are to blame: repeating them one by one would only add load.
            _fail(parts, error)
        except Exception as error:
            if len(parts) == 1:
                _fail(parts, error)
                return
            metrics.SPLIT.labels(self._deployment).inc()
            for part in parts:
                if not part.future.done():
                    await self._answer([part])
        else:
            _hand_out(parts, scores)

    async def _send(self, parts: list[Part]) -> Scores:
        first = parts[0]
        key, features, deadline = first.key, first.features, first.deadline
        if len(parts) > 1:
            features = np.concatenate([part.features for part in parts])
            deadline = max(part.deadline for part in parts)
        scores = await self._inner.score(
            key.deployment,
            key.artifact_digest,
            key.schema_hash,
            key.target,
            features,
            deadline=deadline,
            tenant=first.tenant,
        )
        rows = len(features)
        for values in scores.values():
            if len(values) != rows:
                raise Internal(
                    "a worker answered another number of rows than were sent", reason="WORKER_FAULT"
                )
        return scores


def _hand_out(parts: list[Part], scores: Scores) -> None:
    if len(parts) == 1:
        if not parts[0].future.done():
            parts[0].future.set_result(scores)
        return
    start = 0
    for part in parts:
        stop = start + part.rows
        if not part.future.done():
            part.future.set_result({name: values[start:stop] for name, values in scores.items()})
        start = stop


def _fail(parts: list[Part], error: Exception) -> None:
    for part in parts:
        if not part.future.done():
            part.future.set_exception(error)
