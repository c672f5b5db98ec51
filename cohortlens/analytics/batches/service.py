"""The calls of batch predictions: request one, look, cancel, upload an input, read the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.batches.models import (
    BATCH_REQUESTED,
    MAX_WAITING,
    SLICE_ROWS,
    BatchFilesRemoved,
    BatchInput,
    BatchNotSucceeded,
    BatchPrediction,
    BatchQueueFull,
    SubjectInvalid,
)
from cohortlens.analytics.batches.repository import BatchesRepository
from cohortlens.analytics.batches.uploads import receive
from cohortlens.analytics.models import ResourceMissing, Task, WorkState, created_at_of
from cohortlens.analytics.options import DEFAULT_OPTIONS, PredictionOptions, ask_for
from cohortlens.analytics.predictions import horizon_of, unit_of
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.contracts.features import SCHEMA
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.registry.models import PREDICTION, ModelVersion
from cohortlens.registry.service import RegistryService

_DOWNLOAD_BYTES = 256 * 1024


class BatchesService:
    """Use cases of batch predictions; the work itself is ``work.py``.

    Args:
        db: The database.
        registry: Gives the active version.
        root: Folder of the artifact store.
        slice_rows: Rows of a slice.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        registry: RegistryService,
        root: Path,
        *,
        slice_rows: int = SLICE_ROWS,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._registry = registry
        self._root = root
        self._slice_rows = slice_rows
        self._clock = clock

    async def start(
        self,
        ctx: RequestContext,
        task: Task,
        horizon_days: int,
        *,
        all_customers: bool,
        input_id: UUID | None,
        options: PredictionOptions = DEFAULT_OPTIONS,
    ) -> BatchPrediction:
        """Store a batch with the version that is active now; a job does the work.

        Args:
            ctx: The request.
            task: What to predict.
            horizon_days: Days ahead; the longest the model was trained for when 0.
            all_customers: Predict for every customer.
            input_id: Predict for the rows of an uploaded input.
            options: Level of the intervals, loss, discount.

        Raises:
            SubjectInvalid, HorizonUnsupported, TaskUnsupported, OptionUnsupported, BatchQueueFull: See their
                texts.
            ResourceMissing: No such input.
            BatchFilesRemoved: The input is not kept any more.
            NoActiveModel: Nothing is trained yet.
        """
        if all_customers == (input_id is not None):
            raise SubjectInvalid
        version = await self._registry.active(ctx.tenant_id, PREDICTION)
        ask_for(version.manifest, task.target, options)
        batch = replace(self._pending(version, task, horizon_days, input_id), options=options)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            await self._store(tx, batch, ctx.caller.id)
            idempotency.made(batch=str(batch.batch_id))
            await _note(
                tx, ctx, "requested", batch, {"task": str(task), "model_version": batch.model_version}
            )
        return batch

    async def get(self, ctx: RequestContext, batch_id: UUID) -> BatchPrediction:
        """One batch.

        Raises:
            ResourceMissing: No such batch.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await _found(BatchesRepository(tx), batch_id)

    async def page(self, ctx: RequestContext, before: UUID | None, limit: int) -> list[BatchPrediction]:
        """Batches requested before ``before``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await BatchesRepository(tx).page(before, limit)

    async def cancel(self, ctx: RequestContext, batch_id: UUID) -> BatchPrediction:
        """End a batch; one that has ended already stays as it is. Nothing of it is stored after the answer.

        Raises:
            ResourceMissing: No such batch.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = BatchesRepository(tx)
            has_ended = await repository.cancel(batch_id, self._clock())
            found = await _found(repository, batch_id)
            if has_ended:
                await _note(tx, ctx, "cancelled", found, {"rows_done": found.rows_done})
        return found

    async def upload(
        self, ctx: RequestContext, file_name: str, id_column: str, chunks: AsyncIterator[bytes]
    ) -> BatchInput:
        """Check every row of a file and keep it as an input of batches.

        Args:
            ctx: The request.
            file_name: Name of the file, for people.
            id_column: Column that identifies a row; ``id`` when empty.
            chunks: Its bytes.

        Raises:
            InputFault: The file cannot be used; names row and column. Nothing is kept.
            DiskFull: No room is left.
        """
        input_id = uuid7()
        folder = BatchFolder(self._root, ctx.tenant_id, input_id)
        try:
            facts = await receive(folder, chunks, id_column or "id", self._slice_rows)
            stored = BatchInput(
                input_id,
                file_name,
                facts.file_bytes,
                facts.file_sha256,
                facts.rows,
                self._slice_rows,
                SCHEMA.hash,
                self._clock(),
                None,
            )
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                await BatchesRepository(tx).insert_input(stored, ctx.caller.id)
                idempotency.made(input=str(input_id))
                await AuditTrail(tx).append(
                    ctx,
                    "analytics.batch_input.uploaded",
                    resource=f"batchInputs/{input_id}",
                    details={"file_sha256": facts.file_sha256, "rows": facts.rows},
                )
        except BaseException:
            folder.remove()
            raise
        return stored

    async def get_input(self, ctx: RequestContext, input_id: UUID) -> BatchInput:
        """One uploaded input.

        Raises:
            ResourceMissing: No such input.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await BatchesRepository(tx).get_input(input_id)
        if found is None:
            raise ResourceMissing("input")
        return found

    async def result(
        self, ctx: RequestContext, batch_id: UUID
    ) -> tuple[BatchPrediction, AsyncIterator[bytes]]:
        """The result file of a batch and its bytes, piece by piece.

        Raises:
            ResourceMissing: No such batch.
            BatchNotSucceeded: It has no result.
            BatchFilesRemoved: Its files are not kept any more.
        """
        batch = await self.get(ctx, batch_id)
        if batch.state is not WorkState.SUCCEEDED:
            raise BatchNotSucceeded(batch.state)
        path = BatchFolder(self._root, ctx.tenant_id, batch_id).result
        if batch.removed_at is not None or not await asyncio.to_thread(path.is_file):
            raise BatchFilesRemoved
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            await _note(tx, ctx, "downloaded", batch, {"result_sha256": batch.result_sha256})
        return batch, _pieces(path)

    def _pending(
        self, version: ModelVersion, task: Task, horizon_days: int, input_id: UUID | None
    ) -> BatchPrediction:
        batch_id = uuid7()
        return BatchPrediction(
            batch_id=batch_id,
            task=task,
            horizon_days=horizon_of(version, horizon_days),
            input_id=input_id,
            state=WorkState.PENDING,
            model_version=version.version,
            unit=unit_of(task, version),
            as_of=None,
            rows=0,
            rows_done=0,
            rows_skipped=0,
            result_sha256="",
            result_bytes=0,
            error_reason="",
            error_message="",
            created_at=created_at_of(batch_id),
            ended_at=None,
            removed_at=None,
        )

    async def _store(self, tx: AsyncConnection, batch: BatchPrediction, created_by: UUID | None) -> None:
        repository = BatchesRepository(tx)
        if batch.input_id is not None:
            given = await repository.get_input(batch.input_id, keep=True)
            if given is None:
                raise ResourceMissing("input")
            if given.removed_at is not None:
                raise BatchFilesRemoved
        if await repository.count_unfinished() >= MAX_WAITING:
            raise BatchQueueFull
        await repository.insert(batch, created_by)
        # One key for all of a tenant's batches: one runs, the others wait in their order, and a tenant with
        # many never holds more than one of the places that jobs have for batches.
        await Outbox(tx).record(BATCH_REQUESTED, "batch", {"batch_id": str(batch.batch_id)})


async def _note(
    tx: AsyncConnection, ctx: RequestContext, verb: str, batch: BatchPrediction, details: Mapping[str, Any]
) -> None:
    resource = f"batchPredictions/{batch.batch_id}"
    await AuditTrail(tx).append(ctx, f"analytics.batch.{verb}", resource=resource, details=details)


async def _found(repository: BatchesRepository, batch_id: UUID) -> BatchPrediction:
    batch = await repository.get(batch_id)
    if batch is None:
        raise ResourceMissing("batch")
    return batch


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    # An open file stays readable when its name is removed meanwhile.
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _DOWNLOAD_BYTES):
            yield piece
