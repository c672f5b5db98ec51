"""Shadow traffic: a share of the calls goes to the challenger too, off the caller's path.

``ShadowTraffic.offer`` takes what a call was answered and returns at once. One task per process scores the
rows with the challenger, little by little, and stores how the two compare. What does not fit into its bounded
queue is dropped and counted: the shadow is a sample, the caller is not to notice it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter as Tally
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from prometheus_client import Counter, Gauge

from cohortlens.analytics.models import Task, created_at_of
from cohortlens.analytics.ports import Features, InferenceClient, Scores
from cohortlens.analytics.shadow_repository import ShadowPrediction, ShadowRepository
from cohortlens.analytics.shadow_totals import Comparison, ShadowKey, ShadowTotals
from cohortlens.core.clock import now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Internal
from cohortlens.core.ids import CustomerId, TenantId, uuid7
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.registry.models import PREDICTION, Challenger, ModelVersion

SHADOW_ROWS = Counter("shadow_rows_total", "Rows of shadow traffic", ("outcome",), registry=REGISTRY)
QUEUED_ROWS = Gauge("shadow_queued_rows", "Rows that wait for a challenger", registry=REGISTRY)
_COMPARED, _DROPPED, _FAILED = (SHADOW_ROWS.labels(one) for one in ("compared", "dropped", "failed"))
_COUNTED_MOST = 10_000
_COMPARED_TASKS = frozenset({Task.PURCHASES, Task.SPEND})
"""Tasks that every version has ever predicted; the others follow from the same members."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class ShadowLimits:
    """How little the shadow may take.

    Attributes:
        queue_rows: Most rows that wait.
        tenant_rows: Most of them that belong to one tenant.
        call_rows: Most rows taken from one call; of a larger one, every n-th.
        batch_rows: Most rows sent at once; one call's rows stay together.
        duty_ratio: Share of the time in which a batch is under way; the rest is a pause.
        score_s: Seconds after which a batch is given up.
        store_every_s: Seconds between two writes.
        pause_after_fault_s: Seconds of rest after a batch that was not answered.
        time_every: Of one comparison, every n-th batch is also scored by the champion, to compare times.
    """

    queue_rows: int = 4096
    tenant_rows: int = 1024
    call_rows: int = 64
    batch_rows: int = 64
    duty_ratio: float = 0.2
    score_s: float = 2.0
    store_every_s: float = 0.5
    pause_after_fault_s: float = 1.0
    time_every: int = 4


@dataclass(frozen=True, slots=True)
class _Sample:
    """Rows of one call and what the champion answered."""

    tenant_id: TenantId
    champion: ModelVersion
    challenger: Challenger
    key: ShadowKey
    features: Features
    scores: Scores
    customers: Sequence[CustomerId]


@dataclass
class _Unstored:
    """What was compared for one tenant and is not written yet."""

    sums: dict[ShadowKey, ShadowTotals] = field(default_factory=dict)
    predictions: list[ShadowPrediction] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.sums.values())


