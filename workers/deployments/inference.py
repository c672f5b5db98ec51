"""What a replica does with a call, whichever way it came: checks it, finds its model, scores or explains.

``service`` offers it over gRPC, ``frames`` on a socket of this host.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import ask_of
from cohortlens.contracts.explanations import LIME, METHODS, SHAP
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Unimplemented
from cohortlens.internal.v1 import inference_pb2 as pb
from workers.deployments import codec
from workers.deployments.codec import Attributions
from workers.deployments.load import LoadMeter
from workers.runtime.cache import ModelCache
from workers.rust_probe import probe

INLINE_SCORE_ROWS = 128
"""Rows scored on the event loop; more go to a thread, since Serve's health check shares the loop."""

INLINE_EXPLAIN_ROWS = 8
"""The same for explanations, which cost some fifty times as much a row."""

MAX_EXPLAIN_ROWS = 1_000
"""Rows that one call may ask to explain: a thread cannot be stopped, and this many take about a second."""

MAX_SAMPLED_ROWS = 100
"""The same for methods that ask the model about many rows for each one."""

ResultT = TypeVar("ResultT")
Rows: TypeAlias = NDArray[np.float32]
Values: TypeAlias = NDArray[np.float64]


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

    def explain(self, target: str, features: Rows, method: str, seeds: Sequence[int]) -> Attributions:
        """Attributions of the rows."""


class Inference:
    """The calls of one replica.

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
        self.replica = replica
        self._kind = kind
        self._methods = methods
        self._models = models
        self._started = time.monotonic()
        self.meter = LoadMeter()

    def score_now(self, request: pb.ScoreRequest, waited_s: float = 0.0) -> Mapping[str, Values] | None:
        """Score few rows with a model that is in memory, without leaving the event loop.

        Args:
            request: What to score.
            waited_s: Seconds since it was sent.

        Returns:
            Columns of results; None when it must be scored by ``score``.

        Raises:
            CohortLensError: It cannot be scored at all.
        """
        if request.features.rows > INLINE_SCORE_ROWS:
            return None
        self._require("score")
        model = self._models.held(request.artifact_digest)
        if model is None:
            return None
        rows = codec.features(request.features)
        self._check(model, request.schema_hash, request.target)
        began = self.meter.began(len(rows))
        try:
            return model.score(request.target, rows)
        finally:
            self.meter.ended(len(rows), began, waited_s)

    async def score(self, request: pb.ScoreRequest, waited_s: float = 0.0) -> Mapping[str, Values]:
        """Score rows; arguments and errors as in ``score_now``."""
        found = self.score_now(request, waited_s)
        if found is not None:
            return found
        self._require("score")
        rows = codec.features(request.features)
        async with self._models.use(request.artifact_digest) as model:
            self._check(model, request.schema_hash, request.target)
            work = partial(model.score, request.target, rows)
            return await self._run(len(rows), INLINE_SCORE_ROWS, work, waited_s)

    async def explain(self, request: pb.ExplainRequest, waited_s: float = 0.0) -> Attributions:
        """Attribute predictions to features; arguments and errors as in ``score_now``."""
        self._require("explain")
        if request.method not in METHODS:
            raise InvalidArgument(
                f"method is {request.method!r}; expected one of {', '.join(METHODS)}",
                reason="METHOD_UNSUPPORTED",
            )
        is_quick = request.method == SHAP
        rows = codec.features(request.features, MAX_EXPLAIN_ROWS if is_quick else MAX_SAMPLED_ROWS)
        if request.method == LIME and len(request.seeds) != len(rows):
            raise InvalidArgument(
                f"seeds has {len(request.seeds)} values; expected one for each of {len(rows)} rows",
                reason="MATRIX_INVALID",
            )
        async with self._models.use(request.artifact_digest) as model:
            self._check(model, request.schema_hash, request.target)
            work = partial(model.explain, request.target, rows, request.method, tuple(request.seeds))
            return await self._run(len(rows), INLINE_EXPLAIN_ROWS if is_quick else 0, work, waited_s)

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

    async def status(self, request: pb.GetStatusRequest) -> pb.GetStatusResponse:
        """What the replica holds and, when asked, which mapped files hold Rust."""
        status = pb.GetStatusResponse(
            deployment=self._deployment,
            replica=self.replica,
            pid=os.getpid(),
            loaded=self._models.loaded,
            rows_in_flight=self.meter.rows_in_flight,
            uptime_s=time.monotonic() - self._started,
        )
        if request.probe_rust:
            result = await asyncio.to_thread(probe)
            status.rust_files.extend(result.rust_files)
            status.probed_files = result.probed
        return status

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
        if target not in expected and not (target and ask_of(target).blended in expected):
            raise InvalidArgument(
                f"target is {target!r}; expected one of {', '.join(map(repr, expected))}",
                reason="TARGET_UNSUPPORTED",
            )

    async def _run(
        self, rows: int, inline_rows: int, work: Callable[[], ResultT], waited_s: float
    ) -> ResultT:
        began = self.meter.began(rows)
        try:
            if rows <= inline_rows:
                return work()
            return await asyncio.get_running_loop().run_in_executor(None, work)
        finally:
            self.meter.ended(rows, began, waited_s)
