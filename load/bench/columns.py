"""What reading and writing vectors costs: columns beside an object per row, in one run.

``python -m load.bench.columns`` prints microseconds of CPU per call. The left figure is what protobuf and
objects take for the same content, so the ratio holds on a busy machine too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cohortlens.analytics.columns import Explanations, Predictions
from cohortlens.analytics.models import Rows, Task
from cohortlens.contracts.features import SCHEMA, snapshot_id
from cohortlens.core.clock import now
from cohortlens.v1 import analytics_pb2 as pb
from gateway.http.codec import Codecs
from gateway.interceptors.rules import ValidatorCompiler
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.analytics_replies import ExplanationsReply, PredictionsReply
from gateway.wire.vectors import VectorReader

_ROUNDS, _ROUND_S = 5, 0.1
_COLUMNS = len(SCHEMA.columns)
_REQUEST: Any = pb.PredictRequest.DESCRIPTOR
_CHECK = ValidatorCompiler().validator(_REQUEST).check
_READER = VectorReader(_REQUEST)


def cpu_us(work: Callable[[], Any]) -> float:
    """Microseconds of CPU of one call, the best of some rounds."""
    work()
    best = float("inf")
    for _ in range(_ROUNDS):
        count, started = 0, time.process_time()
        while time.process_time() - started < _ROUND_S:
            work()
            count += 1
        best = min(best, (time.process_time() - started) / count * 1e6)
    return best


def main() -> None:
    """Print the table."""
    out = sys.stdout.write
    out(f"{'what':34} {'rows':>5} {'objects us':>11} {'columns us':>11} {'ratio':>6}\n")
    for rows in (1, 1000):
        for name, (old, new) in _parts(rows).items():
            before, after = cpu_us(old), cpu_us(new)
            out(f"{name:34} {rows:5} {before:11.1f} {after:11.1f} {before / after:6.1f}\n")


def _parts(count: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    matrix = np.random.default_rng(1).random((count, _COLUMNS)).astype(np.float32)
    request = pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, schema_hash=SCHEMA.hash)
    request.vectors.extend(pb.FeatureVector(values=row) for row in matrix.tolist())
    data, codecs = request.SerializeToString(), Codecs()
    made, shares = _predictions(matrix), _explanations(matrix[:100])
    reply, explained = PredictionsReply(made), ExplanationsReply(shares)

    def fresh(columns: Any, work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            # The names of the vectors are made once per reply; here they belong to each round.
            columns.__dict__.pop("snapshots", None)
            return work()

        return run

    return {
        "request to float32 matrix": (lambda: _read_objects(data), lambda: _read(data)),
        "predictions to bytes": (
            fresh(made, lambda: _messages(made).SerializeToString()),
            fresh(made, reply.SerializeToString),
        ),
        "predictions to JSON": (
            fresh(made, lambda: codecs.print(_messages(made))),
            fresh(made, lambda: codecs.print(reply)),
        ),
        "names of the vectors": (
            lambda: [snapshot_id(SCHEMA.hash, row) for row in matrix],
            fresh(made, lambda: made.snapshots),
        ),
        f"explanations of {len(shares)} to bytes": (
            lambda: [one.attributions for one in shares],
            fresh(shares, explained.SerializeToString),
        ),
    }


def _read_objects(data: bytes) -> Any:
    message = pb.PredictRequest.FromString(data)
    _CHECK(message)
    return np.array([tuple(vector.values) for vector in message.vectors], np.float64).astype(np.float32)


def _read(data: bytes) -> Any:
    return _READER(data, pb.PredictRequest.FromString, _CHECK).vectors.astype(np.float32)


def _messages(made: Predictions) -> pb.PredictResponse:
    return pb.PredictResponse(predictions=map(mapping.prediction_message, made))


def _predictions(matrix: Any) -> Predictions:
    value = np.abs(matrix[:, 0].astype(np.float64))
    rows = Rows((), (), matrix, None)
    return Predictions(
        rows, SCHEMA.hash, 3, (), Task.SPEND, 90, value, value / 2, value * 2, 0.8, "USD", now()
    )


def _explanations(matrix: Any) -> Explanations:
    shares = np.random.default_rng(2).normal(size=matrix.shape)
    order = np.argsort(-np.abs(shares), axis=1, kind="stable")
    ones = np.ones(len(matrix))
    return Explanations(
        Rows((), (), matrix, None),
        SCHEMA.hash,
        3,
        ones,
        "USD",
        tuple(column.unit for column in SCHEMA.columns),
        90,
        ones,
        shares,
        order,
        ones,
        ones,
        ones,
        ones,
    )


if __name__ == "__main__":
    main()
