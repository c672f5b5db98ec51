import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from workers.training.backtest import Fold
from workers.training.datasets import Rows
from workers.training.selection import LEAST_WEIGHT, distinct, select


def fold(cut, actual, **members):
    features = np.zeros((len(actual), len(SCHEMA.columns)), np.float32)
    whose = np.arange(len(actual), dtype=np.int32)
    rows = Rows(features, {"purchases": actual}, whose, np.full(len(actual), cut, np.int32))
    return Fold(cut, {30: rows}, {("purchases", 30): members})


def folds(noises, count=3, rows=4_000, seed=0):
    """Folds in which each member is the truth with noise of its own."""
    found = []
    for at in range(count):
        rng = np.random.default_rng(seed + at)
        truth = rng.gamma(1.0, 2.0, rows)
        members = {name: truth * rng.lognormal(0.0, noise, rows) for name, noise in noises.items()}
        found.append(fold(-30 * at, rng.poisson(truth).astype(float), **members))
    return found


def test_weights_are_shares_of_the_members_that_are_kept():
    weights = select(folds({"good": 0.1, "fair": 0.3, "poor": 1.5}), "purchases", ["good", "fair", "poor"])
    assert sum(weights.values()) == pytest.approx(1.0)
    assert min(weights.values()) >= LEAST_WEIGHT
    assert max(weights, key=weights.get) == "good"
    assert "poor" not in weights


def test_two_members_with_independent_errors_beat_each_of_them():
    past, future = folds({"one": 0.6, "other": 0.6}), folds({"one": 0.6, "other": 0.6}, count=1, seed=9)[0]
    weights = select(past, "purchases", ["one", "other"])
    table, actual = future.predictions["purchases", 30], future.actual("purchases", 30)
    blend = sum(weight * table[name] for name, weight in weights.items())
    errors = {name: np.mean((values - actual) ** 2) for name, values in {**table, "blend": blend}.items()}
    assert errors["blend"] < min(errors["one"], errors["other"])


def test_members_that_say_the_same_have_one_vote():
    rng = np.random.default_rng(0)
    truth = rng.gamma(1.0, 2.0, 2_000)
    one, other = truth * rng.lognormal(0, 0.5, 2_000), truth * rng.lognormal(0, 0.5, 2_000)
    actual = rng.poisson(truth).astype(float)
    past = [fold(0, actual, one=one, copy=one * 1.0001, other=other)]
    assert distinct(past, "purchases", ["one", "copy", "other"]) == ["one", "other"]
    assert "copy" not in select(past, "purchases", ["one", "copy", "other"])


def test_one_fold_pulls_members_to_equal_weights():
    few = select(folds({"one": 0.3, "other": 0.5}, count=1), "purchases", ["one", "other"])
    many = select(folds({"one": 0.3, "other": 0.5}, count=6), "purchases", ["one", "other"])
    assert abs(few["one"] - 0.5) < abs(many["one"] - 0.5)


def test_nothing_bought_still_gives_weights():
    nothing = fold(0, np.zeros(50), one=np.full(50, 0.5), other=np.linspace(0, 1, 50))
    weights = select([nothing], "purchases", ["one", "other"])
    assert sum(weights.values()) == pytest.approx(1.0)
    assert np.isfinite(list(weights.values())).all()
