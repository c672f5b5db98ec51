"""The members of the line-up as training fits them: each ends in the runtime's own class, which serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import CHURN, PURCHASES, SPEND
from workers.runtime.btyd import BtydParameters
from workers.runtime.btyd_money import GammaGamma
from workers.runtime.lineup import part_file
from workers.runtime.members import (
    BOOSTING,
    BTYD_FAMILIES,
    GAMMA_GAMMA,
    HYBRID,
    LAST_PERIOD,
    OWN_RATE,
    POPULATION_MEAN,
    BoostingMember,
    BtydMember,
    LineupRows,
    Member,
    hybrid_rows,
)
from workers.runtime.naive_members import PopulationMember, RateMember
from workers.runtime.sessions import Session
from workers.training import boosting, export
from workers.training.boosting import Boosted
from workers.training.btyd.fitting import fit as fit_purchases
from workers.training.btyd.money import fit_gamma_gamma
from workers.training.datasets import Rows
from workers.training.faults import TrainingFault
from workers.training.lineup import TARGETS, Fitted, MemberDropped, Parts, View
from workers.training.lineup import Member as Candidate

FloatArray = NDArray[np.float64]
Features = NDArray[np.float32]

LEADING = BTYD_FAMILIES[0]
NAIVE = (POPULATION_MEAN, LAST_PERIOD, OWN_RATE)

_PROBE_SEED = 0
_LEAST_EXPECTED = 1e-3
"""Purchases a corrected row counts at least: below it the ratio is ruled by customers who are gone."""

_PRIOR_PURCHASES = 0.5
_PRIOR_DAYS = 365.0
"""What is assumed beside the customers there are: half a purchase of one who was there for a year. It keeps
rates above zero, and those of a handful of customers modest; among thousands it is not seen."""


def line_up(sequence: Candidate | None = None) -> tuple[Candidate, ...]:
    """Every member that is tried, in the order of the reports; the naive ones first."""
    naive: tuple[Candidate, ...] = (Population(), Rate(LAST_PERIOD), Rate(OWN_RATE))
    families = tuple(Btyd(family) for family in BTYD_FAMILIES)
    return (*naive, *families, Boosting(), Hybrid(), *(() if sequence is None else (sequence,)))


@dataclass(frozen=True)
class Plain:
    """A fitted member without graphs.

    Attributes:
        member: What predicts.
        parameters: Its entries of ``ModelManifest.btyd``.
        targets: What it predicts.
        notes: Facts for a person.
    """

    member: Member
    parameters: dict[str, dict[str, float]] = field(default_factory=dict)
    targets: tuple[str, ...] = TARGETS
    notes: tuple[str, ...] = ()

    def export(self, probes: Rows) -> Parts:  # noqa: ARG002 - there is no graph
        """See ``Fitted``."""
        return Parts(btyd=self.parameters, notes=self.notes)


class Rate:
    """A customer's own pace; there is nothing to learn.

    Args:
        member: ``own_rate`` or ``last_period``.
    """

    def __init__(self, member: str) -> None:
        self.id = member

    def fit(self, view: View, seed: int) -> Fitted:  # noqa: ARG002 - nothing is drawn
        """See ``Member``."""
        return Plain(RateMember(self.id))


class Population:
    """The mean of all customers per day of their age."""

    id = POPULATION_MEAN

    def fit(self, view: View, seed: int) -> Fitted:  # noqa: ARG002 - nothing is drawn
        """See ``Member``."""
        rates = population_rates(view.today)
        return Plain(PopulationMember(rates), {POPULATION_MEAN: rates})


def population_rates(today: Rows) -> dict[str, float]:
    """Rates of all customers together, per customer and day.

    Args:
        today: One row of each customer.

    Returns:
        ``purchases_per_day``, ``spend_per_day`` (major units) and ``churn_hazard_per_day``, all finite; the
        first and the last > 0, however few customers there are and though nobody has come back.

    Source:
        Half an event more, as Jeffreys' prior of a Poisson rate (1946), in one customer more.
    """
    age = float(np.maximum(today.column("age"), 1.0).sum()) + _PRIOR_DAYS
    repeat = today.column("x")
    bought = float(repeat.sum())
    purchases = (bought + _PRIOR_PURCHASES) / age
    money = float((repeat * today.column("zbar")).sum()) / bought if bought else _first_money(today)
    # Customers who come at different paces leave more of them idle than the mean pace says.
    mean, spread = float(repeat.mean()), float(repeat.var())
    shape = mean**2 / (spread - mean) if spread > mean > 0 else np.inf
    hazard = purchases if not np.isfinite(shape) else purchases * shape * np.log1p(1.0 / shape)
    return {
        "purchases_per_day": purchases,
        "spend_per_day": purchases * money,
        "churn_hazard_per_day": float(hazard),
    }


def _first_money(today: Rows) -> float:
    """Mean money of the customers' first purchase-days: the best guess while nobody has come back."""
    return float(today.column("first").mean())


