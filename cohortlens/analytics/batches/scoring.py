"""The middle of a batch: slices go to the workers, what comes back is committed, until none is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import cast

from cohortlens.analytics.batches import files
from cohortlens.analytics.batches.models import BatchPrediction
from cohortlens.analytics.batches.ports import BatchScorer, ScoredSlice, ScoringOrder, SliceCharges
from cohortlens.analytics.batches.repository import BatchesRepository, Skipped
from cohortlens.analytics.batches.storing import Stamp, copy_bytes, prediction_ids, store
from cohortlens.analytics.models import Task
from cohortlens.analytics.options import ask_for, basis_of
from cohortlens.billing.usage.charges import Work
from cohortlens.billing.usage.models import QuotaExceeded
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.core.clock import Clock
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import TenantId
from cohortlens.core.telemetry import get_logger
from cohortlens.registry.models import ModelVersion

METHOD = "/cohortlens.v1.AnalyticsService/PredictBatch"
"""The RPC whose usage the slices are."""

_READY = 3
_PAUSE_S = 0.5
_HEALED_BY_REPEATING = frozenset({"WORKERS_UNAVAILABLE", "BATCH_SCORING_CRASHED", "BATCH_SCORES_CHANGED"})
_log = get_logger(__name__)


class Ended(Exception):
    """The batch was ended by somebody else: cancelled, or finished by another worker."""


@dataclass(frozen=True)
class Place:
    """A batch and where its files lie.

    Attributes:
        tenant_id: Whose it is.
        batch: The batch, begun.
        input: The frozen or uploaded input.
        folder: Scores and parts.
    """

    tenant_id: TenantId
    batch: BatchPrediction
    input: Path
    folder: BatchFolder


@dataclass(frozen=True)
class _Ready:
    """A slice that can be committed; ``copied`` is empty for an uploaded input."""

    rows: int
    copied: bytes


class SliceScoring:
    """Scores and commits what is open of one batch.

    Args:
        db: The database.
        scorer: Scores slices.
        place: The batch.
        version: Its model version.
        charges: Charge each slice before it is scored.
        commits: Places to commit at the same time.
        clock: The time.
        patience_s: Seconds without a scored slice after which absent workers are an error.
    """

    def __init__(
        self,
        db: Database,
        scorer: BatchScorer,
        place: Place,
        version: ModelVersion,
        *,
        charges: SliceCharges,
        commits: asyncio.Semaphore,
        clock: Clock,
        patience_s: float,
    ) -> None:
        batch = place.batch
        self._db = db
        self._scorer = scorer
        self._place = place
        self._version = version
        self._charges = charges
        self._commits = commits
        self._clock = clock
        self._patience_s = patience_s
        self._labels = files.Labels(batch.unit, batch.horizon_days, batch.model_version)
        self._ask = ask_for(version.manifest, batch.task.target, batch.options)
        # Customers are frozen with their sequences whenever the version reads them; uploaded rows have none.
        with_sequence = batch.input_id is None and version.manifest.wants_sequence
        self._basis = basis_of(version.manifest, self._ask, with_sequence=with_sequence)
        self._first_rows: list[int] = []
        self._sizes: list[int] = []
        self._progress_at = time.monotonic()

    async def run(self) -> None:
        """Return when every slice is committed.

        Raises:
            Ended: The batch has ended meanwhile.
            CohortLensError: A passing fault, or one for good.
        """
        self._sizes = await asyncio.to_thread(files.slice_sizes, self._place.input)
        self._first_rows = [0, *accumulate(self._sizes)]
        self._progress_at = time.monotonic()
        while wanted := await self._paid(await self._open()):
            try:
                scored = cast(
                    "AsyncGenerator[ScoredSlice, None]", self._scorer.score_slices(self._order(wanted))
                )
                async with aclosing(scored):
                    await self._commit_all(scored)
            except Unavailable as fault:
                waited = time.monotonic() - self._progress_at
                if fault.reason not in _HEALED_BY_REPEATING or waited > self._patience_s:
                    raise
                _log.warning(
                    "slices are scored again", batch=str(self._place.batch.batch_id), why=fault.reason
                )
                await asyncio.sleep(_PAUSE_S)

    async def _open(self) -> list[int]:
        async with self._db.tenant_transaction(self._place.tenant_id) as tx:
            return await BatchesRepository(tx).open_slices(self._place.batch.batch_id)

    async def _paid(self, wanted: list[int]) -> list[int]:
        """The slices that the month's quota suffices for, in order.

        Raises:
            QuotaExceeded: Not even for the first; says how far the batch got.
        """
        for at, slice_ in enumerate(wanted):
            try:
                await self._charges.charge(self._place.tenant_id, self._work(slice_))
            except QuotaExceeded as fault:
                if at:
                    return wanted[:at]
                async with self._db.tenant_transaction(self._place.tenant_id) as tx:
                    batch = await BatchesRepository(tx).get(self._place.batch.batch_id)
                if batch is None:
                    raise Ended from None
                fault.message += f"; {batch.rows_done:,} of {batch.rows:,} rows of the batch were done"
                raise
        return wanted

    def _work(self, slice_: int) -> Work:
        return Work(self._place.batch.batch_id, slice_, self._sizes[slice_])

    def _order(self, wanted: list[int]) -> ScoringOrder:
        batch = self._place.batch
        return ScoringOrder(
            tenant_id=self._place.tenant_id,
            batch_id=batch.batch_id,
            input_id=batch.input_id or batch.batch_id,
            artifact_digest=self._version.artifact_digest,
            schema_hash=self._version.manifest.schema_hash,
            target=self._ask.text(),
            horizon_days=batch.horizon_days,
            slices=wanted,
        )

    async def _commit_all(self, scored: AsyncIterator[ScoredSlice]) -> None:
        """Commit slices as they come, some at a time; the workers go on meanwhile."""
        running: set[asyncio.Task[None]] = set()
        try:
            async for one in scored:
                running.add(asyncio.create_task(self._commit(one)))
                if len(running) >= _READY:
                    running = await _some(running)
            while running:
                running = await _some(running)
        except Unavailable:
            # The stream broke: what was scored before is as good as ever.
            if running:
                await asyncio.wait(running)
            raise
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _commit(self, scored: ScoredSlice) -> None:
        ready = await asyncio.to_thread(self._prepared, scored)
        async with self._commits:
            await retried(lambda: self._write(scored.slice, ready))
        self._progress_at = time.monotonic()
        self._place.folder.scores(scored.slice).unlink(missing_ok=True)

    def _prepared(self, scored: ScoredSlice) -> _Ready:
        """Everything that needs no database: the result's rows on disk, the copy in memory."""
        place, at = self._place, scored.slice
        rows = files.read_slice(place.input, at, place.batch.horizon_days)
        scores = files.read_scores(place.folder.scores(at), scored.sha256, len(rows.ids))
        digests = files.snapshot_digests(rows.matrix)
        files.write_part(place.folder.part(at), rows, scores, digests, self._labels)
        if rows.customers is None:
            return _Ready(len(rows.ids), b"")
        ids = prediction_ids(place.batch.batch_id, self._first_rows[at], len(rows.ids))
        return _Ready(len(rows.ids), copy_bytes(ids, rows, scores, digests))

    async def _write(self, slice_: int, ready: _Ready) -> None:
        batch_id = self._place.batch.batch_id
        async with self._db.tenant_transaction(self._place.tenant_id) as tx:
            repository = BatchesRepository(tx)
            if not await repository.lock_slice(batch_id, slice_):
                return
            skipped = await store(tx, self._stamp(), ready.copied, ready.rows) if ready.copied else Skipped()
            if not await repository.finish_slice(
                batch_id, slice_, rows=ready.rows, skipped=skipped, at=self._clock()
            ):
                raise Ended
            await self._charges.note(tx, self._place.tenant_id, self._work(slice_), METHOD)

    def _stamp(self) -> Stamp:
        batch = self._place.batch
        assert batch.as_of is not None
        return Stamp(
            batch.batch_id,
            batch.created_at,
            batch.task,
            batch.horizon_days,
            self._ask.level_ratio,
            batch.unit,
            batch.model_version,
            batch.as_of,
            self._basis,
            batch.options.loss,
            self._ask.annual_discount_ratio if batch.task is Task.CLV else None,
        )


async def _some(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until one has ended; gives the others, raises what went wrong."""
    done, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return left
