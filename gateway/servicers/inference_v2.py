"""inference.GRPCInferenceService: the Open Inference Protocol v2 on the use cases of analytics.

Scores what it is sent; nothing is stored and no customer is read.
"""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import version as installed_version
from time import perf_counter_ns
from typing import Any, NoReturn

import numpy as np

from cohortlens.analytics.models import Task
from cohortlens.analytics.options import PredictionOptions
from cohortlens.analytics.ports import Features, InferenceClient, Scores, Values
from cohortlens.analytics.predictions import PredictionsService, horizon_of
from cohortlens.analytics.segmentation import SegmentationService
from cohortlens.analytics.serving import serving
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import CohortLensError, NotFound, Unimplemented
from cohortlens.oip import inference_pb2 as pb
from cohortlens.registry.models import PREDICTION, ModelVersion, NoActiveModel, VersionNotReady
from cohortlens.registry.service import RegistryService
from gateway.interceptors.chain import Call
from gateway.servicers.answering import answers
from gateway.servicers.health import HealthBoard
from gateway.servicers.inference_v2_models import (
    FEATURES,
    OUTPUTS,
    Output,
    configuration,
    metadata,
    offered_by,
    outputs_of,
    version_number,
)
from gateway.servicers.inference_v2_policy import EXTENSION_UNSUPPORTED
from gateway.servicers.inference_v2_statistics import Statistics, Times
from gateway.servicers.inference_v2_tensors import (
    MAX_ROWS,
    TensorInvalid,
    options_of,
    read_rows,
    wanted_outputs,
    write_outputs,
)

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
"""Extensions of the protocol that are spoken."""

_STREAM_WINDOW = 32
_HORIZON = SCHEMA.index("horizon")


