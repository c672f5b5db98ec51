"""The rolling-origin backtest: every member fitted as if an earlier day were today, and judged on what came.

A fold looks at nothing after its cut: features, fits, sequences and the model inside the hybrid are made of
what was known by then. Selection, calibration, intervals and the gate all read these folds.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import CHURN
from workers.runtime.blending import nearest
from workers.runtime.members import BtydMember, Curve, LineupRows
from workers.runtime.naive_members import PopulationMember
from workers.training.datasets import (
    FIRST_CUT_DAYS,
    Rows,
    Snapshot,
    horizons_of,
    rows_at,
    training_rows,
)
from workers.training.faults import TrainingFault
from workers.training.giants import without_giants
from workers.training.lineup import TARGETS, Fitted, Member, MemberDropped, View
from workers.training.members import NAIVE, population_rates

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

FOLDS = 3
_STEP_DAYS = 30
_FEW_CUSTOMERS = 30
"""A fold with fewer customers says nothing."""


@dataclass(frozen=True)
class Fold:
    """What the members said at one cut, and what came.

    Attributes:
        cut: Last day that was known, days since 1970-01-01.
        rows: Rows at the cut by horizon, targets known.
        predictions: By (target, horizon), each member's values, shape (n,).
        dropped: Reason by member that could not be fitted.
        fit_cpu_s: CPU seconds of each member's fit.
    """

    cut: int
    rows: dict[int, Rows]
    predictions: dict[tuple[str, int], dict[str, FloatArray]]
    dropped: dict[str, str] = field(default_factory=dict)
    fit_cpu_s: dict[str, float] = field(default_factory=dict)

    def actual(self, target: str, horizon: int) -> FloatArray:
        """What happened, shape (n,)."""
        return self.rows[horizon].targets[target]

    def scale(self, target: str, horizon: int) -> float:
        """Root mean squared error of the best constant, > 0; 1 where nothing differs."""
        spread = float(self.actual(target, horizon).std())
        return spread if spread > 0 else 1.0


@dataclass(frozen=True)
class FittedView:
    """All members fitted on one view.

    Attributes:
        view: The view.
        fitted: Members by id.
        dropped: Reason by member that could not be fitted.
        fit_cpu_s: CPU seconds of each fit.
    """

    view: View
    fitted: dict[str, Fitted]
    dropped: dict[str, str]
    fit_cpu_s: dict[str, float]

    @property
    def curve(self) -> Curve:
        """Who tells how purchases come over time: the first buy-till-you-die member, else the population."""
        for fitted in self.fitted.values():
            if isinstance(fitted.member, BtydMember):
                return fitted.member
        return PopulationMember(population_rates(self.view.today))

    def predict(self, rows: Rows, horizon: int) -> dict[str, dict[str, FloatArray]]:
        """Values of every member by target, shape (n,), at a horizon of their own or carried to another."""
        trained = nearest(self.view.horizons_days, horizon)
        at = rows.at_horizon(trained)
        asked = LineupRows(at.features, at.sequence, float(trained))
        found: dict[str, dict[str, FloatArray]] = {target: {} for target in TARGETS}
        curve = self.curve
        for name, fitted in self.fitted.items():
            for target in fitted.targets:
                values = fitted.member.predict(target, asked)
                if trained != horizon:
                    values = _carried(curve, target, values, asked, trained, horizon)
                found[target][name] = values
        return found


def _carried(
    curve: Curve, target: str, values: FloatArray, rows: LineupRows, trained: int, asked: int
) -> FloatArray:
    if target == CHURN:
        return np.asarray(values ** curve.none_exponent(rows, trained, asked))
    return values * curve.stretch(rows, trained, asked)


def view_at(
    snapshot: Snapshot, cut: int, horizons_days: tuple[int, ...], seed: int, *, sequences: bool
) -> View:
    """The past as it was known at a day.

    Args:
        snapshot: The data.
        cut: The day.
        horizons_days: Horizons to learn.
        seed: Draws the customers when there are too many.
        sequences: Whether a member reads weekly sequences.
    """
    days = without_giants(snapshot, cut).days.until(cut)
    known = Snapshot(days, snapshot.customers, snapshot.first_day, cut)
    rng = np.random.default_rng(seed)
    rows = training_rows(known, horizons_days, cut, rng, sequences=sequences)
    longest = max(horizons_days)
    today = rows_at(days, snapshot.customers, cut, (longest,), sequences=sequences)[0]
    return View(
        known, horizons_days, rows, Rows(today.features, {}, today.customer, today.cut, today.sequence)
    )


def fit_all(view: View, members: tuple[Member, ...], seed: int) -> FittedView:
    """Fit every member on a view; one that cannot be fitted is dropped with its reason, never the run.

    Args:
        view: The view.
        members: The line-up.
        seed: Seed of everything random.
    """
    fitted: dict[str, Fitted] = {}
    dropped: dict[str, str] = {}
    cost: dict[str, float] = {}
    for member in members:
        started = time.process_time()
        try:
            fitted[member.id] = member.fit(view, seed)
        except MemberDropped as verdict:
            dropped[member.id] = verdict.reason
        cost[member.id] = time.process_time() - started
    return FittedView(view, fitted, dropped, cost)


def cuts_before(snapshot: Snapshot, horizons_days: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Cuts of the folds, latest first, each with the horizons its own past can teach.

    Args:
        snapshot: The data.
        horizons_days: Horizons that are judged; the longest one ends by the last day of the data.
    """
    found = []
    for step in range(FOLDS):
        cut = snapshot.as_of - max(horizons_days) - _STEP_DAYS * step
        if cut - snapshot.first_day < FIRST_CUT_DAYS:
            break
        try:
            own = horizons_of(cut - snapshot.first_day)
        except TrainingFault:
            break
        found.append((cut, tuple(h for h in own if h <= max(horizons_days))))
    return found


