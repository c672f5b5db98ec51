"""``InferenceService`` of a replica over gRPC; what a call does stands in ``inference``."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc.aio

from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as pb_grpc
from workers.deployments import codec
from workers.deployments.inference import Inference
from workers.deployments.server import faults_as_status

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class InferenceService(pb_grpc.InferenceServiceServicer):
    """The service of one replica.

    Args:
        inference: Answers its calls.
    """

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """Score rows with one model version."""
        async with faults_as_status(context):
            return pb.ScoreResponse(columns=codec.columns(await self._inference.score(request)))

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:  # noqa: N802
        """Attribute predictions to features."""
        async with faults_as_status(context):
            return codec.explanation(await self._inference.explain(request))

    async def LoadModel(  # noqa: N802
        self, request: pb.LoadModelRequest, context: Context
    ) -> pb.LoadModelResponse:
        """Load and warm a model version ahead of its first call."""
        async with faults_as_status(context):
            return pb.LoadModelResponse(load_ms=await self._inference.load(request.artifact_digest))

    async def GetStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """Tell what the replica holds and, when asked, which mapped files hold Rust."""
        async with faults_as_status(context):
            return await self._inference.status(request)