class Btyd:
    """A buy-till-you-die family with Gamma-Gamma for money.

    Args:
        family: One of ``BTYD_FAMILIES``.
    """

    def __init__(self, family: str) -> None:
        self.id = family

    def fit(self, view: View, seed: int) -> Fitted:  # noqa: ARG002 - nothing is drawn
        """See ``Member``."""
        parameters = _kept(view, self.id, partial(_purchase_model, self.id, view.today))
        money = _kept(view, GAMMA_GAMMA, partial(_money_model, view.today))
        entries = {self.id: parameters.to_dict()}
        if money is not None:
            entries[GAMMA_GAMMA] = money.to_dict()
        notes = (f"{self.id}: {parameters.boundary}",) if parameters.boundary else ()
        targets = TARGETS if money is not None else (PURCHASES, CHURN)
        return Plain(BtydMember(parameters, money), entries, targets, notes)


def _kept(view: View, name: str, make: Any) -> Any:
    if name not in view.kept:
        try:
            view.kept[name] = make()
        except MemberDropped as verdict:
            view.kept[name] = verdict
    if isinstance(view.kept[name], MemberDropped):
        raise view.kept[name]
    return view.kept[name]


def _purchase_model(family: str, today: Rows) -> BtydParameters:
    try:
        return fit_purchases(family, today.column("x"), today.column("t_x"), today.column("age")).parameters
    except TrainingFault as fault:
        raise MemberDropped(fault.reason) from fault


def _money_model(today: Rows) -> GammaGamma | None:
    try:
        return fit_gamma_gamma(today.column("x"), today.column("zbar")).parameters
    except TrainingFault:
        return None


@dataclass(frozen=True)
class Ensembles:
    """Fitted ensembles of one member.

    Attributes:
        id: ``boosting`` or ``boosting_btyd``.
        parts: Ensemble by part: ``purchases``, ``churn``, ``spend``.
        graphs: Their graphs.
        member: What predicts, on these graphs.
        targets: What it predicts.
        learnt: Rows that it was fitted on, for the gate on the export.
        parameters: Entries of ``ModelManifest.btyd`` that it is built on.
    """

    id: str
    parts: dict[str, Boosted]
    graphs: dict[str, bytes]
    member: Member
    targets: tuple[str, ...]
    learnt: Features
    parameters: dict[str, dict[str, float]]

    def export(self, probes: Rows) -> Parts:  # noqa: ARG002 - its own rows, and more, are looked at
        """See ``Fitted``."""
        rng = np.random.default_rng(_PROBE_SEED)
        files: dict[str, bytes] = {}
        worst = 0.0
        for part, boosted in self.parts.items():
            trees = boosting.tree_arrays(boosted)
            edges = export.parity_rows(trees, self.learnt, rng)
            worst = max(worst, export.check_parity(self.graphs[part], boosted.predict, edges))
            files[part_file(self.id, part)] = self.graphs[part]
            files[part_file(self.id, part, "trees.npz")] = trees.to_npz()
        return Parts(files, self.parameters, worst)


