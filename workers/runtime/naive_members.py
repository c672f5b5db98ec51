"""Members that need no learning: the mean of all customers, and each customer's own pace carried on.

They stand beside the models in every backtest, and serve where it gives them weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from cohortlens.contracts.artifacts import ArtifactCorrupt
from cohortlens.contracts.asks import CHURN, PURCHASES, SPEND
from cohortlens.contracts.features import SCHEMA, WINDOWS_DAYS
from workers.runtime import btyd
from workers.runtime.members import LAST_PERIOD, FloatArray, LineupRows

_FIRST = SCHEMA.index("first")
_COUNTS = np.array([SCHEMA.index(f"n_{days}") for days in WINDOWS_DAYS])
_MONIES = np.array([SCHEMA.index(f"s_{days}") for days in WINDOWS_DAYS])
_WINDOWS = np.array(WINDOWS_DAYS, np.float64)


class PopulationMember:
    """The mean of all customers, in proportion to the days ahead.

    Args:
        rates: ``purchases_per_day``, ``spend_per_day`` (major units), and ``churn_hazard_per_day``: the
            probability of none within h days is exp(-hazard x h).
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        names = {
            PURCHASES: "purchases_per_day",
            SPEND: "spend_per_day",
            CHURN: "churn_hazard_per_day",
        }
        try:
            self._rates = {target: float(rates[name]) for target, name in names.items()}
        except KeyError as error:
            raise ArtifactCorrupt("The manifest lacks a rate of the population; train again.") from error

    def predict(self, target: str, rows: LineupRows) -> FloatArray:
        """See ``Member``."""
        expected = np.full(len(rows.x), self._rates[target]) * rows.horizon
        return np.exp(-expected) if target == CHURN else expected

    def stretch(self, rows: LineupRows, trained: int, asked: int) -> FloatArray:
        """See ``Curve``."""
        return np.full(len(rows.x), asked / trained)

    def none_exponent(self, rows: LineupRows, trained: int, asked: int) -> FloatArray:
        """See ``Curve``."""
        return self.stretch(rows, trained, asked)

    def discount(self, rows: LineupRows, horizon_days: int, annual_discount_ratio: float) -> FloatArray:
        """See ``Curve``."""
        ends = btyd.steps_days(horizon_days)
        return np.full(len(rows.x), btyd.discount_ratio(ends, ends, annual_discount_ratio)[0])


class RateMember:
    """A customer's own pace carried on: no model, but a member where the backtest gives it weight.

    Args:
        member: ``own_rate``, the pace since the first purchase, or ``last_period``, the pace within as long a
            window as the days ahead (the feature window nearest to them).
    """

    def __init__(self, member: str) -> None:
        self._is_recent = member == LAST_PERIOD

    def predict(self, target: str, rows: LineupRows) -> FloatArray:
        """See ``Member``; for ``churn`` the probability of none of a Poisson process of that pace."""
        if self._is_recent:
            purchases, spend = rows.kept(LAST_PERIOD, cast("Any", _recent_pace))
        else:
            purchases = rows.x / np.maximum(rows.age, 1.0)
            spend = purchases * rows.zbar
        if target == CHURN:
            return np.asarray(np.exp(-purchases * rows.horizon))
        return np.asarray((spend if target == SPEND else purchases) * rows.horizon)


def _recent_pace(rows: LineupRows) -> Any:
    """Repeat purchase-days and their money per day of the window, shape (2, n)."""
    horizon = np.broadcast_to(rows.horizon, len(rows.x))
    at = np.argmin(np.abs(np.log(_WINDOWS[None, :] / np.maximum(horizon, 1.0)[:, None])), axis=1)
    row = np.arange(len(rows.x))
    window, features = _WINDOWS[at], rows.features
    first_inside = rows.age < window
    count = features[row, _COUNTS[at]].astype(np.float64) - first_inside
    money = features[row, _MONIES[at]].astype(np.float64) - first_inside * features[:, _FIRST]
    return np.maximum(0.0, np.stack([count, money])) / window
