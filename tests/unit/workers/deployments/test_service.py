"""The service of a replica with a model of the test's own and a context that records what the caller would see."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from cohortlens.core.errors import CohortLensError, NotFound
from cohortlens.internal.v1 import inference_pb2 as pb
from workers.deployments import codec
from workers.deployments.inference import INLINE_SCORE_ROWS, Inference
from workers.deployments.service import InferenceService
from workers.runtime.cache import ModelCache
from workers.runtime.explained import Attributions

GOOD, MISSING = "a" * 64, "b" * 64


class Aborted(Exception):
    """What ``abort`` raises in place of gRPC's own."""


class Context:
    """Records the status of the call."""

    def __init__(self) -> None:
        self.status: tuple[grpc.StatusCode, str] | None = None

    async def abort(self, code, details):
        self.status = (code, details)
        raise Aborted(details)


@dataclass
class Doubler:
    """Predicts twice the sum of a row; attributes twice each column."""

    kind: str = "prediction"
    fault: Exception | None = None
    memory_bytes: int = 1
    threads: list[bool] = field(default_factory=list)

    @property
    def manifest(self):
        targets = ("purchases", "spend") if self.kind == "prediction" else ()
        return SimpleNamespace(model=self.kind, schema_hash="5c", targets=targets)

    def score(self, target, features):
        if self.fault is not None:
            raise self.fault
        self.threads.append(threading.current_thread() is threading.main_thread())
        return {"value": 2.0 * features.sum(axis=1, dtype=np.float64)}

    def explain(self, target, features, method, seeds):
        shares = 2.0 * features.astype(np.float64)
        rows, values = len(features), shares.sum(axis=1) + 0.25
        bases = np.array(seeds, np.float64) if seeds else np.full(rows, 0.25)
        imputed = ((1,),) * rows if method == "lime" else ()
        return Attributions(bases, shares, values, values - 1, np.full(rows, 0.5), imputed)


def service(model=None, *, methods=("score", "explain"), kind="prediction"):
    def load(digest):
        if digest != GOOD:
            raise NotFound("no such artifact", reason="ARTIFACT_MISSING")
        return model or Doubler()

    return InferenceService(
        Inference("prediction", "r1", kind=kind, methods=frozenset(methods), models=ModelCache(load, 100))
    )


def score_request(rows=2, **changes):
    fields = {
        "artifact_digest": GOOD,
        "schema_hash": "5c",
        "target": "spend",
        "features": codec.matrix(np.full((rows, 3), 1.5, np.float32)),
    }
    return pb.ScoreRequest(**(fields | changes))


async def refused(call):
    context = Context()
    with pytest.raises(Aborted):
        await call(context)
    return context.status


@pytest.mark.parametrize("rows", [1, INLINE_SCORE_ROWS, INLINE_SCORE_ROWS + 1])
async def test_scores_keep_the_order_and_number_of_rows_and_large_calls_leave_the_event_loop(rows):
    model = Doubler()
    matrix = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)

    answer = await service(model).Score(score_request(features=codec.matrix(matrix)), Context())

    assert [column.name for column in answer.columns] == ["value"]
    np.testing.assert_array_equal(np.frombuffer(answer.columns[0].values), 2.0 * matrix.sum(axis=1))
    assert model.threads == [rows <= INLINE_SCORE_ROWS]


async def test_an_explanation_carries_base_contributions_and_values():
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    request = pb.ExplainRequest(
        artifact_digest=GOOD, schema_hash="5c", target="spend", method="shap", features=codec.matrix(matrix)
    )

    answer = await service().Explain(request, Context())

    assert answer.base_value == 0.25
    np.testing.assert_array_equal(np.frombuffer(answer.contributions).reshape(2, 3), 2.0 * matrix)
    np.testing.assert_array_equal(np.frombuffer(answer.values), [12.25, 30.25])
    np.testing.assert_array_equal(np.frombuffer(answer.explained), [11.25, 29.25])
    assert (answer.bases, list(answer.imputed)) == (b"", [])


