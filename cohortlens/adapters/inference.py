"""``InferenceClient`` over ``internal.v1``: a call to one replica over its best lane, else to another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import grpc
from prometheus_client import Counter

from cohortlens.adapters import messages
from cohortlens.adapters.endpoints import SILENT, Endpoint
from cohortlens.adapters.lanes import LaneFault, fault_of, split
from cohortlens.adapters.replicas import ReplicaDirectory, deadline_passed, workers_unavailable
from cohortlens.analytics.ports import (
    Attributions,
    Features,
    Scores,
    TrainingOrder,
    TrainingProgress,
    TrainingResult,
)
from cohortlens.contracts.frames import Method
from cohortlens.contracts.sequences import FEATURE_COLUMNS
from cohortlens.core import tracing
from cohortlens.core.errors import (
    Code,
    CohortLensError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    Unavailable,
)
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as rpc

TRAINING = "training"
EXPLANATION = "explanation"
_PASSING_FAILURES = {"TRAINING_CRASHED"}
_MARGIN_S = 0.02
_TRAINING_WAIT_S = 60.0
_LOSSES = 3
"""Replicas that may be lost with one call under way; it then ends, since it may be what ends them."""

RETRIES = Counter(
    "inference_retries_total", "Calls repeated on another replica", ("deployment",), registry=REGISTRY
)
_log = get_logger(__name__)


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
        parts = messages.score_request(artifact_digest, schema_hash, target, features)
        reply = await self._call(deployment, artifact_digest, len(features), Method.SCORE, parts, deadline)
        return messages.scores_of(reply, len(features))

    async def explain(
        self,
        artifact_digest: str,
        schema_hash: str,
        target: str,
        features: Features,
        *,
        deadline: float,
        method: str = "shap",
        seeds: Sequence[int] = (),
    ) -> Attributions:
        """See the port."""
        parts = messages.explain_request(artifact_digest, schema_hash, target, features, method, seeds)
        rows = len(features)
        reply = await self._call(EXPLANATION, artifact_digest, rows, Method.EXPLAIN, parts, deadline)
        return messages.attributions_of(reply, (rows, min(features.shape[1], FEATURE_COLUMNS)))

    async def load_model(self, deployment: str, artifact_digest: str, *, deadline: float) -> int:
        """See the port; the replicas load at the same time."""
        await self._directory.acquire(deployment, deadline)
        endpoints = self._directory.owners(deployment, artifact_digest)
        loads = [self._load(endpoint, artifact_digest, deadline) for endpoint in endpoints]
        outcomes = await asyncio.gather(*loads, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        loaded = outcomes.count(True)
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
            champion_digest=order.champion_digest,
            cause=order.cause,
            run=order.run,
            segments=order.segments,
        )
        call = rpc.TrainingServiceStub(endpoint.channel).Train(
            request, timeout=self._training_limit_s, metadata=tracing.metadata()
        )
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
            raise translate(fault_of(error), TRAINING) from None
        finally:
            call.cancel()
        if not ended:
            raise Internal("the training ended without a result", reason="TRAINING_INCOMPLETE")

    async def close(self) -> None:
        """Stop watching replicas and close the channels."""
        await self._directory.close()

    async def _load(self, endpoint: Endpoint, digest: str, deadline: float) -> bool:
        try:
            parts = messages.load_request(digest)
            await endpoint.lane.call(Method.LOAD_MODEL, parts, _timeout(deadline))
        except LaneFault as fault:
            if fault.code is not Code.UNAVAILABLE:
                raise translate(fault, endpoint.deployment) from None
            self._directory.eject(endpoint, fault.details)
            return False
        endpoint.loaded.add(digest)
        return True

    async def _call(
        self, deployment: str, model: str, rows: int, method: Method, parts: messages.Parts, deadline: float
    ) -> bytes:
        """One call to the replica that placement names, and to others while that one cannot take it.

        Each UNAVAILABLE takes its replica out until it answers again, so the calls for a replica that is away
        are few, and the loop ends with the deadline at the latest.
        """
        failed: tuple[Endpoint, ...] = ()
        losses = 0
        while True:
            endpoint = await self._directory.acquire(
                deployment, deadline - _MARGIN_S, failed, model=model, rows=rows
            )
            answered = False
            endpoint.began(rows)
            try:
                reply = await endpoint.lane.call(method, parts, _timeout(deadline))
            except LaneFault as fault:
                answered = fault.code not in SILENT
                if fault.code is not Code.UNAVAILABLE:
                    raise translate(fault, deployment) from None
                self._directory.eject(endpoint, fault.details)
                losses += fault.lost
                if losses == _LOSSES:
                    raise workers_unavailable(deployment) from None
                failed = (*failed, endpoint)
                RETRIES.labels(deployment).inc()
            else:
                answered = True
                endpoint.loaded.add(model)
                return reply
            finally:
                endpoint.ended(rows, answered=answered)


def translate(fault: LaneFault, deployment: str) -> CohortLensError:
    """A worker's status, whose text is ``REASON: message``, as an error of ours."""
    reason, message = split(fault.details)
    if fault.code is Code.DEADLINE_EXCEEDED:
        return deadline_passed()
    if fault.code is Code.UNAVAILABLE:
        return workers_unavailable(deployment)
    if fault.code is Code.RESOURCE_EXHAUSTED:
        return Unavailable(
            "The workers are busy; try again in a second.", reason="OVERLOADED", retry_delay_s=1.0
        )
    if fault.code is Code.INVALID_ARGUMENT:
        return InvalidArgument(message, reason=reason or None)
    if fault.code is Code.FAILED_PRECONDITION:
        return FailedPrecondition(message, reason=reason or None)
    _log.error("a worker failed", deployment=deployment, code=fault.code.name, details=fault.details)
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