def _ensembles(
    member: str,
    parts: dict[str, Boosted],
    learnt: Features,
    leading: BtydMember | None = None,
    parameters: dict[str, dict[str, float]] | None = None,
) -> Ensembles:
    graphs = {
        part: export.trees_graph(boosting.tree_arrays(boosted), link=boosted.link)
        for part, boosted in parts.items()
    }
    sessions = {part: Session(graph) for part, graph in graphs.items()}
    targets = tuple(target for target in TARGETS if target in parts)
    running = BoostingMember(member, sessions, leading)
    return Ensembles(member, parts, graphs, running, targets, learnt, parameters or {})


class Boosting:
    """Boosted trees on the features alone; money as a hurdle."""

    id = BOOSTING

    def fit(self, view: View, seed: int) -> Fitted:
        """See ``Member``."""
        rows = view.rows
        spend = rows.targets[SPEND]
        parts = {
            PURCHASES: boosting.fit_count(rows.features, rows.targets[PURCHASES], seed),
            CHURN: boosting.fit_chance(rows.features, rows.targets[CHURN], seed),
        }
        paid = spend > 0
        if paid.any():
            parts[SPEND] = boosting.fit_amount(rows.features[paid], spend[paid], seed)
        return _ensembles(self.id, parts, rows.features)


class Hybrid:
    """Boosted trees that correct BG/NBD: ratios to its purchases and to its money of a purchase-day.

    The model they correct is fitted anew at each cut of the training rows, as it will be when it serves.
    """

    id = HYBRID

    def fit(self, view: View, seed: int) -> Fitted:
        """See ``Member``."""
        leading = Btyd(LEADING).fit(view, seed)
        assert isinstance(leading.member, BtydMember)
        wide, rows, expected, money = self._at_their_cuts(view)
        bought, spend = rows.targets[PURCHASES], rows.targets[SPEND]
        parts = {
            PURCHASES: boosting.fit_count(
                wide, bought, seed, boosting.CORRECTION, np.maximum(expected, _LEAST_EXPECTED)
            ),
            CHURN: boosting.fit_chance(wide, rows.targets[CHURN], seed),
        }
        paid = (spend > 0) & (money > 0)
        if SPEND in leading.targets and paid.any():
            each = spend[paid] / bought[paid]
            parts[SPEND] = boosting.fit_amount(wide[paid], each, seed, boosting.CORRECTION, money[paid])
        entries = leading.export(view.rows).btyd
        return _ensembles(self.id, parts, wide, leading.member, entries)

    def _at_their_cuts(self, view: View) -> tuple[Features, Rows, FloatArray, FloatArray]:
        """Wide rows, the rows themselves, and what the model expected of them: purchases, money of a day."""
        found: list[tuple[NDArray[np.intp], Features, FloatArray, FloatArray]] = []
        for cut in np.unique(view.rows.cut):
            places = np.flatnonzero(view.rows.cut == cut)
            rows = view.rows.select(places)
            horizon = rows.column("horizon")
            once = rows.select(horizon == horizon[0])
            try:
                parameters = _purchase_model(LEADING, once)
            except MemberDropped:
                continue
            model = BtydMember(parameters, _money_model(once))
            asked = LineupRows(rows.features, rows.sequence)
            found.append((places, hybrid_rows(model, asked), model.purchases(asked), model.money(asked)))
        if not found:
            raise MemberDropped("NOTHING_TO_CORRECT")
        places = np.concatenate([part[0] for part in found])
        wide = np.concatenate([part[1] for part in found])
        expected, money = (np.concatenate([part[at] for part in found]) for at in (2, 3))
        return wide, view.rows.select(places), expected, money
