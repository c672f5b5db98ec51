"""PredictStream and ScoreTensor: many predictions on one stream, a bounded number of them under way."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cohortlens.analytics.columns import Predictions
from cohortlens.analytics.models import Subjects
from cohortlens.analytics.options import Basis, ask_for, basis_of
from cohortlens.analytics.ports import Features
from cohortlens.analytics.predictions import PredictionsService
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import CohortLensError, InvalidArgument, Violation
from cohortlens.core.telemetry import get_logger
from cohortlens.registry.models import ModelVersion
from cohortlens.v1 import analytics_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.interceptors.errors import unexpected
from gateway.interceptors.validate import Refused
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.analytics_replies import PredictionsReply
from gateway.servicers.answering import answers
from gateway.wire.rows import ColumnReply, Dump

MESSAGES_AT_ONCE = 32
"""Messages of one PredictStream that are worked on at once."""

CHUNKS_AT_ONCE = 2
"""Chunks of one ScoreTensor that are worked on at once."""

_MESSAGE_LIMIT_S = 5.0
_CHUNK_LIMIT_S = 60.0
_FLOAT_BYTES = 4
_log = get_logger(__name__)


class StreamReply(ColumnReply):
    """A ``PredictStreamResponse`` that holds predictions.

    Args:
        made: The predictions.
        head: What stands beside them.
    """

    __slots__ = ("_head", "_rows")

    def __init__(self, made: Predictions, head: pb.PredictStreamResponse) -> None:
        self._rows = PredictionsReply(made)
        self._head = head

    def SerializeToString(self, **_: Any) -> bytes:
        """The bytes of the reply; its predictions have the field number they have in ``PredictResponse``."""
        return self._rows.SerializeToString() + self._head.SerializeToString()

    def json_value(self, dump: Dump) -> dict[str, Any]:
        """The JSON value of the reply."""
        # Vectors are nobody's: there is none to leave out.
        return {**dump(self._head), "predictions": self._rows.json_value(dump)["predictions"]}


class PredictStreams:
    """Both streaming calls.

    Args:
        predictions: Predicts.
    """

    def __init__(self, predictions: PredictionsService) -> None:
        self._predictions = predictions

    def predict(self, requests: AsyncIterator[Any], call: Call) -> AsyncGenerator[Any, None]:
        """Answer each message by itself, as soon as it is ready; a bad one gets its own fault."""
        ctx = call.context

        async def one(numbered: tuple[int, Any]) -> Any:
            position, request = numbered
            head = pb.PredictStreamResponse(position=position)
            try:
                return StreamReply(await self._predict(ctx, request, head), head)
            except CohortLensError as error:
                fault = error
            except Exception as error:
                _log.error("unexpected", exc_info=error, request_id=ctx.request_id)
                fault = unexpected()
            head.fault.CopyFrom(mapping.fault_message(fault))
            return head

        return answers(_numbered(requests), one, window=MESSAGES_AT_ONCE, in_order=False)

    async def _predict(
        self, ctx: RequestContext, request: Any, head: pb.PredictStreamResponse
    ) -> Predictions:
        if isinstance(request, Refused):
            if request.message is not None:
                head.correlation_id = request.message.correlation_id
            raise request.fault
        message, vectors = mapping.opened(request)
        head.correlation_id = message.correlation_id
        rows = mapping.vectors_of(message, vectors)
        if not len(rows):
            raise InvalidArgument("vectors is required", violations=(Violation("vectors", "is required"),))
        return await self._predictions.predict(
            _within(ctx, _MESSAGE_LIMIT_S),
            mapping.task_of(message.task),
            Subjects(vectors=rows, schema_hash=message.schema_hash),
            message.horizon_days,
            mapping.options_of(message),
        )

    def score(
        self, requests: AsyncIterator[pb.ScoreTensorRequest], call: Call
    ) -> AsyncGenerator[pb.ScoreTensorResponse, None]:
        """Score chunk by chunk, in order; the first fault ends the stream behind what came before it."""
        ctx = call.context

        async def one(chunk: _Chunk) -> pb.ScoreTensorResponse:
            header = chunk.header
            try:
                scores, version = await self._predictions.score_matrix(
                    _within(ctx, _CHUNK_LIMIT_S),
                    mapping.task_of(header.task),
                    chunk.matrix,
                    horizon_days=header.horizon_days,
                    version=header.model_version,
                    options=mapping.options_of(header),
                )
            except ContractFault as fault:
                raise _chunk_fault(chunk, fault) from None
            columns = {name: scores[name].astype("<f8").tobytes() for name in ("value", "lower", "upper")}
            return pb.ScoreTensorResponse(
                sequence=chunk.sequence,
                rows=len(chunk.matrix),
                model_version=version.version,
                basis=mapping.BASIS_NUMBERS[_basis(version, header)],
                **columns,
            )

        return answers(_chunks(requests), one, window=CHUNKS_AT_ONCE, in_order=True)


def _basis(version: ModelVersion, header: pb.TensorHeader) -> Basis:
    ask = ask_for(version.manifest, mapping.task_of(header.task).target, mapping.options_of(header))
    return basis_of(version.manifest, ask, with_sequence=False)


class _Chunk(NamedTuple):
    header: pb.TensorHeader
    sequence: int
    matrix: Features


async def _numbered(requests: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    position = 0
    async for request in requests:
        position += 1
        yield position, request


async def _chunks(requests: AsyncIterator[pb.ScoreTensorRequest]) -> AsyncIterator[_Chunk]:
    """The chunks behind the header as rows in schema order."""
    header, order, expected = None, np.empty(0, np.intp), 0
    async for request in requests:
        kind = request.WhichOneof("content")
        if kind == "header":
            if header is not None:
                raise _refused("header", "may be sent only once, as the first message")
            header, order = request.header, _order(request.header)
        elif header is None:
            raise _refused("header", "must be the first message")
        elif kind is None:
            raise _refused("chunk", "is required in every message behind the header")
        else:
            yield _Chunk(header, expected, _matrix(request.chunk, expected, order))
            expected += 1


def _order(header: pb.TensorHeader) -> Any:
    """Positions of the schema's columns in the caller's rows; checks the header."""
    mapping.task_of(header.task)
    if header.schema_hash != SCHEMA.hash:
        raise InvalidArgument(
            "header.schema_hash is not that of the present feature schema; read it from GetFeatureSchema",
            reason="FEATURE_SCHEMA_MISMATCH",
            metadata={"schema_hash": SCHEMA.hash},
            violations=(Violation("header.schema_hash", f"must be {SCHEMA.hash}"),),
        )
    given = list(header.columns) or list(SCHEMA.names)
    if sorted(given) != sorted(SCHEMA.names):
        wrong = next((name for name in given if name not in SCHEMA.names or given.count(name) > 1), None)
        missing = next((name for name in SCHEMA.names if name not in given), None)
        what = f"{wrong[:40]!r} is unknown or given twice" if wrong is not None else f"{missing} is missing"
        raise _refused("header.columns", f"must be the columns of the schema, each once: {what}")
    return np.array([given.index(name) for name in SCHEMA.names])


def _matrix(chunk: pb.TensorChunk, expected: int, order: Any) -> Features:
    if chunk.sequence != expected:
        raise _refused("chunk.sequence", f"must be {expected}: chunks are counted from 0 without gaps")
    size = chunk.rows * len(order) * _FLOAT_BYTES
    if len(chunk.values) != size:
        raise _refused(
            "chunk.values",
            f"must have {size} bytes, {chunk.rows} rows of {len(order)} float32; has {len(chunk.values)}",
        )
    rows = np.frombuffer(chunk.values, "<f4").reshape(chunk.rows, len(order))
    return np.ascontiguousarray(rows[:, order], np.float32)


def _refused(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {why}", violations=(Violation(field, why),))


def _chunk_fault(chunk: _Chunk, fault: ContractFault) -> InvalidArgument:
    """A fault of the rows with the chunk it is in."""
    return InvalidArgument(
        f"chunk {chunk.sequence}: {fault.message}",
        reason=fault.reason,
        metadata={**fault.metadata, "sequence": str(chunk.sequence)},
        violations=(Violation("chunk.values", fault.message),),
    )


def _within(ctx: RequestContext, limit_s: float) -> RequestContext:
    """The context of one message: its own deadline inside that of the stream."""
    return replace(ctx, deadline=min(ctx.deadline, time.monotonic() + limit_s))
