"""``InferenceService`` of a replica: checks a call, finds its model, scores or explains, tells its state."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Unimplemented
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as pb_grpc
from workers.deployments import codec
from workers.deployments.server import faults_as_status
from workers.runtime.cache import ModelCache
from workers.rust_probe import probe

INLINE_SCORE_ROWS = 128
"""Rows scored on the event loop; more go to a thread, since Serve's health check shares the loop."""

INLINE_EXPLAIN_ROWS = 8
"""The same for explanations, which cost some fifty times as much a row."""

MAX_EXPLAIN_ROWS = 1_000
"""Rows that one call may ask to explain: a thread cannot be stopped, and this many take about a second."""

ResultT = TypeVar("ResultT")
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Rows: TypeAlias = NDArray[np.float32]
Values: TypeAlias = NDArray[np.float64]


class Attributions(Protocol):
    """Attributions of rows to features in log space."""

    @property
    def base_value(self) -> float:
        """Base value."""

    @property
    def contributions(self) -> Values:
        """Contributions, float64 of shape (rows, columns)."""

    @property
    def values(self) -> Values:
        """Predicted values as ``score`` gives them, float64 of shape (rows,)."""


class Manifest(Protocol):
    """What the service must know of a model version."""

    @property
    def model(self) -> str:
        """Kind: segmentation or prediction."""

    @property
    def schema_hash(self) -> str:
        """Hash of the feature schema it takes, hex."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets it predicts; empty for a segmentation."""


class Model(Protocol):
    """A loaded model version: ``workers.runtime.bundle.Bundle``, or a test's own."""

    @property
    def manifest(self) -> Manifest:
        """What it is."""

    @property
    def memory_bytes(self) -> int:
        """Bytes it holds."""

    def score(self, target: str, features: Rows) -> Mapping[str, Values]:
        """Columns of results, float64 of shape (rows,) each."""

    def explain(self, target: str, features: Rows) -> Attributions:
        """Attributions of the rows."""


class InferenceService(pb_grpc.InferenceServiceServicer):
    """The service of one replica.

    Args:
        deployment: Its deployment's name.
        replica: Its identifier.
        kind: Kind of model it serves.
        methods: Which of ``score`` and ``explain`` it answers.
        models: The models it keeps.
    """

    def __init__(
        self, deployment: str, replica: str, *, kind: str, methods: frozenset[str], models: ModelCache[Model]
    ) -> None:
        self._deployment = deployment
        self._replica = replica
        self._kind = kind
        self._methods = methods
        self._models = models
        self._started = time.monotonic()
        self.rows_in_flight = 0

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """Score rows with one model version."""
        async with faults_as_status(context):
            self._require("score")
            rows = codec.features(request.features)
            async with self._models.use(request.artifact_digest) as model:
                self._check(model, request.schema_hash, request.target)
                results = await self._run(rows, INLINE_SCORE_ROWS, lambda: model.score(request.target, rows))
            return pb.ScoreResponse(columns=codec.columns(results))

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:  # noqa: N802
        """Attribute predictions to features."""
        async with faults_as_status(context):
            self._require("explain")
            if request.method != "shap":
                raise InvalidArgument(
                    f"method is {request.method!r}; expected 'shap'", reason="METHOD_UNSUPPORTED"
                )
            rows = codec.features(request.features, MAX_EXPLAIN_ROWS)
            async with self._models.use(request.artifact_digest) as model:
                self._check(model, request.schema_hash, request.target)
                found = await self._run(
                    rows, INLINE_EXPLAIN_ROWS, lambda: model.explain(request.target, rows)
                )
            return pb.ExplainResponse(
                base_value=found.base_value,
                contributions=codec.packed(found.contributions),
                values=codec.packed(found.values),
            )

    async def LoadModel(  # noqa: N802
        self, request: pb.LoadModelRequest, context: Context
    ) -> pb.LoadModelResponse:
        """Load and warm a model version ahead of its first call."""
        async with faults_as_status(context):
            return pb.LoadModelResponse(load_ms=await self.load(request.artifact_digest))

    async def GetStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """Tell what the replica holds and, when asked, which mapped files hold Rust."""
        async with faults_as_status(context):
            status = pb.GetStatusResponse(
                deployment=self._deployment,
                replica=self._replica,
                pid=os.getpid(),
                loaded=self._models.loaded,
                rows_in_flight=self.rows_in_flight,
                uptime_s=time.monotonic() - self._started,
            )
            if request.probe_rust:
                result = await asyncio.to_thread(probe)
                status.rust_files.extend(result.rust_files)
                status.probed_files = result.probed
            return status

    async def load(self, digest: str) -> float:
        """Load a model version.

        Returns:
            Milliseconds it took; 0 when it was loaded already.

        Raises:
            CohortLensError: It cannot be loaded, or is of another kind.
        """
        known, start = digest in self._models.loaded, time.perf_counter()
        async with self._models.use(digest) as model:
            self._check_kind(model)
        return 0.0 if known else (time.perf_counter() - start) * 1000

    def _require(self, method: str) -> None:
        if method not in self._methods:
            raise Unimplemented(
                f"deployment {self._deployment} does not {method}", reason="METHOD_UNSUPPORTED"
            )

    def _check_kind(self, model: Model) -> None:
        if model.manifest.model != self._kind:
            raise FailedPrecondition(
                f"the artifact is a {model.manifest.model} model; deployment {self._deployment} "
                f"serves {self._kind} models",
                reason="MODEL_KIND_MISMATCH",
            )

    def _check(self, model: Model, schema_hash: str, target: str) -> None:
        self._check_kind(model)
        manifest = model.manifest
        if schema_hash != manifest.schema_hash:
            raise InvalidArgument(
                f"schema_hash is {schema_hash!r}; the model takes {manifest.schema_hash!r}",
                reason="FEATURE_SCHEMA_MISMATCH",
            )
        expected = manifest.targets or ("",)
        if target not in expected:
            raise InvalidArgument(
                f"target is {target!r}; expected one of {', '.join(map(repr, expected))}",
                reason="TARGET_UNSUPPORTED",
            )

    async def _run(self, rows: Rows, inline_rows: int, work: Callable[[], ResultT]) -> ResultT:
        with self._in_flight(len(rows)):
            return work() if len(rows) <= inline_rows else await asyncio.to_thread(work)

    @contextmanager
    def _in_flight(self, rows: int) -> Iterator[None]:
        self.rows_in_flight += rows
        try:
            yield
        finally:
            self.rows_in_flight -= rows
