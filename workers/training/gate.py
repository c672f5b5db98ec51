"""Holds a new version against the active one on the same folds: who predicts worse does not take its place.

Where a fold begins after the last day the active version knew, that version predicts it as it is. On earlier
folds it would know the answer already; there two recipes are judged: the blend of each, of the members as
they were fitted for the fold. See ADR 0046.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import Blend, GateCriterion, ModelManifest
from cohortlens.core.errors import CohortLensError
from workers.runtime.blending import blended
from workers.runtime.bundle import Bundle

FloatArray = NDArray[np.float64]

LOSS_RATIO = 1.0
"""Fold loss over the active version's, at most: geometric mean of the targets, on folds that neither knew."""

TARGET_RATIO = 1.05
"""The same of each target alone: better on the whole is not bought by being clearly worse at one of them."""

RECIPE_RATIO = 1.01
"""``LOSS_RATIO`` where only recipes can be compared: differences under 1 % are noise (design, 17.2)."""

ETA2_SLACK = 0.005
"""How much less of later spend the segments of a new version may explain than those of the active one."""

_ROUNDING = 1e-9
_EPOCH = date(1970, 1, 1)

Predict = Callable[[str, NDArray[np.float32]], FloatArray]
"""Values of a target for rows with their horizon, the weekly sequence beside them when there is one."""


@dataclass(frozen=True)
class JudgedFold:
    """One fold of the backtest, as the new version predicted it before it was part of the data.

    Attributes:
        cut: Last day that was known, days since 1970-01-01.
        rows: Rows at the cut, ``horizon`` set: shape (n, 37) or with the weekly sequence (n, 197), float32.
        actual: What happened, by target, shape (n,).
        predicted: The new version's blend, by target, shape (n,).
        members: Predictions of each member as it was fitted for the fold, by target and member, shape (n,).
        scale: Error of the population's mean by target, > 0: errors are told as multiples of it.
    """

    cut: int
    rows: NDArray[np.float32]
    actual: Mapping[str, FloatArray]
    predicted: Mapping[str, FloatArray]
    members: Mapping[str, Mapping[str, FloatArray]]
    scale: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """What the comparison found.

    Attributes:
        criteria: ``data_days_behind_vs_champion``, ``<target>.loss_vs_champion``, ``loss_vs_champion``; none
            when there is nothing to compare with.
        predicted: The active version's values by position of the fold and target, where it was judged as it
            is.
        notes: Facts for a person, such as why nothing was compared.
    """

    criteria: tuple[GateCriterion, ...]
    predicted: Mapping[tuple[int, str], FloatArray]
    notes: tuple[str, ...] = ()


class Champion:
    """The active version, as far as the gate needs it.

    Args:
        manifest: What it is.
        predict: Predicts as its replicas do.
    """

    def __init__(self, manifest: ModelManifest, predict: Predict) -> None:
        self.manifest = manifest
        self.predict = predict

    @property
    def as_of(self) -> int:
        """Last day of data it knows, days since 1970-01-01."""
        return (date.fromisoformat(self.manifest.as_of) - _EPOCH).days

    @staticmethod
    def load(store: LocalArtifactStore, digest: str) -> Champion:
        """The version of a digest.

        Raises:
            CohortLensError: Its files are gone or damaged, or it takes another feature schema.
        """
        bundle = Bundle.load(store, digest)
        return Champion(bundle.manifest, lambda target, rows: bundle.score(target, rows)["value"])


def against_champion(
    store: LocalArtifactStore,
    digest: str,
    as_of: int,
    folds: Sequence[JudgedFold],
    targets: Sequence[str],
    blends: Mapping[str, Blend] | None = None,
) -> Verdict:
    """Hold a prediction against the active version.

    Args:
        store: Where versions lie.
        digest: The active version, hex; empty when none is active.
        as_of: Last day of the new version's data, days since 1970-01-01.
        folds: Folds of its backtest.
        targets: Targets to compare.
        blends: The new version's blends by target, for the comparison of recipes; those of the folds if None.

    Returns:
        Criteria that the registry relies on: one on the age of the data, one for each target with folds.
        Nothing but a note when this release cannot load the active version: nothing can be compared then.
    """
    if not digest:
        return Verdict((), {})
    try:
        champion = Champion.load(store, digest)
    except CohortLensError as fault:
        return Verdict((), {}, (f"not compared with the active version: {fault.reason}",))
    return judge(champion, as_of, folds, targets, blends)


