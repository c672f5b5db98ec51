"""Features after an action are those of the history with it; actions come the smallest first."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from cohortlens.analytics.counterfactuals import Action, acted, actions
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import purchase_days

AS_OF = date(2024, 6, 30)
DAY = (AS_OF - date(1970, 1, 1)).days


def at(row, name):
    return float(row[SCHEMA.index(name)])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_action_moves_every_feature_as_living_through_it_would(count):
    history = purchase_days([0, 0, 0], [DAY - 200, DAY - 25, DAY - 10], [10.0, 30.0, 20.0])
    row = featurize(history, DAY, 1)[0]
    row[SCHEMA.index("horizon")] = 90
    row[SCHEMA.index("trend_30")] = 1.25
    made = acted(history, AS_OF, row, Action(count, 40.0))
    new = [DAY + step for step in range(1, count + 1)]
    lived = purchase_days(
        [0] * (3 + count), [DAY - 200, DAY - 25, DAY - 10, *new], [10, 30, 20, *[40] * count]
    )
    wanted = featurize(lived, DAY + count, 1)[0]
    wanted[[SCHEMA.index("horizon"), SCHEMA.index("trend_30")]] = 90, 1.25
    np.testing.assert_array_equal(made, wanted)
    assert (at(made, "x"), at(made, "since"), at(made, "last")) == (2 + count, 0, 40)
    assert at(made, "age") == 200 + count
    SCHEMA.check(made[None, :])


def test_a_purchase_on_the_last_day_of_data_does_not_meet_the_action():
    history = purchase_days([0], [DAY], [5.0])
    made = acted(history, AS_OF, featurize(history, DAY, 1)[0], Action(1, 7.0))
    assert (at(made, "x"), at(made, "t_x"), at(made, "sum")) == (1, 1, 12)


def test_actions_are_fewer_days_and_less_money_first_in_whole_minor_units():
    tried = actions(10.0, "EUR")
    assert [one.purchase_days for one in tried] == [1] * 4 + [2] * 4 + [3] * 4
    assert [one.amount for one in tried[:4]] == [5.0, 10.0, 20.0, 40.0]
    assert {one.amount for one in actions(0.0, "EUR")} == {0.01}
    assert {one.amount for one in actions(3.0, "JPY")} == {2.0, 3.0, 6.0, 12.0}
    assert timedelta(days=max(one.purchase_days for one in tried)) == timedelta(days=3)
