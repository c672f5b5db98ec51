"""The work of a batch: freeze the input, have its slices scored, commit each, put the result together.

Run by jobs and safe to repeat: what is committed is known by its slice, so a repeated run goes on behind it
and every customer is scored exactly once, whatever died on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pyarrow as pa

from cohortlens.analytics.batches import files
from cohortlens.analytics.batches.models import RETENTION, SLICE_ROWS, BatchPrediction
from cohortlens.analytics.batches.ports import BatchScorer, SliceCharges
from cohortlens.analytics.batches.repository import BatchesRepository
from cohortlens.analytics.batches.scoring import Ended, Place, SliceScoring
from cohortlens.analytics.batches.storing import remove_refused
from cohortlens.analytics.models import WorkState
from cohortlens.analytics.predictions import check_schema
from cohortlens.analytics.work import DIED, run_to_end
from cohortlens.billing.usage.charges import Work
from cohortlens.contracts.batch_files import FOLDER, BatchFolder, written
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, FailedPrecondition
from cohortlens.core.ids import TenantId, parse_uuid
from cohortlens.core.telemetry import get_logger
from cohortlens.customers.frozen import FrozenFeatures, FrozenRows
from cohortlens.customers.usability import Activity, ConsentRequired, purpose_of
from cohortlens.registry.models import PREDICTION
from cohortlens.registry.service import RegistryService

CANCEL_CHECK_S = 0.5
"""How often a running batch looks whether it was cancelled."""

_PATIENCE_S = 60.0
_COMMITS = 2
_log = get_logger(__name__)


class Freezer(Protocol):
    """Reads all features of a tenant as one snapshot; ``customers.frozen.FeatureFreezer``."""

    def freeze(
        self, tenant_id: TenantId, *, wide: bool = False
    ) -> AbstractAsyncContextManager[FrozenFeatures]:
        """A snapshot, whose rows are read inside the block; wide ones hold weekly sequences too."""


class BatchWork:
    """Runs batches.

    Args:
        db: The database.
        registry: Gives the pinned version.
        freezer: Gives the features of all customers.
        scorer: Scores slices.
        charges: Charge slices.
        root: Folder of the artifact store.
        slice_rows: Rows of a slice of a frozen input.
        clock: The time.
        patience_s: Seconds without a scored slice after which absent workers end this attempt.
    """

    def __init__(
        self,
        db: Database,
        registry: RegistryService,
        freezer: Freezer,
        scorer: BatchScorer,
        charges: SliceCharges,
        root: Path,
        *,
        slice_rows: int = SLICE_ROWS,
        clock: Clock = now,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._db = db
        self._registry = registry
        self._freezer = freezer
        self._scorer = scorer
        self._charges = charges
        self._root = root
        self._slice_rows = slice_rows
        self._clock = clock
        self._patience_s = patience_s
        # Of all batches together: each commit holds a connection, and slices of several tenants alternate.
        self._commits = asyncio.Semaphore(_COMMITS)

    async def run(self, tenant_id: TenantId, batch_id: UUID) -> None:
        """Do or resume a batch; one that has ended, or is not there, is left alone.

        Raises:
            CohortLensError: A passing fault (no worker, no database, no disk); call again later.
        """
        work = asyncio.create_task(self._run(tenant_id, batch_id))
        watch = asyncio.create_task(self._until_ended(tenant_id, batch_id))
        try:
            await run_to_end(_first_of(work, watch), lambda fault: self.fail(tenant_id, batch_id, fault))
        except Ended:
            _log.info("batch ended by another", batch=str(batch_id))
        await self._tidy(tenant_id, batch_id)

    async def fail(self, tenant_id: TenantId, batch_id: UUID, fault: CohortLensError = DIED) -> None:
        """End a batch badly; one that has ended is left alone."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            await BatchesRepository(tx).fail(batch_id, fault.reason, fault.message, self._clock())
        await self._give_back(tenant_id, batch_id)

    async def sweep(self) -> int:
        """Remove the files of work that ended over 7 days ago, and what nobody knows; answers how many."""
        before = self._clock() - RETENTION
        old = await asyncio.to_thread(_folders, self._root, before.timestamp())
        removed = 0
        for tenant_id, owners in old.items():
            async with self._db.tenant_transaction(tenant_id) as tx:
                gone = await BatchesRepository(tx).remove_expired(owners, before, self._clock())
            for owner in gone:
                await asyncio.to_thread(BatchFolder(self._root, tenant_id, owner).remove)
            removed += len(gone)
        return removed

    async def _run(self, tenant_id: TenantId, batch_id: UUID) -> None:
        batch = await self._read(tenant_id, batch_id)
        if batch is None or batch.state.is_final:
            return
        version = await self._registry.version(tenant_id, PREDICTION, batch.model_version)
        check_schema(version)
        folder = BatchFolder(self._root, tenant_id, batch.input_id or batch_id)
        if batch.state is WorkState.PENDING:
            await asyncio.to_thread(BatchFolder(self._root, tenant_id, batch_id).make)
            batch = await self._begin(tenant_id, batch, folder)
        if not await asyncio.to_thread(folder.input.is_file):
            raise FailedPrecondition("the input of the batch is gone", reason="BATCH_FILES_REMOVED")
        place = Place(tenant_id, batch, folder.input, BatchFolder(self._root, tenant_id, batch_id))
        await SliceScoring(
            self._db,
            self._scorer,
            place,
            version,
            charges=self._charges,
            commits=self._commits,
            clock=self._clock,
            patience_s=self._patience_s,
        ).run()
        await self._finish(tenant_id, batch)

    async def _begin(
        self, tenant_id: TenantId, batch: BatchPrediction, folder: BatchFolder
    ) -> BatchPrediction:
        """Fix what is scored: from here on rows, slices and the day do not change."""
        as_of, excluded = None, 0
        if batch.input_id is None:
            version = await self._registry.version(tenant_id, PREDICTION, batch.model_version)
            as_of, excluded = await self._freeze(tenant_id, folder, wide=version.manifest.wants_sequence)
        slices = await asyncio.to_thread(files.slice_sizes, folder.input)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await BatchesRepository(tx).begin(batch.batch_id, slices, as_of, excluded)
        begun = await self._read(tenant_id, batch.batch_id)
        if begun is None or begun.state is not WorkState.RUNNING:
            raise Ended
        return begun

    async def _freeze(self, tenant_id: TenantId, folder: BatchFolder, *, wide: bool) -> tuple[date, int]:
        with written(folder.input) as part:
            width = files.WIDE_WIDTH if wide else files.WIDTH
            writer = files.InputWriter(part, frozen=True, width=width)
            try:
                async with self._freezer.freeze(tenant_id, wide=wide) as frozen:
                    await _write_slices(writer, frozen, self._slice_rows)
            finally:
                await asyncio.to_thread(writer.close)
            if not writer.slices and frozen.excluded_no_consent:
                async with self._db.tenant_transaction(tenant_id) as tx:
                    raise ConsentRequired(Activity.PREDICTION, await purpose_of(tx, Activity.PREDICTION))
            if not writer.slices or frozen.as_of is None:
                raise FailedPrecondition(
                    "no customer has features; import transactions first", reason="FEATURES_MISSING"
                )
        return frozen.as_of, frozen.excluded_no_consent

    async def _finish(self, tenant_id: TenantId, batch: BatchPrediction) -> None:
        folder = BatchFolder(self._root, tenant_id, batch.batch_id)
        await self._leave_out(tenant_id, batch)
        while True:
            async with self._db.tenant_transaction(tenant_id) as tx:
                slices = await BatchesRepository(tx).slices(batch.batch_id)
            kept = [(slice_, skipped) for slice_, _, skipped in slices]
            sha256, size = await asyncio.to_thread(files.assemble, folder, kept)
            # Asked again where it is published; each turn leaves out whom the one before put in.
            if not await self._leave_out(tenant_id, batch, (sha256, size)):
                break
        _log.info("batch done", batch=str(batch.batch_id), rows=batch.rows)

    async def _leave_out(
        self, tenant_id: TenantId, batch: BatchPrediction, result: tuple[str, int] | None = None
    ) -> bool:
        """Take out who may not be used any more; without any publish ``result``. True if there was one."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = BatchesRepository(tx)
            gone: list[int] = []
            if batch.input_id is None:
                gone = await remove_refused(tx, batch.batch_id, batch.created_at, batch.rows)
            first = 0
            for slice_, rows, _ in await repository.slices(batch.batch_id) if gone else ():
                if own := [row - first for row in gone if first <= row < first + rows]:
                    await repository.leave_out(batch.batch_id, slice_, own)
                first += rows
            if result is not None and not gone:
                await repository.succeed(batch.batch_id, *result, self._clock())
        return bool(gone)

    async def _tidy(self, tenant_id: TenantId, batch_id: UUID) -> None:
        """Keep only the result, once the state is final."""
        batch = await self._read(tenant_id, batch_id)
        if batch is not None and batch.state.is_final:
            keep = batch.state is WorkState.SUCCEEDED
            folder = BatchFolder(self._root, tenant_id, batch_id)
            await asyncio.to_thread(lambda: folder.remove(keep_result=keep))
            if not keep:
                await self._give_back(tenant_id, batch_id)

    async def _give_back(self, tenant_id: TenantId, batch_id: UUID) -> None:
        """Give back what slices cost that will never be done."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            left = await BatchesRepository(tx).undone(batch_id)
        await self._charges.give_back(tenant_id, [Work(batch_id, slice_, rows) for slice_, rows in left])

    async def _until_ended(self, tenant_id: TenantId, batch_id: UUID) -> None:
        """Raise Ended when the batch is final or gone; a database that is away is the work's to notice."""
        while True:
            await asyncio.sleep(CANCEL_CHECK_S)
            with contextlib.suppress(CohortLensError, OSError):
                batch = await self._read(tenant_id, batch_id)
                if batch is None or batch.state.is_final:
                    raise Ended

    async def _read(self, tenant_id: TenantId, batch_id: UUID) -> BatchPrediction | None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            return await BatchesRepository(tx).get(batch_id)


