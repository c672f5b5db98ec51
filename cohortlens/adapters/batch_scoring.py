"""``BatchScorer`` over ``internal.v1``: one stream from the workers' supervisor, which runs Ray tasks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import grpc

from cohortlens.adapters.inference import translate
from cohortlens.adapters.lanes import fault_of
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.analytics.batches.ports import ScoredSlice, ScoringOrder
from cohortlens.internal.v1 import batch_pb2 as pb
from cohortlens.internal.v1 import batch_pb2_grpc as rpc

DEPLOYMENT = "batch"
_ACQUIRE_S = 5.0


class GrpcBatchScorer:
    """Implements ``cohortlens.analytics.batches.ports.BatchScorer``.

    Args:
        directory: The live workers.
        limit_s: Seconds after which one stream is given up; what is open is ordered again then.
    """

    def __init__(self, directory: ReplicaDirectory, *, limit_s: float = 3600.0) -> None:
        self._directory = directory
        self._limit_s = limit_s

    async def score_slices(self, order: ScoringOrder) -> AsyncIterator[ScoredSlice]:
        """See the port."""
        endpoint = await self._directory.acquire(DEPLOYMENT, time.monotonic() + _ACQUIRE_S)
        stub = rpc.BatchScoringServiceStub(endpoint.channel)
        call = stub.ScoreSlices(_request(order), timeout=self._limit_s)
        try:
            async for message in call:
                yield ScoredSlice(message.slice, message.rows, message.sha256, message.cpu_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._directory.eject(endpoint)
            raise translate(fault_of(error), DEPLOYMENT) from None
        finally:
            call.cancel()


def _request(order: ScoringOrder) -> pb.ScoreSlicesRequest:
    return pb.ScoreSlicesRequest(
        tenant=str(order.tenant_id),
        batch=str(order.batch_id),
        input=str(order.input_id),
        artifact_digest=order.artifact_digest,
        schema_hash=order.schema_hash,
        target=order.target,
        horizon_days=order.horizon_days,
        slices=order.slices,
    )