async def test_a_line_carries_a_base_of_each_row_and_what_was_filled_in():
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    request = pb.ExplainRequest(
        artifact_digest=GOOD, schema_hash="5c", target="spend", method="lime", features=codec.matrix(matrix)
    )
    assert (await refused(lambda context: service().Explain(request, context)))[0] == (
        grpc.StatusCode.INVALID_ARGUMENT
    )
    request.seeds.extend([3, 4])
    answer = await service().Explain(request, Context())
    assert np.frombuffer(answer.bases).tolist() == [3.0, 4.0]
    assert [list(one.columns) for one in answer.imputed] == [[1], [1]]


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"artifact_digest": MISSING}, grpc.StatusCode.NOT_FOUND, "ARTIFACT_MISSING"),
        ({"schema_hash": "other"}, grpc.StatusCode.INVALID_ARGUMENT, "FEATURE_SCHEMA_MISMATCH"),
        ({"target": "weather"}, grpc.StatusCode.INVALID_ARGUMENT, "TARGET_UNSUPPORTED"),
        ({"target": ""}, grpc.StatusCode.INVALID_ARGUMENT, "TARGET_UNSUPPORTED"),
        (
            {"features": pb.Matrix(rows=1, columns=3, values=b"short")},
            grpc.StatusCode.INVALID_ARGUMENT,
            "MATRIX_INVALID",
        ),
    ],
)
async def test_a_wrong_call_is_refused_with_its_reason_ahead_of_the_message(changes, code, reason):
    status = await refused(lambda context: service().Score(score_request(**changes), context))

    assert status[0] is code
    assert status[1].startswith(f"{reason}: ")


async def test_a_model_of_another_kind_is_refused_by_scoring_and_by_loading():
    replica = service(Doubler(kind="segmentation"))
    load = pb.LoadModelRequest(artifact_digest=GOOD)

    for call in (
        lambda context: replica.Score(score_request(), context),
        lambda context: replica.LoadModel(load, context),
    ):
        code, details = await refused(call)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert details.startswith("MODEL_KIND_MISMATCH: ")


async def test_a_method_that_the_deployment_does_not_offer_is_unimplemented():
    request = pb.ExplainRequest(artifact_digest=GOOD, schema_hash="5c", target="spend", method="shap")

    status = await refused(lambda context: service(methods=("score",)).Explain(request, context))

    assert status == (
        grpc.StatusCode.UNIMPLEMENTED,
        "METHOD_UNSUPPORTED: deployment prediction does not explain",
    )


async def test_an_unknown_method_of_explanation_is_refused():
    request = pb.ExplainRequest(artifact_digest=GOOD, schema_hash="5c", target="spend", method="magic")

    code, details = await refused(lambda context: service().Explain(request, context))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("METHOD_UNSUPPORTED: ")


async def test_more_rows_than_can_be_explained_in_reasonable_time_are_refused():
    request = pb.ExplainRequest(
        artifact_digest=GOOD,
        schema_hash="5c",
        target="spend",
        method="shap",
        features=codec.matrix(np.zeros((1001, 3), np.float32)),
    )

    status = await refused(lambda context: service().Explain(request, context))

    assert status == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MATRIX_INVALID: features.rows is 1001; expected 1 to 1000",
    )


async def test_a_fault_of_ours_tells_nothing_of_its_text_to_the_caller(caplog):
    replica = service(Doubler(fault=RuntimeError("secret /srv/models/x")))

    code, details = await refused(lambda context: replica.Score(score_request(), context))

    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details
    assert "secret" in caplog.text


@pytest.mark.parametrize("fault", [None, CohortLensError("no"), RuntimeError("no")])
async def test_rows_in_flight_return_to_zero_however_the_call_ends(fault):
    replica = service(Doubler(fault=fault))

    await asyncio.gather(
        *(replica.Score(score_request(), Context()) for _ in range(3)), return_exceptions=True
    )

    assert (await replica.GetStatus(pb.GetStatusRequest(), Context())).rows_in_flight == 0


async def test_loading_tells_whether_the_model_was_there_already_and_status_names_it():
    replica = service()
    request = pb.LoadModelRequest(artifact_digest=GOOD)

    first = await replica.LoadModel(request, Context())
    second = await replica.LoadModel(request, Context())
    status = await replica.GetStatus(pb.GetStatusRequest(), Context())

    assert first.load_ms > 0.0
    assert second.load_ms == 0.0
    assert list(status.loaded) == [GOOD]
    assert status.probed_files == 0


async def test_the_probe_runs_only_when_asked_and_counts_the_files_it_read():
    status = await service().GetStatus(pb.GetStatusRequest(probe_rust=True), Context())

    assert status.probed_files > 10
    assert list(status.rust_files) == []
