"""Messages put together by hand are the messages that protobuf would write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.adapters import messages
from cohortlens.core.errors import Internal
from cohortlens.internal.v1 import inference_pb2 as pb
from workers.deployments import codec


def matrix(rows, columns):
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


@given(st.integers(1, 300), st.integers(1, 60), st.sampled_from(["", "spend"]))
def test_requests_are_read_as_protobuf_wrote_them(rows, columns, target):
    features = matrix(rows, columns)
    plain = {
        "artifact_digest": "a" * 64,
        "schema_hash": "b" * 64,
        "target": target,
        "features": pb.Matrix(rows=rows, columns=columns, values=features.tobytes()),
    }
    score = b"".join(messages.score_request("a" * 64, "b" * 64, target, features))
    assert pb.ScoreRequest.FromString(score) == pb.ScoreRequest(**plain)
    explain = b"".join(messages.explain_request("a" * 64, "b" * 64, target, features))
    assert pb.ExplainRequest.FromString(explain) == pb.ExplainRequest(**plain, method="shap")


def test_a_transposed_view_is_sent_row_by_row():
    features = matrix(3, 5).T
    sent = pb.ScoreRequest.FromString(b"".join(messages.score_request("a", "b", "", features)))
    np.testing.assert_array_equal(codec.features(sent.features), features)


@given(st.integers(1, 20_000))
def test_answers_are_read_as_protobuf_wrote_them(rows):
    results = {"value": np.arange(rows, dtype=np.float64), "segment": np.arange(rows)[::-1]}
    reply = b"".join(codec.score_response(results))
    assert pb.ScoreResponse.FromString(reply) == pb.ScoreResponse(columns=codec.columns(results))
    found = messages.scores_of(reply, rows)
    for name, values in results.items():
        np.testing.assert_array_equal(found[name], values.astype(np.float64))


def test_an_answer_of_another_number_of_rows_is_a_fault_of_the_worker():
    reply = b"".join(codec.score_response({"value": np.zeros(3)}))
    with pytest.raises(Internal) as refused:
        messages.scores_of(reply, 4)
    assert refused.value.reason == "WORKER_FAULT"