class InferenceServicer:
    """One method per RPC of the protocol.

    Args:
        predictions: Predicts.
        segmentation: Assigns segments.
        registry: Knows the versions.
        client: Tells which replicas live.
        board: Tells whether the process takes calls.
    """

    def __init__(
        self,
        predictions: PredictionsService,
        segmentation: SegmentationService,
        registry: RegistryService,
        client: InferenceClient,
        board: HealthBoard,
    ) -> None:
        self._predictions = predictions
        self._segmentation = segmentation
        self._registry = registry
        self._client = client
        self._board = board
        self._statistics = Statistics()
        self._release = installed_version("cohortlens")

    async def ServerLive(self, request: pb.ServerLiveRequest, call: Call) -> pb.ServerLiveResponse:
        """True: a process that does not turn does not answer."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, call: Call) -> pb.ServerReadyResponse:
        """Whether the process takes calls."""
        return pb.ServerReadyResponse(ready=self._board.ready)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, call: Call
    ) -> pb.ServerMetadataResponse:
        """Name, version, extensions."""
        return pb.ServerMetadataResponse(name="cohortlens", version=self._release, extensions=EXTENSIONS)

    async def ModelReady(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        """Whether a version may serve and a replica runs models of its kind."""
        try:
            version = await self._version(call.context, request.name, request.version)
        except (NoActiveModel, VersionNotReady):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=await self._served(version.model))

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, call: Call) -> pb.ModelMetadataResponse:
        """Tensors of a version and the feature schema it takes."""
        return metadata(await self._version(call.context, request.name, request.version))

    async def ModelConfig(self, request: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:
        """Configuration of a version."""
        version = await self._version(call.context, request.name, request.version)
        return pb.ModelConfigResponse(config=configuration(version, MAX_ROWS))

    async def ModelInfer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Score rows."""
        return await self._infer(request, call.context)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[pb.ModelInferRequest], call: Call
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Score rows request by request; one that fails is answered with its fault and the stream goes on."""

        async def answer(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
            try:
                reply = await self._infer(request, call.context)
            except CohortLensError as error:
                failed = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
                text = f"{error.reason}: {error.message}"
                return pb.ModelStreamInferResponse(error_message=text, infer_response=failed)
            return pb.ModelStreamInferResponse(infer_response=reply)

        async with aclosing(answers(requests, answer, window=_STREAM_WINDOW, in_order=True)) as replies:
            async for reply in replies:
                yield reply

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, call: Call
    ) -> pb.ModelStatisticsResponse:
        """What this process scored for the tenant since it started."""
        tenant, models = call.context.tenant_id, list(OUTPUTS)
        if request.name:
            outputs_of(request.name, "name")
            models = [request.name]
        if request.name and request.version:
            found = await self._version(call.context, request.name, request.version)
            keys = [(request.name, found.version)]
        else:
            keys = [(model, number) for model in models for number in self._statistics.called(tenant, model)]
        return pb.ModelStatisticsResponse(
            model_stats=[self._statistics.message(tenant, model, number) for model, number in keys]
        )

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, call: Call
    ) -> pb.RepositoryIndexResponse:
        """The tenant's active version of every model that has one."""
        if request.repository_name:
            raise NotFound("repository_name: there is one repository, which has no name; leave it empty")
        reply = pb.RepositoryIndexResponse()
        for model in OUTPUTS:
            try:
                version = await self._registry.active(call.context.tenant_id, model)
            except NoActiveModel:
                continue
            ready = await self._served(model)
            if ready or not request.ready:
                reply.models.add(
                    name=model,
                    version=str(version.version),
                    state="READY" if ready else "UNAVAILABLE",
                    reason="" if ready else "no replica runs models of this kind now",
                )
        return reply

    async def _unsupported(self, request: Any, call: Call) -> NoReturn:
        """An extension of the protocol that is not offered."""
        raise Unimplemented(
            f"{call.method.name} belongs to an extension that is not offered; "
            f"versions are promoted by cohortlens.v1.ModelsService",
            reason=EXTENSION_UNSUPPORTED,
        )

    RepositoryModelLoad = RepositoryModelUnload = _unsupported
    SystemSharedMemoryStatus = SystemSharedMemoryRegister = SystemSharedMemoryUnregister = _unsupported
    CudaSharedMemoryStatus = CudaSharedMemoryRegister = CudaSharedMemoryUnregister = _unsupported
    TraceSetting = LogSettings = _unsupported

    async def _infer(self, request: pb.ModelInferRequest, ctx: RequestContext) -> pb.ModelInferResponse:
        begun, model = perf_counter_ns(), request.model_name
        offered = outputs_of(model, "model_name")
        number = version_number(model, request.model_version, "model_version")
        try:
            if not request.outputs:
                # All that this version gives: an older one gives less.
                offered = offered_by(await serving(self._registry, ctx.tenant_id, model, number))
            wanted = wanted_outputs(request, offered)
            asked = options_of(request)
            rows, raw = read_rows(request)
            read = perf_counter_ns()
            columns, version = await self._score(ctx, wanted, rows, number, asked)
        except CohortLensError:
            await self._count_failure(ctx, model, number, perf_counter_ns() - begun)
            raise
        scored = perf_counter_ns()
        reply = pb.ModelInferResponse(model_name=model, model_version=str(version.version), id=request.id)
        write_outputs(reply, wanted, columns, raw=raw)
        times = Times(read - begun, scored - read, perf_counter_ns() - scored)
        self._statistics.succeeded(ctx.tenant_id, model, version.version, len(rows), times)
        return reply

    async def _count_failure(self, ctx: RequestContext, model: str, number: int | None, spent: int) -> None:
        """Count under the version that would have answered; a version that is not there has no count."""
        try:
            found = await serving(self._registry, ctx.tenant_id, model, number)
        except CohortLensError:
            return
        self._statistics.failed(ctx.tenant_id, model, found.version, spent)

    async def _score(
        self,
        ctx: RequestContext,
        wanted: Sequence[Output],
        rows: Features,
        number: int | None,
        asked: PredictionOptions,
    ) -> tuple[Mapping[str, Values], ModelVersion]:
        """The wanted columns by output name, shape (rows,), float64, and the version that made them."""
        tasks = list(dict.fromkeys(output.task for output in wanted))
        if len(tasks) == 1:
            scores, version = await self._task_scores(ctx, tasks[0], rows, number, asked)
            return {output.name: scores[output.column] for output in wanted}, version
        found = await asyncio.gather(*(self._task_scores(ctx, task, rows, number, asked) for task in tasks))
        by_task = dict(zip(tasks, (scores for scores, _ in found), strict=True))
        return {output.name: by_task[output.task][output.column] for output in wanted}, found[0][1]

    async def _task_scores(
        self,
        ctx: RequestContext,
        task: Task | None,
        rows: Features,
        number: int | None,
        asked: PredictionOptions,
    ) -> tuple[Scores, ModelVersion]:
        if task is None:
            return await self._segmentation.score_matrix(ctx, rows, version=number)
        horizons = rows[:, _HORIZON]
        if len(rows) == 1 or (horizons == horizons[0]).all():
            days = _days(rows, horizons[0])
            return await self._predictions.score_matrix(
                ctx, task, rows, horizon_days=days, version=number, options=asked
            )
        return await self._by_horizon(ctx, task, rows, number, asked)

    async def _by_horizon(
        self,
        ctx: RequestContext,
        task: Task,
        rows: Features,
        number: int | None,
        asked: PredictionOptions,
    ) -> tuple[Scores, ModelVersion]:
        """Rows of several horizons are scored by horizon and joined in their order; all are checked first."""
        SCHEMA.check(rows)
        version = await serving(self._registry, ctx.tenant_id, PREDICTION, number)
        horizons, columns = rows[:, _HORIZON], dict[str, Values]()
        wanted = {horizon: _days(rows, horizon) for horizon in np.unique(horizons)}
        for days in wanted.values():
            horizon_of(version, days)
        for horizon, days in wanted.items():
            places = horizons == horizon
            scores, version = await self._predictions.score_matrix(
                ctx, task, rows[places], horizon_days=days, version=number, options=asked
            )
            for name, values in scores.items():
                columns.setdefault(name, np.empty(len(rows)))[places] = values
        return columns, version

    async def _version(self, ctx: RequestContext, model: str, version: str) -> ModelVersion:
        outputs_of(model, "name")
        return await serving(self._registry, ctx.tenant_id, model, version_number(model, version, "version"))

    async def _served(self, model: str) -> bool:
        return bool((await self._client.live_replicas()).get(model))


def _days(rows: Features, horizon: np.float32) -> int:
    """A value of the horizon column as whole days; 0 stands for the model's longest."""
    if not float(horizon).is_integer():
        SCHEMA.check(rows)
        raise TensorInvalid(FEATURES, f"the column horizon holds {horizon:g}; give whole days or 0")
    return int(horizon)
