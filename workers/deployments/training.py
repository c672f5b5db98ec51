"""``TrainingService`` of the supervisor: checks an order, runs it, streams its events.

A caller that goes away takes its training with it; nobody would receive the result.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import date
from typing import Any

import grpc.aio

from cohortlens.core.errors import InvalidArgument
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as pb_grpc
from workers.deployments.listening import Listen
from workers.deployments.server import GrpcServer, faults_as_status
from workers.training_orders import Failed, Progress, Trained, TrainingEvent, TrainingOrder

MOST_SEGMENTS = 20
MODELS = ("segmentation", "prediction")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

TrainingRunner = Callable[[TrainingOrder], AsyncGenerator[TrainingEvent, None]]
"""Runs an order; closing the generator early ends the training."""


def order_of(request: pb.TrainRequest) -> TrainingOrder:
    """The order that a request holds.

    Raises:
        InvalidArgument: A field cannot be used; the message names it.
    """
    if request.model not in MODELS:
        raise InvalidArgument(f"model is {request.model!r}; expected one of {', '.join(MODELS)}")
    if not _DIGEST.fullmatch(request.snapshot_digest):
        raise InvalidArgument("snapshot_digest is not a digest; expected 64 lower-case hex digits")
    if not _CURRENCY.fullmatch(request.currency):
        raise InvalidArgument(f"currency is {request.currency!r}; expected three capital letters")
    if not _is_day(request.as_of):
        raise InvalidArgument(f"as_of is {request.as_of!r}; expected a day such as 2026-01-31")
    if request.champion_digest and not _DIGEST.fullmatch(request.champion_digest):
        raise InvalidArgument("champion_digest is not a digest; expected 64 lower-case hex digits or nothing")
    if request.segments < 0 or request.segments == 1 or request.segments > MOST_SEGMENTS:
        raise InvalidArgument(f"segments is {request.segments}; expected 0, or 2 to {MOST_SEGMENTS}")
    if not _RUN.fullmatch(request.run):
        raise InvalidArgument("run is not an identifier; expected a UUID or nothing")
    return TrainingOrder(
        model=request.model,
        snapshot_digest=request.snapshot_digest,
        as_of=request.as_of,
        currency=request.currency,
        seed=request.seed,
        champion_digest=request.champion_digest,
        cause=request.cause or "REQUESTED",
        run=request.run,
        segments=request.segments,
    )


def message_of(event: TrainingEvent) -> pb.TrainResponse:
    """The message that tells of an event."""
    if isinstance(event, Progress):
        return pb.TrainResponse(stage=event.stage, progress_ratio=event.ratio)
    if isinstance(event, Trained):
        result = pb.TrainResult(
            artifact_digest=event.artifact_digest, manifest_json=event.manifest_json, cpu_s=event.cpu_s
        )
        return pb.TrainResponse(stage="done", progress_ratio=1.0, result=result)
    return pb.TrainResponse(
        stage="failed", failure=pb.TrainFailure(reason=event.reason, message=event.message)
    )


class TrainingService(pb_grpc.TrainingServiceServicer):
    """Trains one model per call.

    Args:
        run: Runs an order.
    """

    def __init__(self, run: TrainingRunner) -> None:
        self._run = run
        self.under_way = 0

    async def Train(  # noqa: N802
        self, request: pb.TrainRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.TrainResponse]:
        """Train and answer progress; the last message holds the result or the failure."""
        self.under_way += 1
        try:
            async with faults_as_status(context):
                async with aclosing(self._run(order_of(request))) as events:
                    async for event in events:
                        yield message_of(event)
                        if isinstance(event, Trained | Failed):
                            return
                yield message_of(Failed("TRAINING_CRASHED", "the training ended without a result; try again"))
        finally:
            self.under_way -= 1


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


async def serve_training(
    run: TrainingRunner, listen: Listen | None = None
) -> tuple[TrainingService, GrpcServer]:
    """Serve the service.

    Args:
        run: Runs an order.
        listen: Where; on loopback when not said.

    Returns:
        The service, and its server, which the caller stops.
    """
    service = TrainingService(run)
    server = GrpcServer(
        lambda target: pb_grpc.add_TrainingServiceServicer_to_server(service, target), listen=listen
    )
    await server.start()
    return service, server
