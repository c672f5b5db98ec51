"""What a version rests on, by what the data allows: a blend, one purchase model, or the mean of all.

``BLEND`` weighs the whole line-up; ``BTYD`` members that need little data, under 500 customers or two folds;
``POPULATION_MEAN`` is left where nobody has come back or no period can be judged. See ADR 0041 and 0048.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cohortlens.contracts.asks import CHURN
from cohortlens.contracts.manifest import SEQUENCE_CELLS, Blend
from workers.runtime.blending import blended
from workers.runtime.members import BTYD_FAMILIES, LAST_PERIOD, OWN_RATE
from workers.runtime.members import POPULATION_MEAN as MEAN_OF_ALL
from workers.training.backtest import FittedView, Fold, present
from workers.training.calibration import Judged, inside, median_knots, multiplier, probability_knots
from workers.training.lineup import TARGETS
from workers.training.selection import select

BLEND, BTYD, POPULATION_MEAN = LADDER = ("BLEND", "BTYD", "POPULATION_MEAN")
"""What a version can rest on, from what needs most data to what always can be had."""

BLEND_CUSTOMERS = 500
BLEND_FOLDS = 2
STEP_DAYS = 30
FEW_LINE_UP = (OWN_RATE, LAST_PERIOD, *BTYD_FAMILIES)
"""Members that need no folds to learn from; the mean of all never takes part: it would only hold back."""


@dataclass(frozen=True)
class Chosen:
    """The blends of a version and what was learnt beside them.

    Attributes:
        basis: ``BLEND``, ``BTYD`` or ``POPULATION_MEAN``.
        blends: As ``ModelManifest.blends``.
        judged: Blended values of each target, fold and horizon, with the final blends.
        unseen: The same with weights learnt without the fold that they are judged on.
    """

    basis: str
    blends: dict[str, Blend]
    judged: dict[str, list[Judged]]
    unseen: dict[str, list[Judged]]


def rungs(folds: Sequence[Fold], final: FittedView) -> tuple[str, ...]:
    """What of ``LADDER`` the data allows, the best first.

    Args:
        folds: The backtest.
        final: The members fitted on all data.
    """
    if not folds or not set(BTYD_FAMILIES) & set(final.fitted):
        return LADDER[2:]
    is_rich = len(final.view.today) >= BLEND_CUSTOMERS and len(folds) >= BLEND_FOLDS
    return LADDER if is_rich else LADDER[1:]


def choose(folds: list[Fold], final: FittedView, basis: str) -> Chosen:
    """Choose the blend of each target.

    Args:
        folds: The backtest, latest first.
        final: The members fitted on all data; one that is missing here takes no part.
        basis: One of ``rungs``.
    """
    if basis == POPULATION_MEAN:
        return _mean_of_all(folds, len(final.view.today))
    blends, judged, unseen = {}, {}, {}
    for target in TARGETS:
        usable = [
            member
            for member in present(folds, target)
            if member in final.fitted
            and target in final.fitted[member].targets
            and member != MEAN_OF_ALL
            and (basis == BLEND or member in FEW_LINE_UP)
        ]
        if not usable:
            continue
        blends[target], judged[target] = _blend(folds, target, usable)
        unseen[target] = _unseen(folds, target, usable)
        if target != CHURN:
            blends[f"{target}:mae"] = replace(blends[target], knots=median_knots(judged[target]))
    return Chosen(basis, blends, judged, unseen)


def _mean_of_all(folds: list[Fold], customers: int) -> Chosen:
    only = Blend({MEAN_OF_ALL: 1.0}, {MEAN_OF_ALL: 1.0})
    blends = dict.fromkeys(TARGETS, only) | {CHURN: replace(only, knots=inside((), customers))}
    judged = {target: _judged(folds, target, [blends[target]] * len(folds)) for target in TARGETS}
    return Chosen(POPULATION_MEAN, blends, judged, judged)


def _weights(folds: Sequence[Fold], target: str, members: Sequence[str]) -> Blend:
    plain = [member for member in members if member not in SEQUENCE_CELLS]
    weights = select(folds, target, members)
    without = weights if not set(weights) & set(SEQUENCE_CELLS) else select(folds, target, plain)
    return Blend(weights, without)


def _blend(folds: list[Fold], target: str, members: Sequence[str]) -> tuple[Blend, list[Judged]]:
    """Weights from all folds, then their level."""
    blend = _levelled(folds, target, _weights(folds, target, members))
    return blend, _judged(folds, target, [blend] * len(folds))


def _levelled(folds: Sequence[Fold], target: str, blend: Blend) -> Blend:
    plain = _judged(folds, target, [blend] * len(folds))
    if target == CHURN:
        customers = min((len(one.actual) for one in plain), default=1)
        return replace(blend, knots=inside(probability_knots(plain), customers))
    return replace(blend, multiplier=multiplier(plain, STEP_DAYS))


def _unseen(folds: list[Fold], target: str, members: Sequence[str]) -> list[Judged]:
    """Each fold by a blend that was chosen and levelled on the others: choosing on a fold flatters it."""
    blends = []
    for at in range(len(folds)):
        others = folds[:at] + folds[at + 1 :]
        equal = dict.fromkeys(members, 1.0 / len(members))
        blends.append(
            _levelled(others, target, _weights(others, target, members)) if others else Blend(equal, equal)
        )
    return _judged(folds, target, blends)


def _judged(folds: Sequence[Fold], target: str, blends: Sequence[Blend]) -> list[Judged]:
    return [
        Judged(
            at,
            horizon,
            blended(target, blend, fold.predictions[target, horizon]),
            fold.actual(target, horizon),
        )
        for at, (fold, blend) in enumerate(zip(folds, blends, strict=True))
        for horizon in fold.rows
    ]
