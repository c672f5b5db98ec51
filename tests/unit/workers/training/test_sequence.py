"""The sequence nets: what they learn, what they refuse, equal fits, and graphs that say what the net says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import weekly_sequences
from tests.fixtures.shops import shop
from workers.runtime.members import LineupRows, SequenceMember
from workers.runtime.sessions import Session
from workers.training.datasets import Snapshot, rows_at, training_rows
from workers.training.faults import TrainingFault
from workers.training.lineup import TARGETS, MemberDropped, View
from workers.training.sequence import export, fitting
from workers.training.sequence.member import FittedSequence, SequenceTrainer
from workers.training.sequence.nets import CELLS, HEADS

CUSTOMERS, DAYS, HORIZONS = 400, 420, (30, 60)


@pytest.fixture(scope="module")
def snapshot():
    days = shop(CUSTOMERS, DAYS)
    return Snapshot(days, CUSTOMERS, int(days.day.min()), int(days.day.max()))


@pytest.fixture(scope="module")
def rows(snapshot):
    return training_rows(snapshot, HORIZONS, snapshot.as_of, np.random.default_rng(0), sequences=True)


@pytest.fixture(scope="module")
def view(snapshot, rows):
    today = rows_at(snapshot.days, CUSTOMERS, snapshot.as_of, (60,), sequences=True)[0]
    return View(snapshot, HORIZONS, rows, today)


def test_each_row_has_the_sequence_of_its_customer_at_its_own_cut(snapshot, rows):
    for cut in np.unique(rows.cut)[:2]:
        at_cut = rows.cut == cut
        expected = weekly_sequences(snapshot.days, int(cut), CUSTOMERS)[rows.customer[at_cut]]
        assert np.array_equal(rows.sequence[at_cut], expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("head", HEADS)
def test_every_cell_and_head_gives_a_graph_that_equals_its_net(rows, cell, head, monkeypatch):
    net = fitting.fit_sequence(rows, cell, head, seed=1, steps=4)
    probes = rows.select(np.random.default_rng(1).permutation(len(rows))[:300])
    features = probes.features.copy()
    features[::3, SCHEMA.index("gap_mean")] = np.nan
    features[::5, SCHEMA.index("sum")] = 1e17
    features[::7, SCHEMA.index("x")] = 10_000
    probes = replace(probes, features=features)
    graph = export.net_graph(net)
    assert export.check_net(graph, net, probes) <= 1e-5
    found = FittedSequence(cell, net)
    for target in TARGETS:
        values = found.predict(target, probes)
        assert values.shape == (300,)
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    assert (found.predict("churn", probes) <= 1).all()
    assert (found.predict("purchases", probes) <= probes.column("horizon") * (1 + 1e-6)).all()


def test_a_graph_of_another_net_is_refused(rows):
    first, second = (fitting.fit_sequence(rows, "gru", "tweedie", seed, steps=2) for seed in (1, 2))
    with pytest.raises(TrainingFault) as fault:
        export.check_net(export.net_graph(first), second, rows.select(np.arange(200)))
    assert fault.value.reason == "PARITY_FAILED"


@pytest.mark.parametrize("cell", CELLS)
def test_equal_rows_and_seeds_give_the_same_file_and_another_seed_another(rows, cell):
    files = [
        export.net_graph(fitting.fit_sequence(rows, cell, "tweedie", seed, steps=3)) for seed in (5, 5, 6)
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_the_order_of_the_rows_changes_no_prediction(rows):
    mixed = rows.select(np.random.default_rng(3).permutation(len(rows)))
    plain, other = (fitting.fit_sequence(one, "gru", "tweedie", 0, steps=3) for one in (rows, mixed))
    assert export.net_graph(plain) == export.net_graph(other)


@pytest.fixture(scope="module")
def fitted(view):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "STEPS", 80)
        return SequenceTrainer("gru").fit(view, seed=0)


def test_it_learns_who_buys_and_its_level(fitted, rows):
    expected = fitted.predict("purchases", rows)
    actual = rows.targets["purchases"]
    assert np.corrcoef(expected, actual)[0, 1] > 0.5
    assert expected.sum() == pytest.approx(actual.sum(), rel=0.15)
    assert fitted.predict("spend", rows).sum() == pytest.approx(rows.targets["spend"].sum(), rel=0.25)
    churned = fitted.predict("churn", rows)
    assert churned[rows.targets["churn"] == 1].mean() > churned[rows.targets["churn"] == 0].mean() + 0.1
    parts = fitted.export(rows.select(np.arange(500)))
    assert set(parts.files) == {"sequence.onnx"}
    assert parts.parity <= 1e-5


def test_a_longer_horizon_expects_more(fitted, view):
    short, long = (fitted.predict("purchases", view.today.at_horizon(days)).sum() for days in (30, 60))
    assert long > 1.2 * short


def test_many_rows_in_one_call_are_scored_as_in_small_ones(rows):
    graph = export.net_graph(fitting.fit_sequence(rows, "gru", "tweedie", 0, steps=2))
    member = SequenceMember("gru", Session(graph, ("features", "sequence", "horizon")))
    many = rows.select(np.arange(2_500) % len(rows))
    together = member.predict("spend", LineupRows(many.features, many.sequence))
    apart = [
        member.predict("spend", LineupRows(part.features, part.sequence))
        for part in (many.select(np.arange(at, at + 500)) for at in range(0, 2_500, 500))
    ]
    assert np.allclose(together, np.concatenate(apart), rtol=1e-6)


def test_what_cannot_be_learnt_from_is_dropped_with_a_reason(rows):
    few = rows.select(np.arange(1_000))
    nobody = replace(rows, targets={name: np.zeros(len(rows)) for name in rows.targets})
    for given, reason in (
        (replace(rows, sequence=None), "SEQUENCE_MISSING"),
        (few, "TOO_FEW_ROWS"),
        (nobody, "NO_PURCHASE_AHEAD"),
    ):
        with pytest.raises(MemberDropped) as dropped:
            fitting.fit_sequence(given, "gru", "tweedie", 0)
        assert dropped.value.reason == reason


def test_money_in_another_unit_scales_spend_and_nothing_else(rows):
    scaled = rows.features.copy()
    for name in (
        "sum",
        "mean",
        "sd",
        "max",
        "first",
        "last",
        "zbar",
        *(f"s_{w}" for w in (14, 30, 60, 90, 180)),
    ):
        scaled[:, SCHEMA.index(name)] *= 64.0
    other = replace(rows, features=scaled, targets=rows.targets | {"spend": 64.0 * rows.targets["spend"]})
    found = [
        FittedSequence("gru", fitting.fit_sequence(one, "gru", "tweedie", 0, steps=5))
        for one in (rows, other)
    ]
    some = np.arange(200)
    for target, factor in (("purchases", 1.0), ("churn", 1.0), ("spend", 64.0)):
        plain = found[0].predict(target, rows.select(some))
        assert np.allclose(found[1].predict(target, other.select(some)), factor * plain, rtol=1e-3), target
