"""Batch predictions of AnalyticsService: messages to use cases and back; its servicer inherits this."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from google.api import httpbody_pb2

from cohortlens.analytics.batches.models import BatchInput, BatchPrediction
from cohortlens.analytics.models import Task
from cohortlens.bootstrap.services import Services
from cohortlens.v1 import analytics_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import (
    LOSS_NUMBERS,
    TASK_NUMBERS,
    day_text,
    identifier_of,
    options_of,
    state_number,
    task_of,
    timestamp,
    work_error,
)
from gateway.servicers.paging import read_page
from gateway.servicers.uploads import chunks, first_options

PARQUET = "application/vnd.apache.parquet"


class BatchPredictionsServicer:
    """The batch methods of ``cohortlens.v1.AnalyticsService``.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._batches = services.analytics.batches
        self._batch_tokens = services.page_tokens

    async def PredictBatch(self, request: pb.PredictBatchRequest, call: Call) -> pb.PredictBatchResponse:
        """Start a batch over all customers or an uploaded input."""
        stored = await self._batches.start(
            call.context,
            task_of(request.task),
            request.horizon_days,
            all_customers=request.all_customers,
            input_id=identifier_of("input", request.input) if request.input else None,
            options=options_of(request),
        )
        return pb.PredictBatchResponse(batch=batch_message(stored))

    async def GetBatchPrediction(
        self, request: pb.GetBatchPredictionRequest, call: Call
    ) -> pb.GetBatchPredictionResponse:
        """One batch."""
        found = await self._batches.get(call.context, identifier_of("batch", request.batch))
        return pb.GetBatchPredictionResponse(batch=batch_message(found))

    async def ListBatchPredictions(
        self, request: pb.ListBatchPredictionsRequest, call: Call
    ) -> pb.ListBatchPredictionsResponse:
        """A page of batches, newest first."""
        ctx = call.context

        async def read(cursor: Any, limit: int) -> list[BatchPrediction]:
            return await self._batches.page(ctx, None if cursor is None else UUID(cursor), limit)

        rows, following = await read_page(
            self._batch_tokens,
            ctx,
            "ListBatchPredictions",
            {},
            request,
            read,
            lambda row: str(row.batch_id),
        )
        return pb.ListBatchPredictionsResponse(
            batches=[batch_message(row) for row in rows], next_page_token=following
        )

    async def CancelBatchPrediction(
        self, request: pb.CancelBatchPredictionRequest, call: Call
    ) -> pb.CancelBatchPredictionResponse:
        """End a batch."""
        found = await self._batches.cancel(call.context, identifier_of("batch", request.batch))
        return pb.CancelBatchPredictionResponse(batch=batch_message(found))

    async def UploadBatchInput(
        self, requests: AsyncIterator[pb.UploadBatchInputRequest], call: Call
    ) -> pb.UploadBatchInputResponse:
        """Check and store an upload: options first, then its bytes.

        Raises:
            InvalidArgument: FIELD_INVALID for parts in the wrong order or too large; names the field.
        """
        options = await first_options(requests)
        stored = await self._batches.upload(
            call.context, options.file_name, options.id_column, chunks(requests)
        )
        return pb.UploadBatchInputResponse(input=input_message(stored))

    async def GetBatchInput(self, request: pb.GetBatchInputRequest, call: Call) -> pb.GetBatchInputResponse:
        """One uploaded input."""
        found = await self._batches.get_input(call.context, identifier_of("input", request.input))
        return pb.GetBatchInputResponse(input=input_message(found))

    async def DownloadBatchResult(
        self, request: pb.DownloadBatchResultRequest, call: Call
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The result file, piece by piece."""
        batch, pieces = await self._batches.result(call.context, identifier_of("batch", request.batch))
        name = f"batch-{batch.batch_id}.parquet"
        call.response_headers.append(("content-disposition", f'attachment; filename="{name}"'))
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=PARQUET, data=piece)


def batch_message(batch: BatchPrediction) -> pb.BatchPrediction:
    """A batch as a message."""
    return pb.BatchPrediction(
        batch=str(batch.batch_id),
        state=state_number(batch.state),
        progress_ratio=batch.progress_ratio,
        rows=batch.rows,
        rows_done=batch.rows_done,
        rows_skipped=batch.rows_skipped,
        excluded_no_consent=batch.excluded_no_consent,
        task=TASK_NUMBERS[batch.task],
        horizon_days=batch.horizon_days,
        unit=batch.unit,
        model_version=batch.model_version,
        data_as_of=day_text(batch.as_of),
        input="" if batch.input_id is None else str(batch.input_id),
        result_sha256=batch.result_sha256,
        result_bytes=batch.result_bytes,
        files_removed=batch.removed_at is not None,
        error=work_error(batch.error_reason, batch.error_message),
        create_time=timestamp(batch.created_at),
        end_time=timestamp(batch.ended_at),
        level_ratio=batch.options.level_ratio,
        loss=LOSS_NUMBERS[batch.options.loss],
        annual_discount_ratio=batch.options.annual_discount_ratio if batch.task is Task.CLV else None,
    )


def input_message(given: BatchInput) -> pb.BatchInput:
    """An uploaded input as a message."""
    return pb.BatchInput(
        input=str(given.input_id),
        rows=given.rows,
        file_name=given.file_name,
        file_bytes=given.file_bytes,
        file_sha256=given.file_sha256,
        schema_hash=given.schema_hash,
        create_time=timestamp(given.created_at),
    )
