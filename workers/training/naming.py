"""Names of segments from numbers: rule segments on quantiles give names, a Hungarian assignment spreads them.

Sources: Hughes, Strategic Database Marketing (1994), for recency and frequency scores; Kuhn, Naval Research
Logistics 2 (1955), for the assignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

FloatArray = NDArray[np.float64]

CHAMPIONS = "Champions"

RULES = (
    ("New", "Potential loyalists", "Potential loyalists", "Loyal", CHAMPIONS),
    ("Promising", "Potential loyalists", "Potential loyalists", "Loyal", CHAMPIONS),
    ("About to sleep", "Need attention", "Need attention", "Loyal", "Loyal"),
    ("About to sleep", "About to sleep", "At risk", "At risk", "Can't lose"),
    ("Lost", "Lost", "At risk", "At risk", "Can't lose"),
)
"""Name by recency score 5 to 1 (rows) and frequency-and-money score 1 to 5 (columns)."""

NAMES = tuple(dict.fromkeys(name for row in RULES for name in row))

_FORBIDDEN = 1e9
_LATER_ROUND = 1e3
_KEPT = 0.5
"""Standardised units by which a name that a segment had before may lie farther off than another."""


def name_segments(
    z: FloatArray, centroids: FloatArray, worth: FloatArray, former: Sequence[str] = ()
) -> list[str]:
    """Name segments, each name once; more segments than names are numbered.

    Args:
        z: Customers in standardised units, columns since, repeat days, mean spend, shape (n, 3).
        centroids: Centres in the same units, shape (k, 3).
        worth: Mean spend of each segment's customers, shape (k,): the future one where it is known.
        former: Name that each segment had in the version before, empty for a new one; nothing when all are.

    Returns:
        k names; Champions, if given, is the segment of the largest worth.
    """
    rounds = -(-len(centroids) // len(NAMES))
    rules = np.tile(_rule_centroids(z), (rounds, 1))
    names = [name if turn == 0 else f"{name} {turn + 1}" for turn in range(rounds) for name in NAMES]
    cost = np.linalg.norm(centroids[:, None, :] - rules[None, :, :], axis=2)
    # A second of a name only where the first ones do not suffice.
    cost += _LATER_ROUND * np.repeat(np.arange(rounds), len(NAMES))
    for index, name in enumerate(former):
        if name in names:
            cost[index, names.index(name)] -= _KEPT
    champion, best = names.index(CHAMPIONS), int(np.argmax(worth))
    chosen = linear_sum_assignment(cost)[1]
    if champion in chosen and chosen[best] != champion:
        cost[:, champion] = _FORBIDDEN
        cost[best, champion] = 0.0
        chosen = linear_sum_assignment(cost)[1]
    return [names[index] for index in chosen]


def sentences(size: int, share_ratio: float, centroid: Mapping[str, float], currency: str) -> tuple[str, str]:
    """One sentence of numbers, in English and in Spanish."""
    numbers = {
        "size": f"{size:,}",
        "share": f"{100 * share_ratio:.1f}",
        "since": f"{centroid['since_days']:.0f}",
        "repeat": f"{centroid['repeat_days']:.1f}",
        "mean": f"{centroid['mean_spend']:,.2f} {currency}",
        "total": f"{centroid['total_spend']:,.2f} {currency}",
    }
    english = (
        "{size} customers ({share} %); on average the last purchase was {since} days ago, with {repeat} "
        "repeat purchase-days, {mean} per purchase-day and {total} in all."
    )
    spanish = (
        "{size} clientes ({share} %); de media, la última compra fue hace {since} días, con {repeat} días de "
        "compra repetida, {mean} por día de compra y {total} en total."
    )
    return english.format(**numbers), spanish.format(**numbers)


def _rule_centroids(z: FloatArray) -> FloatArray:
    """Centre of each rule segment, shape (10, 3); of the quantiles it stands for when nobody is in it."""
    recency = 6 - _scores(z[:, 0])
    frequency_money = (_scores(z[:, 1]) + _scores(z[:, 2]) + 1) // 2
    rule = np.array([[NAMES.index(name) for name in row] for row in RULES])
    member = rule[5 - recency, frequency_money - 1]
    centres = np.empty((len(NAMES), z.shape[1]))
    for index in range(len(NAMES)):
        inside = member == index
        centres[index] = z[inside].mean(axis=0) if inside.any() else _prototype(z, np.argwhere(rule == index))
    return centres


def _scores(values: FloatArray) -> NDArray[np.intp]:
    """Quintile 1 to 5 by value: equal values score equally, whatever the order of the rows."""
    edges = np.quantile(values, [0.2, 0.4, 0.6, 0.8])
    return np.asarray(1 + np.searchsorted(edges, values, side="left"), np.intp)


def _prototype(z: FloatArray, cells: NDArray[np.intp]) -> FloatArray:
    since = float(np.quantile(z[:, 0], (cells[:, 0] + 0.5).mean() / 5))
    level = float((cells[:, 1] + 0.5).mean() / 5)
    return np.array([since, np.quantile(z[:, 1], level), np.quantile(z[:, 2], level)])
