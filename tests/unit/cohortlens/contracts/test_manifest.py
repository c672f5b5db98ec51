import hashlib
import json
from dataclasses import replace

import pytest

from cohortlens.contracts.artifacts import ArtifactCorrupt
from cohortlens.contracts.manifest import (
    GateCriterion,
    IntervalCalibration,
    ModelManifest,
    SegmentProfile,
)

MANIFEST = ModelManifest(
    model="prediction",
    schema_hash="ab" * 32,
    data_sha256="cd" * 32,
    as_of="1998-06-30",
    currency="USD",
    seed=7,
    code_version="0.1.0",
    targets=("purchases", "spend"),
    horizons_days=(30, 90),
    metrics={"purchases.rmse": 0.65},
    gate=(GateCriterion("parity", 1e-7, 1e-5, passed=True),),
    files={"purchases.onnx": "ef" * 32},
    calibration={"purchases:30": IntervalCalibration(0.8, (0.5,), (1.0, 2.0), (3.0, 4.0), 0.25)},
    segments=(SegmentProfile("s1", "Champions", "Best.", "Mejores.", 3, 0.5, {"mean_spend": 2.0}),),
    notes=("piñata",),
)


def test_a_manifest_comes_back_as_it_was():
    assert ModelManifest.from_json(MANIFEST.to_json()) == MANIFEST
    assert ModelManifest.from_json(MANIFEST.to_json().encode()) == MANIFEST


def test_the_digest_is_that_of_the_canonical_json():
    text = json.dumps(json.loads(MANIFEST.to_json()), sort_keys=True, separators=(",", ":"))
    assert MANIFEST.digest == hashlib.sha256(text.encode()).hexdigest()


def test_any_difference_changes_the_digest():
    others = [replace(MANIFEST, seed=8), replace(MANIFEST, files={"purchases.onnx": "00" * 32})]
    assert len({MANIFEST.digest, *(other.digest for other in others)}) == 3


def test_a_failed_criterion_fails_the_gate():
    assert MANIFEST.passed
    failed = GateCriterion("spend.deviance", 1.2, 1.0, passed=False)
    assert not replace(MANIFEST, gate=(*MANIFEST.gate, failed)).passed


def test_a_number_that_is_not_finite_cannot_be_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(MANIFEST, metrics={"purchases.bias": float("nan")}).to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"format":1}',
        "\udce9".encode("utf-8", "surrogateescape"),
        '{"format":1,"gate":3}',
    ],
)
def test_what_is_no_manifest_is_corrupt(text):
    with pytest.raises(ArtifactCorrupt):
        ModelManifest.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"), [("format", 2), ("unknown", 1), ("calibration", {"a": {}}), ("gate", [{"name": "x"}])]
)
def test_a_manifest_of_another_layout_is_corrupt(name, value):
    document = json.loads(MANIFEST.to_json())
    document[name] = value
    with pytest.raises(ArtifactCorrupt):
        ModelManifest.from_json(json.dumps(document))
