"""Replies written from columns hold what messages made row by row hold, on the wire and as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, date, datetime

import numpy as np
import pytest

from cohortlens.analytics.columns import Assignments, Explanations, Predictions
from cohortlens.analytics.methods import Method
from cohortlens.analytics.models import Rows, Task, created_at_of
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.ids import uuid7, uuid7s
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1.explanations_pb2 import LimeFit
from gateway.http.codec import Codecs
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.analytics_replies import AssignmentsReply, ExplanationsReply, PredictionsReply
from tests.fakes.models import segmentation_manifest

WIDTH = len(SCHEMA.columns)
EXTERNALS = ("c1", "", "a-rather-long-name" * 11, "ñandú-♥", "x" * 130)


def rows_of(count, *, named):
    matrix = np.random.default_rng(count).random((count, WIDTH)).astype(np.float32)
    matrix[::2, SCHEMA.index("gap_mean")] = math.nan
    if not named:
        return Rows((), (), matrix, None)
    names = tuple(EXTERNALS[at % len(EXTERNALS)] for at in range(count))
    return Rows(uuid7s(count), names, matrix, date(2024, 5, 10), "USD")


def column(count, scale=1.0):
    made = np.random.default_rng(count + 1).normal(size=count) * scale
    made[:1] = 0.0
    made[1:2] = -0.0
    return made


def predictions(count, *, named):
    ids = uuid7s(count) if named else ()
    value = np.abs(column(count, 1e6))
    return Predictions(
        rows_of(count, named=named), SCHEMA.hash, 3, ids, Task.SPEND, 90, value, value / 3, value * 1e300, 0.8,
        "USD", created_at_of(ids[0]) if ids else datetime(2026, 1, 2, 3, 4, 5, 678900, UTC), "r",
    )  # fmt: skip


def assignments(count, *, named):
    segments = segmentation_manifest().segments
    places = np.arange(count) % len(segments)
    return Assignments(rows_of(count, named=named), SCHEMA.hash, 2, segments, places, column(count))


def lines(count, *, named):
    imputed = tuple((5, 6) if at % 2 else () for at in range(count))
    return explanations(count, named=named, lime=(Method.LIME, tuple(range(7, 7 + count)), imputed))


def explanations(count, *, named, top=WIDTH, lime=()):
    shares = np.random.default_rng(count + 2).normal(size=(count, WIDTH))
    shares[:, 4] = 0.0
    order = np.argsort(-np.abs(shares), axis=1, kind="stable")[:, :top]
    units = tuple("USD" if one.unit == "money" else one.unit for one in SCHEMA.columns)
    value = np.exp(column(count))
    return Explanations(
        rows_of(count, named=named), SCHEMA.hash, 4, value, "USD", units, 30, column(count, 2.5), shares, order,
        column(count), column(count, 1e-9), column(count, 0.1), column(count, 0.9), *lime,
    )  # fmt: skip


def text(value):
    return "" if value is None else str(value)


def explanation_message(one):
    return pb.Explanation(
        customer=text(one.customer_id),
        external_id=one.external_id,
        value=one.value,
        unit=one.unit,
        horizon_days=one.horizon_days,
        space=pb.EXPLANATION_SPACE_LOG,
        base_value=one.base_value,
        attributions=[
            pb.Attribution(
                feature=share.feature,
                value=share.value,
                unit=share.unit,
                contribution=share.contribution,
                factor=share.factor,
            )
            for share in one.attributions
        ],
        other_contribution=one.other_contribution,
        additivity_residual=one.additivity_residual,
        model_version=one.model_version,
        snapshot_id=one.snapshot_id,
        method=pb.EXPLANATION_METHOD_SHAP,
        surrogate_residual=one.surrogate_residual,
        fidelity_r2=one.fidelity_r2,
    )


def line_message(made, at):
    found = explanation_message(made[at])
    found.method = pb.EXPLANATION_METHOD_LIME
    r2 = float(made.fidelity[at])
    names = ["gap_mean", "gap_sd"] if made.imputed[at] else []
    found.lime.CopyFrom(LimeFit(seed=7 + at, samples=5000, r2=r2, low_fidelity=r2 < 0.5, imputed=names))
    return found


def told(kind, made):
    """A reply and the message made row by row."""
    if kind == "predictions":
        return PredictionsReply(made), pb.PredictResponse(predictions=map(mapping.prediction_message, made))
    if kind == "assignments":
        return AssignmentsReply(made), pb.SegmentResponse(assignments=map(mapping.assignment_message, made))
    if kind == "lines":
        rows = (line_message(made, at) for at in range(len(made)))
        return ExplanationsReply(made), pb.ExplainResponse(explanations=rows)
    return ExplanationsReply(made), pb.ExplainResponse(explanations=map(explanation_message, made))


ROWS = {"lines": "explanations"}
MAKERS = {
    "lines": lines,
    "predictions": predictions,
    "assignments": assignments,
    "explanations": explanations,
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("named", [False, True], ids=["vectors", "customers"])
@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_the_bytes_parse_to_the_messages_of_the_rows(kind, named, count):
    reply, expected = told(kind, MAKERS[kind](count, named=named))
    found = type(expected).FromString(reply.SerializeToString())
    rows = getattr(found, ROWS.get(kind, kind))
    assert len(rows) == count
    for row, wanted in zip(rows, getattr(expected, ROWS.get(kind, kind)), strict=True):
        if ROWS.get(kind, kind) == "explanations":
            # numpy and math may differ in the last bit of an exponential.
            for share, other in zip(row.attributions, wanted.attributions, strict=True):
                assert share.factor == pytest.approx(other.factor, rel=1e-15)
                share.factor = other.factor
        assert row == wanted


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("named", [False, True], ids=["vectors", "customers"])
def test_the_json_text_is_that_of_the_message(kind, named):
    reply, expected = told(kind, MAKERS[kind](5, named=named))
    codecs = Codecs()
    sent = type(expected).FromString(reply.SerializeToString())
    assert json.loads(codecs.print(reply)) == json.loads(codecs.print(sent))


def test_the_strongest_attributions_come_first_and_missing_values_are_absent():
    reply, _ = told("explanations", explanations(2, named=False, top=3))
    found = pb.ExplainResponse.FromString(reply.SerializeToString())
    for one in found.explanations:
        sizes = [abs(share.contribution) for share in one.attributions]
        assert len(sizes) == 3
        assert sizes == sorted(sizes, reverse=True)
    whole = pb.ExplainResponse.FromString(
        told("explanations", explanations(2, named=False))[0].SerializeToString()
    )
    gaps = [share for share in whole.explanations[0].attributions if share.feature == "gap_mean"]
    assert [share.HasField("value") for share in gaps] == [False]
    assert all(share.HasField("value") for share in whole.explanations[1].attributions)


def test_snapshots_keep_their_names():
    made = predictions(3, named=False)
    for at, vector in enumerate(made.rows.matrix):
        digest = hashlib.sha256(SCHEMA.hash.encode() + vector.astype("<f4").tobytes()).hexdigest()
        assert made.snapshot(at) == made[at].snapshot_id == digest[:32]


def test_identifiers_made_together_are_distinct_and_share_their_time():
    ids = uuid7s(500)
    assert len(set(ids)) == 500
    assert {(one.version, one.variant) for one in ids} == {(7, uuid7().variant)}
    assert len({created_at_of(one) for one in ids}) == 1
    assert abs((created_at_of(ids[0]) - datetime.now(UTC)).total_seconds()) < 60
