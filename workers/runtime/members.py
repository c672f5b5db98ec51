"""The members of the line-up, asked for predictions of rows.

Training wraps what it has fitted in these very classes, so that a member predicts in the backtest as it does
when it serves. What several members need of a row, such as the outputs of a buy-till-you-die model, is
computed once for the call and kept in its ``LineupRows``; what only two of its features decide, once for all
calls, in ``HistoryTables``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cohortlens.contracts.asks import CHURN, PURCHASES, SPEND
from cohortlens.contracts.features import SCHEMA
from workers.runtime import btyd
from workers.runtime.btyd import BtydParameters
from workers.runtime.btyd_money import GammaGamma, expected_value
from workers.runtime.history_tables import HistoryTables, place_of, place_of_one
from workers.runtime.sessions import INPUT, Session

Features = NDArray[np.float32]
FloatArray = NDArray[np.float64]
ArrayT = TypeVar("ArrayT", bound=NDArray[Any])

BTYD_FAMILIES = tuple(btyd.FAMILIES)
"""Buy-till-you-die members; the first that a version has gives timing and the columns of the hybrid."""

GAMMA_GAMMA = "gamma_gamma"
"""Key in ``ModelManifest.btyd`` of the model of money that all of them share."""

POPULATION_MEAN = "population_mean"
OWN_RATE, LAST_PERIOD = "own_rate", "last_period"
BOOSTING, HYBRID = "boosting", "boosting_btyd"
SEQUENCE_INPUTS = (INPUT, "sequence", "horizon")
"""Inputs of the sequence graph, float32: features, weeks of shape (n, weeks, channels), and days, (n, 1)."""

SEQUENCE_ROWS = 1_024
"""Rows that the sequence graph is given at most in one run."""

HYBRID_COLUMNS = ("btyd_purchases", "btyd_none", "btyd_alive", "btyd_value")
"""Columns behind the features of a hybrid's rows: outputs of the leading buy-till-you-die model."""

_X, _T_X, _AGE, _ZBAR = (SCHEMA.index(name) for name in ("x", "t_x", "age", "zbar"))
_HORIZON = SCHEMA.index("horizon")
_ODDS_MOST = 700.0
_NONE_LEAST = 1e-300
_GONE = 1e-12
_FATES = 8192
"""Histories asked for one by one whose fate a model remembers."""


class LineupRows:
    """Rows of one call, and what members compute of them for one another.

    Args:
        features: Shape (n, columns), float32, as ``SCHEMA`` orders them; not changed.
        sequence: Weekly sequences, float32 of shape (n, weeks, channels); None when the rows have none.
        horizon: Days ahead, one for all or of shape (n,), float64; the column ``horizon`` when left out.

    Attributes:
        x: Repeat purchase-days, float64 of shape (n,).
        age: Days since the first purchase, float64 of shape (n,).
    """

    __slots__ = ("_kept", "age", "features", "horizon", "sequence", "x")

    def __init__(
        self,
        features: Features,
        sequence: Features | None = None,
        horizon: float | FloatArray | None = None,
    ) -> None:
        self.features = features
        self.sequence = sequence
        self.horizon = features[:, _HORIZON].astype(np.float64) if horizon is None else horizon
        self.x = features[:, _X].astype(np.float64)
        self.age = features[:, _AGE].astype(np.float64)
        self._kept: dict[str, Any] = {}

    @property
    def t_x(self) -> FloatArray:
        """Days from the first purchase to the last, at most the age, shape (n,)."""
        return np.minimum(self.features[:, _T_X], self.age)

    @property
    def history_of_one(self) -> tuple[float, float, float]:
        """``x``, ``t_x`` and ``age`` of the only row."""
        age = self.age.item()
        return self.x.item(), min(self.features.item(_T_X), age), age

    @property
    def zbar(self) -> FloatArray:
        """Mean money of repeat purchase-days, major units, shape (n,)."""
        return self.features[:, _ZBAR].astype(np.float64)

    @property
    def place(self) -> NDArray[np.intp]:
        """Where ``HistoryTables`` keep these histories, shape (n,)."""
        return self.kept("place", _place)

    def kept(self, name: str, make: Callable[[LineupRows], ArrayT]) -> ArrayT:
        """What stands under a name, made of these rows on the first call for it; not to be changed."""
        found = self._kept.get(name)
        if found is None:
            found = self._kept[name] = make(self)
        return cast("ArrayT", found)


