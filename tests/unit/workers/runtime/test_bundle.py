import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cohortlens.contracts.artifacts import ArtifactCorrupt, ArtifactMissing, LocalArtifactStore
from cohortlens.contracts.asks import calibration_key
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.manifest import IntervalCalibration, ModelManifest
from tests.fixtures.shops import FIRST_DAY, day_text, shop, write_snapshot
from workers.runtime.bundle import Bundle, graph_file, trees_file
from workers.runtime.faults import (
    ExplanationUnsupported,
    HorizonUnsupported,
    SchemaMismatch,
    TargetUnsupported,
)
from workers.training.boosting import fit_count, tree_arrays
from workers.training.export import trees_graph
from workers.training.pipeline import TrainOutcome, train

AS_OF = FIRST_DAY + 299
HORIZON = SCHEMA.index("horizon")
HORIZONS = (30, 60)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundle")
    store = LocalArtifactStore(root / "blobs")
    snapshot = write_snapshot(shop(150, 300), root / "snapshot.parquet")

    def make(model):
        return train(model, snapshot, day_text(AS_OF), "EUR", 1, store, lambda *_: None)

    with threadpool_limits(limits=1):
        return store, {"prediction": before_blends(store), "segmentation": make("segmentation")}


def before_blends(store):
    """A version as trainings made them before blends: one graph a target, an interval a horizon."""
    matrix = featurize(shop(150, 300), AS_OF, 150)
    matrix = matrix[~np.isnan(matrix[:, 0])]
    rows = np.concatenate([matrix, matrix])
    rows[:, HORIZON] = np.repeat(HORIZONS, len(matrix))
    rng = np.random.default_rng(1)
    files, calibration = {}, {}
    for target, unit in (("purchases", 1.0), ("spend", 40.0)):
        actual = unit * rng.poisson(rows[:, HORIZON] / 30 * (0.2 + rows[:, SCHEMA.index("n_90")]))
        trees = tree_arrays(fit_count(rows, actual.astype(np.float64), 1))
        files[graph_file(target)] = store.put_bytes(trees_graph(trees))
        files[trees_file(target)] = store.put_bytes(trees.to_npz())
        for days in HORIZONS:
            edges, widths = (unit, 3 * unit), (0.5, 1.0, 1.5)
            calibration[calibration_key(target, days)] = IntervalCalibration(0.8, edges, widths, widths, unit)
        calibration[target] = calibration[calibration_key(target, HORIZONS[0])]
    manifest = ModelManifest(
        model="prediction",
        schema_hash=SCHEMA.hash,
        data_sha256="0" * 64,
        as_of=day_text(AS_OF),
        currency="EUR",
        seed=1,
        code_version="test",
        targets=("purchases", "spend"),
        horizons_days=HORIZONS,
        files=files,
        calibration=calibration,
    )
    return TrainOutcome(restore(store, manifest), manifest)


@pytest.fixture
def rows():
    matrix = featurize(shop(150, 300), AS_OF, 150)
    matrix = matrix[~np.isnan(matrix[:, 0])]
    matrix[:, HORIZON] = 30
    return matrix


@pytest.fixture
def prediction(trained):
    store, outcomes = trained
    return Bundle.load(store, outcomes["prediction"].artifact_digest)


@pytest.fixture
def segmentation(trained):
    store, outcomes = trained
    return Bundle.load(store, outcomes["segmentation"].artifact_digest)


def restore(store, manifest):
    return store.put_bytes(manifest.to_json().encode())


@pytest.mark.parametrize("target", ["purchases", "spend"])
def test_values_lie_within_their_interval(prediction, rows, target):
    found = prediction.score(target, rows)
    assert np.isfinite(found["value"]).all()
    assert (found["value"] > 0).all()
    assert (found["lower"] >= 0).all()
    assert (found["lower"] <= found["value"]).all()
    assert (found["value"] <= found["upper"]).all()
    assert (found["lower"] < found["upper"]).mean() > 0.5