async def _write_slices(writer: files.InputWriter, frozen: FrozenFeatures, slice_rows: int) -> None:
    """Write the rows of a snapshot in slices of ``slice_rows``, the last one shorter."""
    held: list[FrozenRows] = []
    async for rows in frozen.rows:
        held.append(rows)
        while sum(len(one.externals) for one in held) >= slice_rows:
            whole = _joined(held)
            await asyncio.to_thread(_write, writer, _cut(whole, 0, slice_rows))
            held = [_cut(whole, slice_rows, len(whole.externals))]
    last = _joined(held) if held else None
    if last is not None and len(last.externals):
        await asyncio.to_thread(_write, writer, last)


def _write(writer: files.InputWriter, rows: FrozenRows) -> None:
    writer.write(rows.externals, pa.py_buffer(rows.vectors), pa.py_buffer(rows.customers))


def _joined(held: list[FrozenRows]) -> FrozenRows:
    return FrozenRows(
        b"".join(one.customers for one in held),
        pa.concat_arrays([one.externals for one in held]),
        b"".join(one.vectors for one in held),
    )


def _cut(rows: FrozenRows, first: int, end: int) -> FrozenRows:
    width = len(rows.vectors) // max(1, len(rows.externals))
    return FrozenRows(
        rows.customers[16 * first : 16 * end],
        rows.externals[first:end],
        rows.vectors[width * first : width * end],
    )


def _folders(root: Path, before: float) -> dict[TenantId, list[UUID]]:
    """Owners of folders in which nothing was written since ``before`` (Unix time), by tenant."""
    found: dict[TenantId, list[UUID]] = {}
    for path in (root / FOLDER).glob("*/*"):
        tenant, owner = parse_uuid(path.parent.name), parse_uuid(path.name)
        if tenant is not None and owner is not None and path.stat().st_mtime < before:
            found.setdefault(TenantId(tenant), []).append(owner)
    return found


async def _first_of(work: asyncio.Task[None], watch: asyncio.Task[None]) -> None:
    """Wait for ``work``, or for what ``watch`` raises; neither goes on afterwards."""
    try:
        done, _ = await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)