def _place(rows: LineupRows) -> NDArray[np.intp]:
    return place_of(rows.x, rows.age)


class Member(Protocol):
    """A member that is ready to predict."""

    def predict(self, target: str, rows: LineupRows) -> FloatArray:
        """Predict ``purchases``, ``spend`` or ``churn`` within the rows' horizon; shape (n,), >= 0."""


class Curve(Protocol):
    """A member that knows how purchases come over time."""

    def stretch(self, rows: LineupRows, trained: int, asked: int) -> FloatArray:
        """Purchases expected within ``asked`` days over those within ``trained``, shape (n,), > 0."""

    def none_exponent(self, rows: LineupRows, trained: int, asked: int) -> FloatArray:
        """What a probability of none within ``trained`` days is raised to for ``asked``, shape (n,), > 0."""

    def discount(self, rows: LineupRows, horizon_days: int, annual_discount_ratio: float) -> FloatArray:
        """Present value of a horizon's money over its plain sum, shape (n,), 0 to 1."""


class BtydMember:
    """A buy-till-you-die model, with Gamma-Gamma for the money of a purchase-day.

    Args:
        parameters: Its parameters, times in days.
        money: Parameters of Gamma-Gamma; None where nothing is to be learnt about money.
    """

    def __init__(self, parameters: BtydParameters, money: GammaGamma | None) -> None:
        self.family = parameters.family
        self._parameters = parameters
        self._money = money
        self._tables = HistoryTables()
        family = parameters.family
        self._keys = {name: f"{family}.{name}" for name in ("purchases", "none", "dead", "alive", "fate")}
        self._fates: dict[tuple[float, float, float], tuple[float, float]] = {}

    @property
    def memory_bytes(self) -> int:
        """Bytes that its tables hold."""
        return self._tables.memory_bytes

    def predict(self, target: str, rows: LineupRows) -> FloatArray:
        """See ``Member``."""
        if target == PURCHASES:
            return self.purchases(rows)
        if target == CHURN:
            return self.none(rows)
        return self.purchases(rows) * self.money(rows)

    def purchases(self, rows: LineupRows) -> FloatArray:
        """Expected purchase-days within the rows' horizon, shape (n,)."""
        return rows.kept(self._keys["purchases"], self._purchases)

    def none(self, rows: LineupRows) -> FloatArray:
        """Probability of no purchase within it, shape (n,)."""
        return rows.kept(self._keys["none"], self._none)

    def alive(self, rows: LineupRows) -> FloatArray:
        """Probability that the customer still buys at all, shape (n,)."""
        return rows.kept(self._keys["alive"], self._alive)

    def money(self, rows: LineupRows) -> FloatArray:
        """Expected money of a purchase-day, major units, shape (n,); 0 without a model of money."""
        return rows.kept(GAMMA_GAMMA, self._expected_money)

    def stretch(self, rows: LineupRows, trained: int, asked: int) -> FloatArray:
        """See ``Curve``: whether the customer has left cancels."""
        return self._if_alive(rows, float(asked)) / self._if_alive(rows, float(trained))

    def none_exponent(self, rows: LineupRows, trained: int, asked: int) -> FloatArray:
        """See ``Curve``."""
        below = self._log_hazard(rows, float(trained))
        above = self._log_hazard(rows, float(asked))
        # Of who is as good as gone the chance to be there cancels; taken at its limit, it cannot underflow.
        gone = below < _GONE
        below = np.where(gone, 1.0 - self._none_if_alive(rows, float(trained)), below)
        above = np.where(gone, 1.0 - self._none_if_alive(rows, float(asked)), above)
        flat = below <= 0.0
        return np.where(flat, asked / trained, above / np.where(flat, 1.0, below))

    def discount(self, rows: LineupRows, horizon_days: int, annual_discount_ratio: float) -> FloatArray:
        """See ``Curve``."""
        return self._tables.values(
            ("discount", horizon_days, annual_discount_ratio),
            rows.place,
            rows.x,
            rows.age,
            lambda x, age: btyd.lifetime_ratio(self._parameters, x, age, horizon_days, annual_discount_ratio),
        )

    def _purchases(self, rows: LineupRows) -> FloatArray:
        if len(rows.x) == 1:
            return np.array([self._fate(rows)[1] * self._of_one(btyd.purchases_if_alive, rows)])
        return self.alive(rows) * self._if_alive(rows, rows.horizon)

    def _none(self, rows: LineupRows) -> FloatArray:
        if len(rows.x) == 1:
            dead, alive = self._fate(rows)
            return np.array([min(1.0, dead + alive * self._of_one(btyd.none_if_alive, rows))])
        return self._none_within(rows, rows.horizon)

    def _none_within(self, rows: LineupRows, horizon: float | FloatArray) -> FloatArray:
        dead: FloatArray = expit(rows.kept(self._keys["dead"], self._log_odds_dead))
        return np.minimum(1.0, dead + self.alive(rows) * self._none_if_alive(rows, horizon))

    def _log_hazard(self, rows: LineupRows, horizon: float) -> FloatArray:
        """Minus the logarithm of the probability of none; exact also for who is as good as gone."""
        bought = self.alive(rows) * (1.0 - self._none_if_alive(rows, horizon))
        likely = -np.log(np.maximum(self._none_within(rows, horizon), _NONE_LEAST))
        return np.where(bought < 0.5, -np.log1p(-np.minimum(bought, 0.5)), likely)

    def _alive(self, rows: LineupRows) -> FloatArray:
        if len(rows.x) == 1:
            return np.array([self._fate(rows)[1]])
        alive: FloatArray = expit(-rows.kept(self._keys["dead"], self._log_odds_dead))
        return alive

    def _log_odds_dead(self, rows: LineupRows) -> FloatArray:
        return btyd.log_odds_dead(self._parameters, rows.x, rows.t_x, rows.age)

    def _fate(self, rows: LineupRows) -> tuple[float, float]:
        """Probabilities of one customer to have left, and to be there."""
        found: Any = rows.kept(self._keys["fate"], cast("Any", self._fate_of_one))
        return cast("tuple[float, float]", found)

    def _fate_of_one(self, rows: LineupRows) -> tuple[float, float]:
        history = rows.history_of_one
        fate = self._fates.get(history)
        if fate is None:
            x, t_x, age = history
            odds = btyd.log_odds_dead_of_one(self._parameters, x, t_x, age)
            # The larger share is taken from the smaller one: neither loses digits, nor is e^odds too large.
            less = 1.0 / (1.0 + math.exp(min(abs(odds), _ODDS_MOST)))
            fate = (1.0 - less, less) if odds > 0 else (less, 1.0 - less)
            if len(self._fates) >= _FATES:
                self._fates.clear()
            self._fates[history] = fate
        return fate

    def _of_one(self, function: Any, rows: LineupRows) -> float:
        if not isinstance(rows.horizon, float):
            return float(function(self._parameters, rows.x, rows.age, rows.horizon)[0])
        x, _, age = rows.history_of_one
        return self._tables.value_of_one(
            (function, rows.horizon), place_of_one(x, age), x, age, self._function(function, rows.horizon)
        )

    def _function(self, function: Any, horizon: float) -> Callable[[FloatArray, FloatArray], FloatArray]:
        return lambda x, age: function(self._parameters, x, age, np.full(len(x), horizon))

    def _if_alive(self, rows: LineupRows, horizon: float | FloatArray) -> FloatArray:
        return self._tabled(btyd.purchases_if_alive, rows, horizon)

    def _none_if_alive(self, rows: LineupRows, horizon: float | FloatArray) -> FloatArray:
        return self._tabled(btyd.none_if_alive, rows, horizon)

    def _tabled(self, function: Any, rows: LineupRows, horizon: float | FloatArray) -> FloatArray:
        if not isinstance(horizon, float):
            return cast("FloatArray", function(self._parameters, rows.x, rows.age, horizon))
        return self._tables.values(
            (function, horizon),
            rows.place,
            rows.x,
            rows.age,
            self._function(function, horizon),
        )

    def _expected_money(self, rows: LineupRows) -> FloatArray:
        if self._money is None:
            return np.zeros(len(rows.x))
        return expected_value(self._money, rows.x, rows.zbar)