def backtest(
    snapshot: Snapshot,
    horizons_days: tuple[int, ...],
    members: tuple[Member, ...],
    seed: int,
    *,
    sequences: bool,
) -> list[Fold]:
    """Judge the line-up on past periods.

    Args:
        snapshot: The data.
        horizons_days: Horizons to judge.
        members: The line-up.
        seed: Seed of everything random.
        sequences: Whether a member reads weekly sequences.

    Returns:
        Folds, latest first; none where the history is too short for one.
    """
    folds = []
    for cut, own in cuts_before(snapshot, horizons_days):
        # A mistyped order is no outcome that anybody could have predicted, nor a past to predict from.
        told = without_giants(snapshot, cut)
        rows = dict(
            zip(
                horizons_days,
                rows_at(told.days, snapshot.customers, cut, horizons_days, sequences=sequences),
                strict=True,
            )
        )
        if len(rows[horizons_days[0]]) < _FEW_CUSTOMERS:
            break
        fitted = fit_all(view_at(told, cut, own, seed, sequences=sequences), members, seed)
        predictions: dict[tuple[str, int], dict[str, FloatArray]] = {}
        dropped = dict(fitted.dropped)
        for horizon, at in rows.items():
            for target, values in fitted.predict(at, horizon).items():
                predictions[target, horizon] = _finite(values, dropped)
        folds.append(Fold(cut, rows, predictions, dropped, fitted.fit_cpu_s))
    return folds


def _finite(values: dict[str, FloatArray], dropped: dict[str, str]) -> dict[str, FloatArray]:
    sound = {name: one for name, one in values.items() if np.isfinite(one).all()}
    for name in values.keys() - sound.keys():
        dropped[name] = "NOT_FINITE"
        logger.warning("the member %s gave values that are not finite; it is left out", name)
    return sound


def present(folds: list[Fold], target: str) -> tuple[str, ...]:
    """Members that predicted a target in every fold at every horizon, in the order of the line-up."""
    tables = [table for fold in folds for (name, _), table in fold.predictions.items() if name == target]
    if not tables:
        return ()
    return tuple(member for member in tables[0] if all(member in table for table in tables))


def naive_of(folds: list[Fold], target: str) -> tuple[str, ...]:
    """Naive rows that predicted a target."""
    return tuple(member for member in present(folds, target) if member in NAIVE)
