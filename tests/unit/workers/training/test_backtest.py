from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from tests.fixtures.shops import FIRST_DAY, shop
from workers.runtime.members import LineupRows
from workers.training import boosting, export
from workers.training.backtest import backtest, cuts_before, fit_all, present, view_at
from workers.training.datasets import Snapshot
from workers.training.faults import TrainingFault
from workers.training.lineup import TARGETS, MemberDropped
from workers.training.members import Boosting, Btyd, Hybrid, Population, Rate, line_up, population_rates

AS_OF = FIRST_DAY + 299
CHEAP = (Population(), Rate("own_rate"), Rate("last_period"), Btyd("bgnbd"))


def snapshot(customers=150, as_of=AS_OF, days=None):
    known = (shop(customers, 420) if days is None else days).until(as_of)
    return Snapshot(known, customers, int(known.day.min()), as_of)


@pytest.fixture(scope="module")
def view():
    return view_at(snapshot(), AS_OF, (30, 60), 0, sequences=False)


@pytest.fixture(scope="module")
def fitted(view):
    return fit_all(view, line_up(), 0)


def test_a_fold_looks_at_nothing_after_its_cut():
    whole = backtest(snapshot(), (30, 60), CHEAP, 0, sequences=False)
    for fold in whole:
        cut_off = snapshot(as_of=fold.cut)
        alone = fit_all(view_at(cut_off, fold.cut, (30, 60), 0, sequences=False), CHEAP, 0)
        own = dict(cuts_before(snapshot(), (30, 60)))[fold.cut]
        if own != (30, 60):
            continue
        for target, members in alone.predict(fold.rows[30], 30).items():
            for name, values in members.items():
                assert (values == fold.predictions[target, 30][name]).all(), (target, name)


def test_folds_end_within_the_data_and_leave_a_past_to_learn_from():
    for cut, horizons in cuts_before(snapshot(), (30, 60, 90)):
        assert cut + 90 <= AS_OF
        assert cut - FIRST_DAY >= 60
        assert set(horizons) <= {30, 60, 90}
    assert cuts_before(snapshot(as_of=FIRST_DAY + 130), (30,)) == []


def test_every_member_gives_finite_values_of_every_target(view, fitted):
    assert fitted.dropped == {}
    for horizon in (30, 45, 60, 200):
        for target, members in fitted.predict(view.today, horizon).items():
            assert set(members) == {member.id for member in line_up()}
            for name, values in members.items():
                assert np.isfinite(values).all(), (target, name)
                assert (values >= 0).all(), (target, name)
                assert target != "churn" or (values <= 1).all(), name


def test_a_longer_horizon_brings_more_purchases_and_less_churn(view, fitted):
    near, far = fitted.predict(view.today, 60), fitted.predict(view.today, 180)
    for name in near["purchases"]:
        if name != "last_period":
            assert far["purchases"][name].sum() > near["purchases"][name].sum(), name
            assert far["churn"][name].mean() < near["churn"][name].mean(), name


def test_a_member_that_cannot_be_fitted_is_dropped_with_its_reason(view):
    class Broken:
        id = "broken"

        def fit(self, view, seed):
            raise MemberDropped("NOT_TODAY")

    found = fit_all(view, (*CHEAP, Broken()), 0)
    assert found.dropped == {"broken": "NOT_TODAY"}
    assert set(found.fitted) == {member.id for member in CHEAP}


def test_only_members_of_every_fold_take_part():
    folds = backtest(snapshot(), (30,), CHEAP, 0, sequences=False)
    assert len(folds) >= 2
    tables = {
        key: {k: v for k, v in one.items() if k != "bgnbd"} for key, one in folds[0].predictions.items()
    }
    assert present(folds, "purchases") == tuple(member.id for member in CHEAP)
    folds[0] = replace(folds[0], predictions=tables)
    assert "bgnbd" not in present(folds, "purchases")


def test_a_graph_without_its_link_is_rejected(view):
    fitted = Boosting().fit(view, 0)
    trees = boosting.tree_arrays(fitted.parts["purchases"])
    unlinked = replace(fitted, graphs=fitted.graphs | {"purchases": export.trees_graph(trees, link="none")})
    with pytest.raises(TrainingFault) as caught:
        unlinked.export(view.rows)
    assert caught.value.reason == "PARITY_FAILED"


def test_the_hybrid_of_little_data_stays_near_what_it_corrects(view):
    hybrid, leading = Hybrid().fit(view, 0), Btyd("bgnbd").fit(view, 0)
    rows = LineupRows(view.today.features, None, 60.0)
    ratio = hybrid.member.predict("purchases", rows) / leading.member.predict("purchases", rows)
    assert 0.2 < np.median(ratio) < 5
    assert set(hybrid.targets) == set(TARGETS)


def test_rates_of_a_shop_where_nobody_returns_are_half_a_purchase_among_all(view):
    features = view.today.features.copy()
    for name in ("x", "zbar"):
        features[:, SCHEMA.index(name)] = 0
    rates = population_rates(replace(view.today, features=features))
    days = np.maximum(view.today.column("age"), 1.0).sum() + 365.0
    assert rates["purchases_per_day"] == rates["churn_hazard_per_day"] == pytest.approx(0.5 / days)
    assert rates["spend_per_day"] == pytest.approx(0.5 / days * view.today.column("first").mean())