class BoostingMember:
    """Boosted trees; money as a hurdle: probability of any purchase times the money given one.

    The hybrid corrects a buy-till-you-die model instead: its trees give ratios, to the purchases expected and
    to the money of a purchase-day, so that with little to learn it stays that model.

    Args:
        member: ``boosting`` or ``boosting_btyd``.
        graphs: Session by part: ``purchases``, ``churn``, and ``spend``, the money given a purchase.
        leading: What the hybrid corrects and takes its columns from; None for plain boosting.
    """

    def __init__(self, member: str, graphs: Mapping[str, Session], leading: BtydMember | None = None) -> None:
        self._graphs = graphs
        self._leading = leading
        self._keys = {part: f"{member}.{part}" for part in graphs}

    def predict(self, target: str, rows: LineupRows) -> FloatArray:
        """See ``Member``."""
        if target == CHURN:
            return self._part(CHURN, rows)
        leading = self._leading
        if leading is None:
            if target != SPEND:
                return self._part(target, rows)
            return (1.0 - self._part(CHURN, rows)) * self._part(SPEND, rows)
        purchases = leading.purchases(rows) * self._part(PURCHASES, rows)
        if target == PURCHASES:
            return purchases
        return purchases * leading.money(rows) * self._part(SPEND, rows)

    def _part(self, part: str, rows: LineupRows) -> FloatArray:
        return rows.kept(self._keys[part], partial(self._run, part))

    def _run(self, part: str, rows: LineupRows) -> FloatArray:
        wide = rows.features if self._leading is None else hybrid_rows(self._leading, rows)
        return self._graphs[part].run(wide)["value"]


