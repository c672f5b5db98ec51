"""``BatchScoringService`` of the supervisor: checks an order, runs it, streams what is scored.

A caller that goes away ends its order; the slices it had are committed, the others will be ordered again.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any
from uuid import UUID

import grpc.aio

from cohortlens.contracts.asks import AskInvalid, ask_of
from cohortlens.core import clock
from cohortlens.core.errors import (
    Code,
    CohortLensError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    Unavailable,
)
from cohortlens.internal.v1 import batch_pb2 as pb
from cohortlens.internal.v1 import batch_pb2_grpc as pb_grpc
from workers.batch_orders import SliceFailed, SliceOutcome, SlicesOrder
from workers.deployments.listening import Listen
from workers.deployments.registration import Registration, ReplicaRecord, redis_client
from workers.deployments.server import GrpcServer, faults_as_status

DEPLOYMENT = "batch"
"""Name under which the supervisor registers the service."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FAULTS: dict[Code, type[CohortLensError]] = {
    Code.INVALID_ARGUMENT: InvalidArgument,
    Code.FAILED_PRECONDITION: FailedPrecondition,
    # A model version that is not in the store will not come back by trying again.
    Code.NOT_FOUND: FailedPrecondition,
    Code.UNAVAILABLE: Unavailable,
}

SlicesRunner = Callable[[SlicesOrder], AsyncGenerator[SliceOutcome, None]]
"""Runs an order; closing the generator early ends it."""


def order_of(request: pb.ScoreSlicesRequest) -> SlicesOrder:
    """The order that a request holds.

    Raises:
        InvalidArgument: A field cannot be used; the message names it.
    """
    # Identifiers become names of folders: only their canonical form is taken.
    for field in ("tenant", "batch", "input"):
        if not _UUID.fullmatch(getattr(request, field)):
            raise InvalidArgument(f"{field} is not a UUID; expected its canonical lower-case form")
    for field in ("artifact_digest", "schema_hash"):
        if not _DIGEST.fullmatch(getattr(request, field)):
            raise InvalidArgument(f"{field} is not a digest; expected 64 lower-case hex digits")
    try:
        ask_of(request.target)
    except AskInvalid as fault:
        raise InvalidArgument(fault.message) from None
    if request.horizon_days < 1:
        raise InvalidArgument(f"horizon_days is {request.horizon_days}; expected at least 1")
    if not request.slices or min(request.slices) < 0:
        raise InvalidArgument("slices must name row groups of the input, from 0")
    return SlicesOrder(
        tenant=UUID(request.tenant),
        batch=UUID(request.batch),
        input=UUID(request.input),
        artifact_digest=request.artifact_digest,
        schema_hash=request.schema_hash,
        target=request.target,
        horizon_days=request.horizon_days,
        slices=tuple(request.slices),
    )


class BatchScoringService(pb_grpc.BatchScoringServiceServicer):
    """Scores the slices of one order per call.

    Args:
        run: Runs an order.
    """

    def __init__(self, run: SlicesRunner) -> None:
        self._run = run
        self.under_way = 0

    async def ScoreSlices(  # noqa: N802
        self, request: pb.ScoreSlicesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.ScoreSlicesResponse]:
        """Answer each slice when its scores are there; a slice that fails ends the call."""
        self.under_way += 1
        try:
            async with faults_as_status(context), aclosing(self._run(order_of(request))) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, SliceFailed):
                        raise _fault(outcome)
                    yield pb.ScoreSlicesResponse(
                        slice=outcome.slice, rows=outcome.rows, sha256=outcome.sha256, cpu_s=outcome.cpu_s
                    )
        finally:
            self.under_way -= 1


class BatchScoringServer:
    """The service on a port of its own, registered in Redis.

    Args:
        redis_url: Address of Redis.
        run: Runs an order.
        listen: Where; on loopback when not said.
    """

    def __init__(self, redis_url: str, run: SlicesRunner, listen: Listen | None = None) -> None:
        self._service = BatchScoringService(run)
        self._server = GrpcServer(
            lambda target: pb_grpc.add_BatchScoringServiceServicer_to_server(self._service, target),
            listen=listen,
        )
        self._started_at = clock.now().isoformat()
        self._registration = Registration(redis_client(redis_url), self._record)

    async def start(self) -> None:
        """Serve, then register."""
        await self._server.start()
        self._registration.start()

    async def stop(self) -> None:
        """Deregister, then end the calls under way."""
        await self._registration.stop()
        await self._server.stop(0)

    def _record(self) -> ReplicaRecord:
        return ReplicaRecord(
            deployment=DEPLOYMENT,
            replica=f"{DEPLOYMENT}-{os.getpid()}",
            address=self._server.address,
            socket="",
            pid=os.getpid(),
            started_at=self._started_at,
            rows_in_flight=self._service.under_way,
        )


def _fault(failed: SliceFailed) -> CohortLensError:
    return _FAULTS.get(failed.code, Internal)(failed.message, reason=failed.reason)