def judge(
    champion: Champion,
    as_of: int,
    folds: Sequence[JudgedFold],
    targets: Sequence[str],
    blends: Mapping[str, Blend] | None = None,
) -> Verdict:
    """As ``against_champion``, of a version that is loaded."""
    older = float(max(0, champion.as_of - as_of))
    criteria = [GateCriterion("data_days_behind_vs_champion", older, 0.0, passed=older <= 0)]
    predicted: dict[tuple[int, str], FloatArray] = {}
    ratios: list[float] = []
    notes: list[str] = []
    unseen = {at: fold for at, fold in enumerate(folds) if fold.cut >= champion.as_of}
    for target in targets:
        if target not in champion.manifest.targets:
            notes.append(f"{target}: the active version does not predict it")
            continue
        values = {at: champion.predict(target, fold.rows) for at, fold in unseen.items()}
        ratio = (
            _ratio(target, unseen, {at: fold.predicted for at, fold in unseen.items()}, values)
            if unseen
            else _recipe_ratio(champion.manifest, target, folds, blends or {})
        )
        predicted |= {(at, target): one for at, one in values.items()}
        if ratio is None:
            notes.append(f"{target}: no fold lets it be compared with the active version")
        else:
            ratios.append(ratio)
            criteria.append(_criterion(f"{target}.loss_vs_champion", ratio, TARGET_RATIO))
    if ratios:
        whole = float(np.exp(np.mean(np.log(np.clip(ratios, _ROUNDING, None)))))
        criteria.append(_criterion("loss_vs_champion", whole, LOSS_RATIO if unseen else RECIPE_RATIO))
    return Verdict(tuple(criteria), predicted, tuple(notes))


def _recipe_ratio(
    manifest: ModelManifest, target: str, folds: Sequence[JudgedFold], blends: Mapping[str, Blend]
) -> float | None:
    """Mean loss of the new version's blend, as a multiple of the active one's, over the same members."""
    # Both blends were chosen on folds like these: each is as flattered by them as the other.
    recipe = _recipe(manifest.blends.get(target), target, folds)
    own = _recipe(blends.get(target), target, folds)
    predicted = {at: {target: own[at]} if at in own else fold.predicted for at, fold in enumerate(folds)}
    return _ratio(target, dict(enumerate(folds)), predicted, recipe)


def segments_against_champion(
    store: LocalArtifactStore, digest: str, eta2: float
) -> tuple[GateCriterion, ...]:
    """Hold a segmentation against the active one: how much of later spend its segments explain.

    Args:
        store: Where versions lie.
        digest: The active version, hex; empty when none is active.
        eta2: Share of the variance of later spend that the new segments explain, 0 to 1.
    """
    if not digest:
        return ()
    try:
        champion = ModelManifest.from_json(store.read_verified(digest))
    except CohortLensError:
        return ()
    least = champion.metrics.get("eta2")
    if least is None:
        return ()
    bound = least - ETA2_SLACK
    return (GateCriterion("eta2_vs_champion", eta2, bound, passed=eta2 >= bound - _ROUNDING),)


def _criterion(name: str, ratio: float, bound: float) -> GateCriterion:
    return GateCriterion(name, ratio, bound, passed=ratio <= bound + _ROUNDING)


def _ratio(
    target: str,
    folds: Mapping[int, JudgedFold],
    predicted: Mapping[int, Mapping[str, FloatArray]],
    champion: Mapping[int, FloatArray],
) -> float | None:
    """Mean loss over the folds, as a multiple of the active version's; None without a fold to judge."""
    losses = [
        (
            _rmse(predicted[at][target], fold.actual[target]),
            _rmse(champion[at], fold.actual[target]),
            scale,
        )
        for at, fold in folds.items()
        if target in predicted[at] and at in champion and (scale := fold.scale.get(target, 0.0)) > 0
    ]
    if not losses:
        return None
    new, old = (float(np.mean([one[which] / one[2] for one in losses])) for which in (0, 1))
    if old > 0:
        return new / old
    # The active version makes no error at all: only another one without any is as good.
    return 1.0 if new <= _ROUNDING else float(np.finfo(np.float64).max)


def _recipe(blend: Blend | None, target: str, folds: Sequence[JudgedFold]) -> dict[int, FloatArray]:
    """A blend of the members as fitted for each fold, by position; folds without all of them are left out."""
    found: dict[int, FloatArray] = {}
    if blend is None:
        return found
    for at, fold in enumerate(folds):
        members = fold.members.get(target, {})
        if set(blend.weights) <= set(members):
            found[at] = blended(target, blend, members)
        elif set(blend.weights_without_sequence) <= set(members):
            found[at] = blended(target, blend, members, with_sequence=False)
    return found


def _rmse(predicted: FloatArray, actual: FloatArray) -> float:
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))
