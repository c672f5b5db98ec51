"""Who is compared with whom: customers of two days whose ages agree.

Customers age, and those who have left stay away longer and longer: in a shop in which nothing changes, the
customers of today differ from those of a quarter ago in nearly every column. Compared are therefore customers
of equal age, as many of each age on either side. See ADR 0045 for what that is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.drift.comparing import Pair
from cohortlens.analytics.drift.models import ColumnKind
from cohortlens.contracts.baseline import MAX_ROWS
from cohortlens.contracts.features import SCHEMA, WINDOWS_DAYS
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays
from cohortlens.contracts.sequences import join, weekly_sequences
from cohortlens.registry.models import SEGMENTATION

AGE = "age"
OVERLAP_FROM = 0.5
"""Overlap of the ages from which they do not decide: below, most customers are of an age nobody had then."""

_STRATA = 20
_SEED = 0
_SAME_FOR_ALL = {"trend_30", "horizon"}
_ONLY_AGE = {AGE, *(f"exposure_{days}" for days in WINDOWS_DAYS)}
_SEGMENTED = ("since", "x", "mean")

FloatArray = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Population:
    """Customers at the end of a day.

    Attributes:
        features: Shape (n, columns), float32.
        rows: What a model takes: the features, with their weekly sequence where the version wants it.
        customers: Row numbers of the snapshot, shape (n,).
    """

    features: NDArray[np.float32]
    rows: NDArray[np.float32]
    customers: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.features)

    def take(self, positions: Positions) -> Population:
        """The customers at these positions."""
        return Population(self.features[positions], self.rows[positions], self.customers[positions])

    def drawn(self, most: int = MAX_ROWS) -> Population:
        """At most so many of them, always the same."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(_SEED).choice(len(self), most, replace=False)))


@dataclass(frozen=True)
class Side:
    """One side of a comparison; all arrays have one row per customer.

    Attributes:
        features: Shape (n, columns), float32.
        predictions: Values by ``target:days``, shape (n,), float64.
        segments: Segment keys, shape (n,), text; None for none.
    """

    features: NDArray[np.float32]
    predictions: Mapping[str, FloatArray]
    segments: NDArray[np.str_] | None = None

    def take(self, positions: Positions) -> Side:
        """The customers at these positions."""
        return Side(
            self.features[positions],
            {name: values[positions] for name, values in self.predictions.items()},
            None if self.segments is None else self.segments[positions],
        )


def customers_at(days: PurchaseDays, as_of_day: int, *, wants_sequence: bool) -> Population:
    """The customers who had bought by the end of a day, as a model would have been asked about them then.

    Args:
        days: Purchase-days of the tenant.
        as_of_day: Days since 1970-01-01; nothing later is looked at.
        wants_sequence: Whether the version takes weekly sequences.
    """
    count = int(days.customer.max()) + 1 if len(days) else 0
    features = featurize(days, as_of_day, count)
    seen = np.flatnonzero(~np.isnan(features[:, SCHEMA.index(AGE)]))
    rows = features[seen]
    if wants_sequence:
        rows = join(rows, weekly_sequences(days, as_of_day, count)[seen])
    return Population(features[seen], rows, seen)


def ages(features: NDArray[np.float32]) -> FloatArray:
    """Days since the first purchase, shape (n,)."""
    return features[:, SCHEMA.index(AGE)].astype(np.float64)


def same_ages(reference: FloatArray, current: FloatArray) -> tuple[Positions, Positions, float]:
    """Draw as many customers of each age from both sides.

    Ages are cut into twenty strata by the quantiles of both sides together; of each stratum the smaller side
    is taken whole and as many are drawn from the other, always the same ones.

    Args:
        reference: Ages, shape (n,), at least one.
        current: Ages, shape (m,), at least one.

    Returns:
        Positions on either side, equally many, and the overlap of the two age distributions, 0 to 1.
    """
    edges = np.unique(np.quantile(np.concatenate([reference, current]), np.linspace(0, 1, _STRATA + 1)[1:-1]))
    strata = [np.searchsorted(edges, side, side="left") for side in (reference, current)]
    counts = [np.bincount(one, minlength=len(edges) + 1) for one in strata]
    rng = np.random.default_rng(_SEED)
    drawn: tuple[list[Positions], list[Positions]] = ([], [])
    for stratum, wanted in enumerate(np.minimum(*counts)):
        for side in (0, 1):
            members = np.flatnonzero(strata[side] == stratum)
            drawn[side].append(np.sort(rng.choice(members, wanted, replace=False)))
    overlap = float(np.minimum(counts[0] / len(reference), counts[1] / len(current)).sum())
    return np.concatenate(drawn[0]), np.concatenate(drawn[1]), overlap


def pairs_of(model: str, reference: Side, current: Side) -> list[Pair]:
    """The columns of two sides of equal ages, without what only tells the age or is one number for all."""
    names = _SEGMENTED if model == SEGMENTATION else SCHEMA.names
    pairs = [
        Pair(name, ColumnKind.INPUT, *(_column(side, name) for side in (reference, current)))
        for name in names
        if name not in _SAME_FOR_ALL | _ONLY_AGE
    ]
    pairs += [
        Pair(name, ColumnKind.PREDICTION, values, current.predictions[name])
        for name, values in reference.predictions.items()
        if name in current.predictions
    ]
    if reference.segments is not None and current.segments is not None:
        pairs.append(Pair("segment", ColumnKind.SEGMENT, reference.segments, current.segments))
    return pairs


def _column(side: Side, name: str) -> FloatArray:
    return side.features[:, SCHEMA.index(name)].astype(np.float64)
