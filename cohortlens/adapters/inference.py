"""``InferenceClient`` over ``internal.v1``: one gRPC call to one replica, one retry on another."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import numpy as np
from prometheus_client import Counter

from cohortlens.adapters.replicas import Endpoint, ReplicaDirectory, deadline_passed, workers_unavailable
from cohortlens.analytics.ports import (
    Attributions,
    Features,
    Scores,
    TrainingOrder,
    TrainingProgress,
    TrainingResult,
    Values,
)
from cohortlens.core.errors import CohortLensError, FailedPrecondition, Internal, InvalidArgument, Unavailable
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as rpc

TRAINING = "training"
EXPLANATION = "explanation"
_PASSING_FAILURES = {"TRAINING_CRASHED"}
_MARGIN_S = 0.02
_TRAINING_WAIT_S = 60.0
RETRIES = Counter(
    "inference_retries_total", "Calls repeated on another replica", ("deployment",), registry=REGISTRY
)
_log = get_logger(__name__)
_Reply = TypeVar("_Reply")


class GrpcInferenceClient:
    """Implements ``cohortlens.analytics.ports.InferenceClient``.

    Args:
        directory: The live replicas.
        training_limit_s: Seconds after which a training is given up.
    """

    def __init__(self, directory: ReplicaDirectory, *, training_limit_s: float = 1800.0) -> None:
        self._directory = directory
        self._training_limit_s = training_limit_s

    async def score(
        self,
        deployment: str,
        artifact_digest: str,
        schema_hash: str,
        target: str,
        features: Features,
        *,
        deadline: float,
        tenant: str = "",  # noqa: ARG002 - fairness is the micro-batcher's
    ) -> Scores:
        """See the port."""
        request = pb.ScoreRequest(
            artifact_digest=artifact_digest,
            schema_hash=schema_hash,
            target=target,
            features=_matrix(features),
        )

        async def call(stub: Any, timeout: float) -> pb.ScoreResponse:
            reply: pb.ScoreResponse = await stub.Score(request, timeout=timeout)
            return reply

        reply = await self._call(deployment, len(features), call, deadline)
        return {column.name: _values(column.values, (len(features),)) for column in reply.columns}

    async def explain(
        self, artifact_digest: str, schema_hash: str, target: str, features: Features, *, deadline: float
    ) -> Attributions:
        """See the port."""
        request = pb.ExplainRequest(
            artifact_digest=artifact_digest,
            schema_hash=schema_hash,
            target=target,
            features=_matrix(features),
            method="shap",
        )

        async def call(stub: Any, timeout: float) -> pb.ExplainResponse:
            reply: pb.ExplainResponse = await stub.Explain(request, timeout=timeout)
            return reply

        reply = await self._call(EXPLANATION, len(features), call, deadline)
        return Attributions(
            reply.base_value,
            _values(reply.contributions, features.shape),
            _values(reply.values, (len(features),)),
        )

    async def load_model(self, deployment: str, artifact_digest: str, *, deadline: float) -> int:
        """See the port."""
        request = pb.LoadModelRequest(artifact_digest=artifact_digest)
        await self._directory.acquire(deployment, deadline)
        loaded = 0
        for endpoint in self._directory.live(deployment):
            try:
                await endpoint.stub.LoadModel(request, timeout=_timeout(deadline))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise translate(error, deployment) from None
                self._directory.eject(endpoint)
            else:
                loaded += 1
        if not loaded:
            raise workers_unavailable(deployment)
        return loaded

    async def live_replicas(self) -> dict[str, int]:
        """See the port."""
        self._directory.start()
        return self._directory.counts()

    def replica_count(self, deployment: str) -> int:
        """See the port."""
        return len(self._directory.live(deployment))

    async def train(self, order: TrainingOrder) -> AsyncIterator[TrainingProgress]:
        """See the port."""
        endpoint = await self._directory.acquire(TRAINING, time.monotonic() + _TRAINING_WAIT_S)
        request = pb.TrainRequest(
            model=order.model,
            snapshot_digest=order.snapshot_digest,
            as_of=order.as_of.isoformat(),
            currency=order.currency,
            seed=order.seed,
        )
        call = rpc.TrainingServiceStub(endpoint.channel).Train(request, timeout=self._training_limit_s)
        ended = False
        try:
            async for message in call:
                ended = message.HasField("result")
                yield _progress(message)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._directory.eject(endpoint)
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                # Not a passing fault: another attempt would take as long.
                raise Internal("the training took too long", reason="TRAINING_TIMEOUT") from None
            raise translate(error, TRAINING) from None
        finally:
            call.cancel()
        if not ended:
            raise Internal("the training ended without a result", reason="TRAINING_INCOMPLETE")

    async def close(self) -> None:
        """Stop watching replicas and close the channels."""
        await self._directory.close()

    async def _call(
        self,
        deployment: str,
        rows: int,
        call: Callable[[Any, float], Awaitable[_Reply]],
        deadline: float,
    ) -> _Reply:
        failed: Endpoint | None = None
        while True:
            endpoint = await self._directory.acquire(deployment, deadline - _MARGIN_S, failed)
            endpoint.rows_in_flight += rows
            try:
                reply = await call(endpoint.stub, _timeout(deadline))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise translate(error, deployment) from None
                self._directory.eject(endpoint)
                if failed is not None:
                    raise workers_unavailable(deployment) from None
                failed = endpoint
                RETRIES.labels(deployment).inc()
            else:
                endpoint.failures = 0
                return reply
            finally:
                endpoint.rows_in_flight -= rows


def translate(error: grpc.aio.AioRpcError, deployment: str) -> CohortLensError:
    """A worker's status, whose text is ``REASON: message``, as an error of ours."""
    reason, _, message = (error.details() or "").partition(": ")
    if not message or not reason.replace("_", "").isalnum() or reason != reason.upper():
        reason, message = "", error.details() or ""
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return deadline_passed()
    if code is grpc.StatusCode.UNAVAILABLE:
        return workers_unavailable(deployment)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Unavailable(
            "The workers are busy; try again in a second.", reason="OVERLOADED", retry_delay_s=1.0
        )
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidArgument(message, reason=reason or None)
    if code is grpc.StatusCode.FAILED_PRECONDITION:
        return FailedPrecondition(message, reason=reason or None)
    _log.error("a worker failed", deployment=deployment, code=code.name, details=error.details())
    return Internal("a worker failed to answer", reason=reason or None)


def _progress(message: pb.TrainResponse) -> TrainingProgress:
    if message.HasField("failure"):
        kind = Unavailable if message.failure.reason in _PASSING_FAILURES else FailedPrecondition
        raise kind(message.failure.message, reason=message.failure.reason)
    result = None
    if message.HasField("result"):
        result = TrainingResult(
            message.result.artifact_digest, message.result.manifest_json, message.result.cpu_s
        )
    return TrainingProgress(message.stage, message.progress_ratio, result)


def _timeout(deadline: float) -> float:
    left = deadline - time.monotonic() - _MARGIN_S
    if left <= 0:
        raise deadline_passed()
    return left


def _matrix(features: Features) -> pb.Matrix:
    rows, columns = features.shape
    return pb.Matrix(rows=rows, columns=columns, values=np.ascontiguousarray(features, dtype="<f4").tobytes())


def _values(raw: bytes, shape: tuple[int, ...]) -> Values:
    values = np.frombuffer(raw, dtype="<f8")
    if values.size != math.prod(shape):
        raise Internal("a worker answered another number of rows than were sent", reason="WORKER_FAULT")
    return values.reshape(shape)