class ShadowTraffic:
    """Compares challengers with champions.

    Args:
        db: The database.
        client: Reaches the replicas; not the one that gathers the callers' rows, so that none of them waits.
        limits: How little it may take.
    """

    def __init__(self, db: Database, client: InferenceClient, limits: ShadowLimits | None = None) -> None:
        self._db = db
        self._client = client
        self._limits = limits or ShadowLimits()
        self._queues: OrderedDict[tuple[TenantId, ShadowKey], deque[_Sample]] = OrderedDict()
        self._rows = 0
        self._held: Tally[TenantId] = Tally()
        self._unstored: dict[TenantId, _Unstored] = {}
        self._task: asyncio.Task[None] | None = None
        self._batches: Tally[tuple[TenantId, ShadowKey]] = Tally()
        self._closed = False

    def offer(
        self,
        tenant_id: TenantId,
        champion: ModelVersion,
        task: Task,
        horizon_days: int,
        features: Features,
        scores: Scores,
        customers: Sequence[CustomerId] = (),
    ) -> None:
        """Take rows of an answered call when its challenger is to see them; never waits, never fails.

        Args:
            tenant_id: Whose call it was.
            champion: The version that answered, with its challenger.
            task: What was predicted.
            horizon_days: Days looked ahead.
            features: Shape (n, columns), float32, with the horizon; not changed after the call.
            scores: What was answered, ``value``, ``lower`` and ``upper`` of shape (n,).
            customers: Customers of the rows; empty for vectors, of which only sums are kept.
        """
        challenger = champion.challenger
        if challenger is None or self._closed or random.random() >= challenger.share_ratio:  # noqa: S311
            return
        if task not in _COMPARED_TASKS:
            return
        comparable = challenger.schema_hash == champion.manifest.schema_hash
        if not comparable or horizon_days not in challenger.horizons_days:
            return
        step = -(-len(features) // self._limits.call_rows)
        chosen = slice(random.randrange(step), None, step)  # noqa: S311
        rows = features[chosen]
        if (
            self._rows + len(rows) > self._limits.queue_rows
            or self._held[tenant_id] + len(rows) > self._limits.tenant_rows
        ):
            _DROPPED.inc(len(rows))
            return
        key = ShadowKey(champion.version, challenger.version, task, horizon_days)
        answered = {name: scores[name][chosen] for name in ("value", "lower", "upper")}
        sample = _Sample(tenant_id, champion, challenger, key, rows, answered, tuple(customers[chosen]))
        self._queues.setdefault((tenant_id, key), deque()).append(sample)
        self._hold(tenant_id, len(rows))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="shadow")

    async def report(self, ctx: RequestContext, challenger: Challenger) -> list[Comparison]:
        """How a challenger compares so far, latest champion first; up to a second behind."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await ShadowRepository(tx).comparisons(challenger.version)

    async def close(self) -> None:
        """Score no more; write what was compared."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._store()

    async def _run(self) -> None:
        stored_at = time.monotonic()
        while self._queues or self._unstored:
            began, failed = time.monotonic(), False
            if self._queues:
                failed = not await self._compare(self._take())
            if began - stored_at >= self._limits.store_every_s:
                await self._store()
                stored_at = time.monotonic()
            pause = (time.monotonic() - began) * (1 / self._limits.duty_ratio - 1)
            if failed:
                pause = max(pause, self._limits.pause_after_fault_s)
            elif not self._queues:
                pause = max(pause, self._limits.store_every_s)
            await asyncio.sleep(pause)

    def _take(self) -> list[_Sample]:
        """What fits into a batch of the one whose turn it is; its rest goes to the end of the line."""
        which, waiting = self._queues.popitem(last=False)
        taken = [waiting.popleft()]
        rows = len(taken[0].features)
        while waiting and rows + len(waiting[0].features) <= self._limits.batch_rows:
            taken.append(waiting.popleft())
            rows += len(taken[-1].features)
        if waiting:
            self._queues[which] = waiting
        self._hold(which[0], -rows)
        return taken

    def _hold(self, tenant_id: TenantId, rows: int) -> None:
        self._rows += rows
        self._held[tenant_id] += rows
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        QUEUED_ROWS.inc(rows)

    async def _compare(self, samples: list[_Sample]) -> bool:
        """Score the rows with the challenger; False when it did not answer."""
        first = samples[0]
        features = np.concatenate([one.features for one in samples])
        try:
            challenged, times_ms = await self._score(first, features)
        except Exception as error:
            # Whatever happens to a challenger, nobody waits for it.
            _FAILED.inc(len(features))
            _log.warning("a challenger did not answer", error=str(error))
            return False
        answered = {name: np.concatenate([one.scores[name] for one in samples]) for name in first.scores}
        totals = ShadowTotals.of(answered, challenged, times_ms)
        unstored = self._unstored.setdefault(first.tenant_id, _Unstored())
        known = unstored.sums.get(first.key)
        unstored.sums[first.key] = totals if known is None else known + totals
        customers = [name for one in samples for name in one.customers or (None,) * len(one.features)]
        unstored.predictions += _predictions(first.key, customers, answered, challenged)
        return True

    async def _score(self, sample: _Sample, features: Features) -> tuple[Scores, tuple[float, float] | None]:
        """The challenger's answers; now and then with the times that champion and challenger took."""
        challenger, champion = sample.challenger.artifact_digest, sample.champion.artifact_digest
        turn, rest = divmod(self._batches[sample.tenant_id, sample.key], self._limits.time_every)
        if len(self._batches) > _COUNTED_MOST:
            self._batches.clear()
        self._batches[sample.tenant_id, sample.key] += 1
        if rest:
            return (await self._timed(sample, challenger, features))[0], None
        # Whoever goes second finds the rows in the processor's caches: they take turns.
        order = (champion, challenger) if turn % 2 else (challenger, champion)
        found = {digest: await self._timed(sample, digest, features) for digest in order}
        return found[challenger][0], (found[champion][1], found[challenger][1])

    async def _timed(self, sample: _Sample, digest: str, features: Features) -> tuple[Scores, float]:
        began = time.perf_counter()
        scores = await self._client.score(
            PREDICTION,
            digest,
            sample.challenger.schema_hash,
            sample.key.task.target,
            features,
            deadline=time.monotonic() + self._limits.score_s,
            tenant=str(sample.tenant_id),
        )
        took_ms = (time.perf_counter() - began) * 1000
        if not np.isfinite(scores["value"]).all():
            raise Internal("a challenger answered a value that is not finite", reason="WORKER_FAULT")
        return scores, took_ms

    async def _store(self) -> None:
        unstored, self._unstored = self._unstored, {}
        for tenant_id, one in unstored.items():
            try:
                async with self._db.tenant_transaction(tenant_id) as tx:
                    repository = ShadowRepository(tx)
                    if one.predictions:
                        await repository.insert(one.predictions)
                    await repository.add(one.sums, now())
            except Exception as error:
                # Kept for another attempt it would grow without bound while the database is away.
                _FAILED.inc(one.rows)
                _log.warning("a comparison was not stored", error=str(error))
            else:
                _COMPARED.inc(one.rows)


def _predictions(
    key: ShadowKey, customers: Sequence[CustomerId | None], champion: Scores, challenger: Scores
) -> list[ShadowPrediction]:
    """Answers for customers; those for vectors are left out."""
    found = []
    for row, customer_id in enumerate(customers):
        if customer_id is not None:
            shadow_id = uuid7()
            found.append(
                ShadowPrediction(
                    created_at_of(shadow_id),
                    shadow_id,
                    customer_id,
                    key,
                    float(champion["value"][row]),
                    float(champion["lower"][row]),
                    float(champion["upper"][row]),
                    float(challenger["value"][row]),
                )
            )
    return found
