"""Explanations of a blend add up to what it answers, repeat bit by bit, and point at what matters."""

import gc
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.baseline import BASELINE_FILE
from cohortlens.contracts.explanations import INTERVENTIONAL, LIME, METHODS, SHAP, log_of, seed_of
from cohortlens.contracts.features import SCHEMA
from tests.fixtures.blended_version import TARGETS, blended_version
from tests.fixtures.shops import FIRST_DAY, shop
from workers.runtime import explaining
from workers.runtime.bundle import Bundle
from workers.runtime.faults import ExplanationUnsupported
from workers.training.datasets import Snapshot

AS_OF = FIRST_DAY + 299
HORIZON = SCHEMA.index("horizon")


@pytest.fixture(scope="module")
def version():
    days = shop(120, 300)
    with threadpool_limits(limits=1):
        return blended_version(Snapshot(days.until(AS_OF), 120, int(days.day.min()), AS_OF))


@pytest.fixture(scope="module")
def bundle(version):
    manifest, files, *_ = version
    return Bundle(manifest, files)


@pytest.fixture(scope="module")
def rows(version):
    return version[3].features[:6]


@pytest.mark.parametrize("horizon", [30, 45, 300], ids=["trained", "between", "beyond"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_bases_shares_and_what_is_left_over_make_up_the_logarithm_of_the_answer(
    bundle, rows, method, target, horizon
):
    asked = rows[:2].copy()
    asked[:, HORIZON] = horizon
    found = bundle.explain(target, asked, method, [1, 2])
    # Sums of doubles: what is left is rounding.
    np.testing.assert_allclose(
        found.bases + found.contributions.sum(axis=1), found.explained, rtol=0, atol=1e-9
    )
    # One row and two rows may differ in the last bit.
    np.testing.assert_allclose(found.values, bundle.score(target, asked)["value"], rtol=1e-14)
    assert np.isfinite(log_of(found.values) - found.explained).all()
    assert ((found.fidelities > 0) & (found.fidelities <= 1)).all()


@pytest.mark.parametrize("target", TARGETS)
def test_trees_learnt_from_a_blend_are_true_to_it_on_customers_left_out(version, bundle, target):
    manifest, _, told, today = version
    assert told[target].fidelity_r2 >= 0.9  # 120 customers; real shops reach more, see explain-bench
    found = bundle.explain(target, today.features)
    logs = log_of(found.values)
    shown = 1 - ((logs - found.explained) ** 2).sum() / ((logs - logs.mean()) ** 2).sum()
    assert shown >= told[target].fidelity_r2 - 0.05
    assert manifest.importance[target].keys() == set(SCHEMA.names)


def test_an_asked_horizon_changes_nothing_but_the_share_of_the_horizon(bundle, rows):
    near, far = rows[:1].copy(), rows[:1].copy()
    near[:, HORIZON], far[:, HORIZON] = 60, 200
    short, long = bundle.explain("spend", near), bundle.explain("spend", far)
    others = np.arange(len(SCHEMA.columns)) != HORIZON
    np.testing.assert_array_equal(short.contributions[0, others], long.contributions[0, others])
    grown = np.log(long.values[0] / short.values[0])
    assert long.contributions[0, HORIZON] - short.contributions[0, HORIZON] == pytest.approx(grown, abs=1e-9)


def test_a_feature_that_no_tree_asks_about_has_no_share(bundle, rows):
    unused = [at for at, name in enumerate(SCHEMA.names) if bundle.manifest.importance["spend"][name] == 0]
    assert unused
    for method in (SHAP, INTERVENTIONAL):
        assert not bundle.explain("spend", rows, method).contributions[:, unused].any()


def test_a_line_repeats_bit_by_bit_in_another_process_and_another_seed_is_another_line(
    version, rows, tmp_path
):
    manifest, files, *_ = version
    store = LocalArtifactStore(tmp_path / "artifacts")
    stored = replace(manifest, files={name: store.put_bytes(data) for name, data in files.items()})
    np.save(tmp_path / "row.npy", rows[:1])
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from cohortlens.contracts.artifacts import LocalArtifactStore\n"
        "from cohortlens.contracts.explanations import LIME\n"
        "from threadpoolctl import threadpool_limits\n"
        "from workers.runtime.bundle import Bundle\n"
        "row = np.load(sys.argv[3])\n"
        "with threadpool_limits(limits=1):\n"
        "    bundle = Bundle.load(LocalArtifactStore(Path(sys.argv[1])), sys.argv[2])\n"
        "    found = bundle.explain('spend', row, LIME, [7])\n"
        "print(found.contributions.tobytes().hex() + found.fidelities.tobytes().hex())\n"
    )
    digest = store.put_bytes(stored.to_json().encode())
    arguments = [str(tmp_path / "artifacts"), digest, str(tmp_path / "row.npy")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with threadpool_limits(limits=1):
        here = Bundle(*version[:2]).explain("spend", rows[:1], LIME, [7])
        other = Bundle(*version[:2]).explain("spend", rows[:1], LIME, [8])
    assert done.stdout.strip() == here.contributions.tobytes().hex() + here.fidelities.tobytes().hex()
    assert (other.contributions != here.contributions).any()


def test_the_default_seed_belongs_to_a_version_and_a_row():
    seeds = {seed_of(digest, snapshot) for digest in ("aa", "bb") for snapshot in ("11", "22")}
    assert len(seeds) == 4
    assert seed_of("aa", "11") == seed_of("aa", "11")
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_missing_features_are_filled_in_and_named(bundle, rows):
    row = rows[:1].copy()
    gaps = [SCHEMA.index("gap_mean"), SCHEMA.index("gap_sd")]
    row[:, gaps] = np.nan
    known = {name: not np.isnan(value) for name, value in zip(SCHEMA.names, row[0], strict=True)}
    found = bundle.explain("spend", row, LIME, [1])
    assert {SCHEMA.names[at] for at in found.imputed[0]} == {name for name, has in known.items() if not has}
    assert np.isfinite(found.contributions).all()


def test_what_was_explained_is_kept_and_told_apart_by_method_seed_and_row(bundle, rows, monkeypatch):
    lines = []
    fit = explaining.LimeExplainer.explain
    monkeypatch.setattr(explaining.LimeExplainer, "explain", lambda *given: (lines.append(1), fit(*given))[1])
    for seed, at in ((100, 0), (100, 0), (101, 0), (100, 1), (100, 0)):
        bundle.explain("purchases", rows[at : at + 1], LIME, [seed])
    assert len(lines) == 3


def test_a_version_without_a_sample_explains_along_its_trees_alone(version, rows):
    manifest, files, *_ = version
    bare = Bundle(manifest, {name: data for name, data in files.items() if name != BASELINE_FILE})
    assert bare.explain("spend", rows[:1]).contributions.any()
    for method in (LIME, INTERVENTIONAL):
        with pytest.raises(ExplanationUnsupported, match="train a new version"):
            bare.explain("spend", rows[:1], method, [1])


def test_what_cannot_be_explained_is_named(version, bundle, rows):
    with pytest.raises(ExplanationUnsupported, match="expected one of shap"):
        bundle.explain("spend", rows, "guessing")
    manifest, files, *_ = version
    alone = Bundle(manifest, {name: data for name, data in files.items() if "churn.explainer" not in name})
    with pytest.raises(ExplanationUnsupported, match="explains purchases, spend"):
        alone.explain("churn", rows)


def test_taking_away_the_strongest_feature_moves_the_answer_more_than_any_other_does(version, bundle):
    features = version[3].features
    shares = np.abs(bundle.explain("purchases", features).contributions)
    shares[:, HORIZON] = 0
    unknown = np.isnan(features).all(axis=0)
    median = np.nanmedian(np.where(unknown, 0, features), axis=0)
    before, moved = log_of(bundle.score("purchases", features)["value"]), {}
    strongest = shares.argmax(axis=1)
    rng = np.random.default_rng(0)
    chance = rng.permuted(np.tile(np.arange(HORIZON), (len(features), 1)), axis=1)[:, 0]
    for name, columns in (("strongest", strongest), ("chance", chance)):
        without = features.copy()
        without[np.arange(len(features)), columns] = median[columns]
        without[:, SCHEMA.index("t_x")] = np.minimum(
            without[:, SCHEMA.index("t_x")], without[:, SCHEMA.index("age")]
        )
        moved[name] = np.abs(log_of(bundle.score("purchases", without)["value"]) - before).mean()
    assert moved["strongest"] > 2 * moved["chance"]


def test_a_version_that_is_dropped_frees_its_memory_at_once(version, rows):
    # Graphs live outside of Python, so the collector does not see that it is time to come by.
    dropped = Bundle(*version[:2])
    for method in METHODS:
        dropped.explain("spend", rows[:1], method, [1])
    seen = weakref.ref(dropped)
    gc.disable()
    try:
        del dropped
        assert seen() is None
    finally:
        gc.enable()
