"""The line-up of one version: its members loaded from a bundle, blended into values with their intervals.

What does not depend on the rows is prepared once for each ask: a version is asked few different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cohortlens.contracts.artifacts import ArtifactCorrupt
from cohortlens.contracts.asks import CHURN, CLV, PURCHASES, SPEND, Ask, AskInvalid, ask_of, calibration_key
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import SEQUENCE_CELLS, Blend, ModelManifest
from workers.runtime.blending import blended, nearest
from workers.runtime.btyd import BtydParameters
from workers.runtime.btyd_money import GammaGamma
from workers.runtime.faults import HorizonUnsupported, TargetUnsupported
from workers.runtime.intervals import Interval
from workers.runtime.members import (
    BOOSTING,
    BTYD_FAMILIES,
    GAMMA_GAMMA,
    HYBRID,
    LAST_PERIOD,
    OWN_RATE,
    POPULATION_MEAN,
    SEQUENCE_INPUTS,
    BoostingMember,
    BtydMember,
    Curve,
    Features,
    FloatArray,
    LineupRows,
    Member,
    SequenceMember,
)
from workers.runtime.naive_members import PopulationMember, RateMember
from workers.runtime.sessions import INPUT, Session

SEQUENCE_FILE = "sequence.onnx"
_HORIZON = SCHEMA.index("horizon")
_PLANS = 256
"""Asks that are prepared at most: a discount can be any number."""


def part_file(member: str, part: str, ending: str = "onnx") -> str:
    """Name in a manifest of one graph of a member: ``purchases.onnx``, ``boosting_btyd.churn.onnx``.

    Args:
        member: ``boosting``, whose files have no prefix, or ``boosting_btyd``.
        part: ``purchases``, ``churn``, or ``spend``: the money given that anything is bought.
        ending: ``onnx`` for the graph, ``trees.npz`` for its arrays.
    """
    return f"{part}.{ending}" if member == BOOSTING else f"{member}.{part}.{ending}"


class Members:
    """The members of one version, loaded as far as a blend gives them weight.

    Args:
        manifest: What the version is.
        files: Checked bytes of its blobs by name.

    Raises:
        ArtifactCorrupt: A weight is given to a member that the version does not hold.
    """

    def __init__(self, manifest: ModelManifest, files: Mapping[str, bytes]) -> None:
        self._manifest = manifest
        self._files = files
        self._sessions: dict[str, Session] = {}
        self.leading: BtydMember | None = None
        self.leading = self._leading()
        self._members: dict[str, Member] = {}
        for blend in manifest.blends.values():
            for member in {**blend.weights, **blend.weights_without_sequence}:
                if member not in self._members:
                    self._members[member] = self._load(member)
        # The graphs hold what they need of them, and nobody counts the bytes.
        del self._files

    def __getitem__(self, member: str) -> Member:
        """A member by its id."""
        return self._members[member]

    @property
    def curve(self) -> Curve:
        """Who tells how purchases come over time.

        Raises:
            ArtifactCorrupt: No member of the version does.
        """
        if self.leading is not None:
            return self.leading
        rates = self._manifest.btyd.get(POPULATION_MEAN)
        if rates is None:
            raise ArtifactCorrupt("The manifest holds no curve of purchases over time; train again.")
        return PopulationMember(rates)

    @property
    def memory_bytes(self) -> int:
        """Estimate of the bytes of graphs and tables."""
        tables = {
            id(one): one for one in (self.leading, *self._members.values()) if isinstance(one, BtydMember)
        }
        graphs = sum(session.memory_bytes for session in self._sessions.values())
        return graphs + sum(one.memory_bytes for one in tables.values())

    def _load(self, member: str) -> Member:
        if member in BTYD_FAMILIES:
            return self._btyd(member)
        if member == POPULATION_MEAN:
            return PopulationMember(self._parameters(member))
        if member in (OWN_RATE, LAST_PERIOD):
            return RateMember(member)
        if member in (BOOSTING, HYBRID):
            return self._boosting(member)
        if member in SEQUENCE_CELLS:
            return SequenceMember(member, self._session(SEQUENCE_FILE, SEQUENCE_INPUTS))
        raise ArtifactCorrupt(f"This release has no member {member[:40]!r}; train again.")

    def _boosting(self, member: str) -> BoostingMember:
        leading = self.leading if member == HYBRID else None
        if member == HYBRID and leading is None:
            raise ArtifactCorrupt("The manifest lacks what its hybrid is built on; train again.")
        names = {part: part_file(member, part) for part in (PURCHASES, CHURN, SPEND)}
        graphs = {part: self._session(name) for part, name in names.items() if name in self._files}
        return BoostingMember(member, graphs, leading)

    def _leading(self) -> BtydMember | None:
        found = (family for family in BTYD_FAMILIES if family in self._manifest.btyd)
        family = next(found, None)
        return None if family is None else self._btyd(family)

    def _btyd(self, family: str) -> BtydMember:
        if self.leading is not None and self.leading.family == family:
            return self.leading
        money = self._manifest.btyd.get(GAMMA_GAMMA)
        return BtydMember(
            BtydParameters.from_dict(family, self._parameters(family)),
            None if money is None else GammaGamma.from_dict(money),
        )

    def _parameters(self, member: str) -> dict[str, float]:
        found = self._manifest.btyd.get(member)
        if found is None:
            raise ArtifactCorrupt(f"The manifest lacks the parameters of {member}; train again.")
        return found

    def _session(self, name: str, inputs: tuple[str, ...] = (INPUT,)) -> Session:
        if name not in self._sessions:
            data = self._files.get(name)
            if data is None:
                raise ArtifactCorrupt(f"The manifest does not name the file {name}; train again.")
            self._sessions[name] = Session(data, inputs)
        return self._sessions[name]


@dataclass(frozen=True)
class _Plan:
    """What an ask needs of a version, whatever the rows.

    Attributes:
        ask: The ask.
        blend: Its blend.
        centre: The blend that its intervals were measured around, when that is another one.
        intervals: Interval at each trained horizon, in their order.
    """

    ask: Ask
    blend: Blend
    centre: Blend | None
    intervals: tuple[Interval | None, ...]


class Lineup:
    """Answers asks with the blends of one version.

    Args:
        manifest: What the version is.
        files: Checked bytes of its blobs by name.

    Raises:
        ArtifactCorrupt: The manifest promises what the files do not hold.
    """

    def __init__(self, manifest: ModelManifest, files: Mapping[str, bytes]) -> None:
        self._manifest = manifest
        self._members = Members(manifest, files)
        self._blends = {name: _settled(blend) for name, blend in manifest.blends.items()}
        self._curve = self._members.curve
        self._most = manifest.horizon_most_days or max(manifest.horizons_days)
        self._trained: dict[float, int] = {}
        self._plans: dict[str, _Plan] = {}
        for target in manifest.targets:
            self._plan(target)

    @property
    def memory_bytes(self) -> int:
        """Estimate of the bytes it holds."""
        return self._members.memory_bytes

    def score(self, text: str, features: Features, sequence: Features | None = None) -> dict[str, FloatArray]:
        """Answer an ask.

        Args:
            text: The ask, as ``contracts.asks`` writes it.
            features: Rows, shape (n, columns), float32.
            sequence: Their weekly sequences, float32 of shape (n, weeks, channels); None without.

        Returns:
            ``value``, ``lower`` and ``upper``, float64 of shape (n,): purchase-days, money in major units, or
            a probability.

        Raises:
            TargetUnsupported: The version has no blend, or no interval, for the ask.
            HorizonUnsupported: A row's horizon is beyond what the version predicts.
        """
        plan = self._plans.get(text) or self._plan(text)
        wanted = features[:, _HORIZON]
        first = wanted.item(0)
        if len(wanted) == 1 or (wanted == first).all():
            return self._at(plan, first, features, sequence)
        found = {name: np.empty(len(features)) for name in ("value", "lower", "upper")}
        for horizon in np.unique(wanted):
            rows = np.flatnonzero(wanted == horizon)
            part = None if sequence is None else sequence[rows]
            for name, values in self._at(plan, float(horizon), features[rows], part).items():
                found[name][rows] = values
        return found

    def _at(
        self, plan: _Plan, horizon: float, features: Features, sequence: Features | None
    ) -> dict[str, FloatArray]:
        """All rows at one horizon."""
        at = self._trained.get(horizon)
        if at is None:
            at = self._trained_for(horizon)
        trained = self._manifest.horizons_days[at]
        if trained != horizon:
            features = features.copy()
            features[:, _HORIZON] = trained
        rows = LineupRows(features, sequence, float(trained))
        value = self._value(plan.ask, plan.blend, rows)
        centre = value if plan.centre is None else self._value(plan.ask, plan.centre, rows)
        lower, upper = _bounds(plan, at, centre)
        if plan.centre is not None:
            lower, upper = np.minimum(lower, value), np.maximum(upper, value)
        found = {"value": value, "lower": lower, "upper": upper}
        if trained != horizon:
            found = self._stretch(plan.ask.blended, found, rows, trained, int(horizon))
        if plan.ask.target == CLV:
            share = self._curve.discount(rows, int(horizon), plan.ask.annual_discount_ratio)
            found = {name: values * share for name, values in found.items()}
        return found

    def _value(self, ask: Ask, blend: Blend, rows: LineupRows) -> FloatArray:
        target, members = ask.blended, self._members
        complete = rows.sequence is not None
        weights = blend.weights if complete else blend.weights_without_sequence
        predictions = {member: members[member].predict(target, rows) for member in weights}
        return blended(target, blend, predictions, with_sequence=complete)

    def _stretch(
        self, target: str, found: dict[str, FloatArray], rows: LineupRows, trained: int, asked: int
    ) -> dict[str, FloatArray]:
        """Carry values along each customer's own curve to the horizon asked."""
        if target == CHURN:
            exponent = self._curve.none_exponent(rows, trained, asked)
            return {name: values**exponent for name, values in found.items()}
        factor = self._curve.stretch(rows, trained, asked)
        return {name: values * factor for name, values in found.items()}

    def _trained_for(self, horizon: float) -> int:
        horizons = self._manifest.horizons_days
        is_trained = horizon in horizons
        if not is_trained and not (1 <= horizon <= self._most and float(horizon).is_integer()):
            raise HorizonUnsupported(f"horizon is {horizon:g} d; expected whole days from 1 to {self._most}")
        at = horizons.index(int(horizon)) if is_trained else horizons.index(nearest(horizons, horizon))
        self._trained[horizon] = at
        return at

    def _plan(self, text: str) -> _Plan:
        try:
            ask = ask_of(text)
        except AskInvalid as error:
            raise TargetUnsupported(error.message) from None
        blend = self._blends.get(ask.blend)
        if blend is None:
            names = ", ".join(self._manifest.blends)
            raise TargetUnsupported(f"the model has no blend {ask.blend!r}; it has {names}")
        horizons = self._manifest.horizons_days
        measured = ask.blend if self._has_intervals(ask.blend, ask) else ask.blended
        centre = None if measured == ask.blend else self._blends.get(measured)
        plan = _Plan(ask, blend, centre, tuple(self._interval(measured, ask, days) for days in horizons))
        if len(self._plans) < _PLANS:
            self._plans[text] = plan
        return plan

    def _has_intervals(self, name: str, ask: Ask) -> bool:
        first = self._manifest.horizons_days[0]
        return calibration_key(name, first, ask.level_ratio) in self._manifest.calibration

    def _interval(self, name: str, ask: Ask, horizon_days: int) -> Interval | None:
        found = self._manifest.calibration.get(calibration_key(name, horizon_days, ask.level_ratio))
        if found is not None:
            return Interval(found)
        if ask.blended == CHURN:
            return None
        raise TargetUnsupported(
            f"the model has no interval of {ask.blended} for {horizon_days} days that covers "
            f"{ask.level_ratio:g} of outcomes"
        )


def _settled(blend: Blend) -> Blend:
    """A blend without a net weighs rows without a sequence like any other row."""
    if any(member in SEQUENCE_CELLS for member in blend.weights):
        return blend
    return replace(blend, weights_without_sequence=blend.weights)


def _bounds(plan: _Plan, at: int, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    interval = plan.intervals[at]
    if interval is None:
        # A customer comes back or does not: no narrower range than the whole holds either outcome.
        return np.zeros_like(value), np.ones_like(value)
    lower, upper = interval.bounds(value)
    return (lower, np.minimum(upper, 1.0)) if plan.ask.blended == CHURN else (lower, upper)