@pytest.mark.parametrize("target", ["purchases", "spend"])
def test_base_and_contributions_are_the_log_of_the_scored_value(prediction, rows, target):
    rows[::3, SCHEMA.index("gap_sd")] = np.nan
    why = prediction.explain(target, rows)
    np.testing.assert_allclose(
        why.bases + why.contributions.sum(axis=1), np.log(why.values), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(why.values, prediction.score(target, rows)["value"])
    assert np.abs(why.contributions).max() > 0.1


def test_a_row_scores_the_same_alone_and_in_a_batch(prediction, rows):
    together = prediction.score("spend", rows)
    for index in (0, 7, len(rows) - 1):
        alone = prediction.score("spend", rows[index : index + 1])
        for name, values in alone.items():
            # onnxruntime may add leaves in another order in a batch
            np.testing.assert_allclose(values, together[name][index : index + 1], rtol=1e-6)


def test_a_batch_may_mix_horizons(prediction, rows):
    mixed = rows.copy()
    mixed[::2, HORIZON] = 60
    found, short = prediction.score("purchases", mixed), prediction.score("purchases", rows)
    np.testing.assert_allclose(found["upper"][1::2], short["upper"][1::2], rtol=1e-6)
    assert (found["value"][::2] >= short["value"][::2]).all()


@pytest.mark.parametrize("horizon", [0, 45, 31, np.nan, np.inf, -30])
def test_an_untrained_horizon_names_the_trained_ones(prediction, rows, horizon):
    rows[2, HORIZON] = horizon
    for call in (prediction.score, prediction.explain):
        with pytest.raises(HorizonUnsupported, match=r"Row 2.*30, 60"):
            call("purchases", rows)


def test_unknown_targets_and_shapes_are_refused(prediction, segmentation, rows):
    with pytest.raises(TargetUnsupported, match="purchases, spend"):
        prediction.score("churn", rows)
    with pytest.raises(TargetUnsupported):
        segmentation.score("spend", rows)
    with pytest.raises(ContractFault):
        prediction.score("spend", rows[:, :-1])
    with pytest.raises(ContractFault):
        prediction.score("spend", rows.astype(np.float64))


def test_segments_are_indexes_of_profiles(segmentation, rows):
    found = segmentation.score("", rows)
    sizes = np.bincount(found["segment"].astype(int), minlength=len(segmentation.manifest.segments))
    assert sizes.tolist() == [profile.size for profile in segmentation.manifest.segments]
    assert (found["distance"] >= 0).all()
    with pytest.raises(ExplanationUnsupported):
        segmentation.explain("", rows)


def test_rows_that_cannot_be_written_to_are_scored(prediction, rows):
    frozen = np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape)
    assert not frozen.flags.writeable
    np.testing.assert_array_equal(
        prediction.score("spend", frozen)["value"], prediction.score("spend", rows)["value"]
    )
    assert prediction.explain("spend", frozen).contributions.shape == rows.shape


def test_warming_builds_what_the_first_call_needs(prediction, segmentation):
    segmentation.warm()
    prediction.warm(explain=True)
    assert set(prediction._explainers._exact) == {"purchases", "spend"}
    assert prediction.memory_bytes > segmentation.memory_bytes > 1 << 20


def test_each_damaged_file_is_refused(trained):
    store, outcomes = trained
    for name, digest in outcomes["prediction"].manifest.files.items():
        path = store.path(digest)
        whole = path.read_bytes()
        path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        with pytest.raises(ArtifactCorrupt):
            Bundle.load(store, outcomes["prediction"].artifact_digest)
        path.write_bytes(whole)
        assert name in outcomes["prediction"].manifest.files


def test_a_missing_file_or_version_is_named(trained):
    store, outcomes = trained
    with pytest.raises(ArtifactMissing):
        Bundle.load(store, "0" * 64)
    lost = replace(outcomes["segmentation"].manifest, files={"segmentation.onnx": "1" * 64})
    with pytest.raises(ArtifactMissing):
        Bundle.load(store, restore(store, lost))


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("prediction", {"files": {}}),
        ("segmentation", {"files": {}}),
        ("prediction", {"calibration": {}}),
        ("prediction", {"model": "churn", "targets": ()}),
    ],
)
def test_a_manifest_that_promises_too_little_is_corrupt(trained, model, change):
    store, outcomes = trained
    with pytest.raises(ArtifactCorrupt):
        Bundle.load(store, restore(store, replace(outcomes[model].manifest, **change)))


def test_bytes_that_are_no_graph_are_corrupt(trained):
    store, outcomes = trained
    files = {"segmentation.onnx": store.put_bytes(b"not onnx")}
    with pytest.raises(ArtifactCorrupt):
        Bundle.load(store, restore(store, replace(outcomes["segmentation"].manifest, files=files)))


def test_another_feature_schema_is_refused(trained):
    store, outcomes = trained
    with pytest.raises(SchemaMismatch):
        Bundle.load(store, restore(store, replace(outcomes["prediction"].manifest, schema_hash="0" * 64)))


def test_weekly_sequences_of_another_schema_are_refused(trained):
    store, outcomes = trained
    with pytest.raises(SchemaMismatch) as refused:
        Bundle.load(store, restore(store, replace(outcomes["prediction"].manifest, sequence_hash="0" * 64)))
    assert "weekly sequences 000000000000" in str(refused.value)


def test_scoring_loads_neither_torch_nor_scikit_learn_nor_shap(trained):
    store, outcomes = trained
    script = (
        "import sys; from pathlib import Path;"
        "from cohortlens.contracts.artifacts import LocalArtifactStore;"
        "from workers.runtime.bundle import Bundle;"
        "Bundle.load(LocalArtifactStore(Path(sys.argv[1])), sys.argv[2]).warm();"
        "print(sorted({'torch', 'sklearn', 'shap', 'workers.training', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.root), outcomes["prediction"].artifact_digest],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