def hybrid_rows(leading: BtydMember, rows: LineupRows) -> Features:
    """The features with ``HYBRID_COLUMNS`` behind them, float32 of shape (n, columns + 4)."""
    return rows.kept("hybrid", partial(_hybrid, leading))


def _hybrid(leading: BtydMember, rows: LineupRows) -> Features:
    width = rows.features.shape[1]
    wide = np.empty((len(rows.features), width + len(HYBRID_COLUMNS)), np.float32)
    wide[:, :width] = rows.features
    wide[:, width] = leading.purchases(rows)
    wide[:, width + 1] = leading.none(rows)
    wide[:, width + 2] = leading.alive(rows)
    wide[:, width + 3] = leading.money(rows)
    return wide


class SequenceMember:
    """The net on weekly sequences.

    Args:
        cell: Its id, such as ``gru``.
        graph: Its graph, with an output for each target.
    """

    def __init__(self, cell: str, graph: Session) -> None:
        self._key = cell
        self._graph = graph

    def predict(self, target: str, rows: LineupRows) -> FloatArray:
        """See ``Member``."""
        # One pass gives all targets.
        found: Any = rows.kept(self._key, cast("Any", self._run))
        return cast("FloatArray", found[target])

    def _run(self, rows: LineupRows) -> Any:
        if rows.sequence is None:
            raise ValueError("a net on weekly sequences is asked about rows without one")
        horizon = np.empty((len(rows.x), 1), np.float32)
        horizon[:, 0] = rows.horizon
        feeds = dict(zip(SEQUENCE_INPUTS, (rows.features, rows.sequence, horizon), strict=True))
        if len(horizon) <= SEQUENCE_ROWS:
            return self._graph.run_named(feeds)
        # Attention holds 26 KB a row while it runs.
        parts = [
            self._graph.run_named({name: values[at : at + SEQUENCE_ROWS] for name, values in feeds.items()})
            for at in range(0, len(horizon), SEQUENCE_ROWS)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
