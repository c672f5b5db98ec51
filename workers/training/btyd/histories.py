"""Purchase histories of customers, equal ones folded into one row with a weight.

A shop has far fewer different histories than customers, so a fit looks at each only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.training.faults import TrainingFault

FloatArray = NDArray[np.float64]

_DAYS_BITS = 21
_DAYS_LIMIT = 1 << _DAYS_BITS


@dataclass(frozen=True)
class Histories:
    """Different histories; columns of shape (n,), float64.

    Attributes:
        x: Repeat purchases.
        t_x: Time of the last one.
        age: Time observed.
        weight: Customers with this history.
    """

    x: FloatArray
    t_x: FloatArray
    age: FloatArray
    weight: FloatArray

    @cached_property
    def customers(self) -> float:
        """Number of customers."""
        return float(self.weight.sum())

    @cached_property
    def counts(self) -> tuple[FloatArray, FloatArray]:
        """Different numbers of repeat purchases, ascending, and customers with each, shape (k,)."""
        values, position = np.unique(self.x, return_inverse=True)
        return values, self._summed(position, self.weight)

    @cached_property
    def ages(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Different ages, ascending, customers of each, and their repeat purchases, shape (k,)."""
        values, position = np.unique(self.age, return_inverse=True)
        return values, self._summed(position, self.weight), self._summed(position, self.weight * self.x)

    @staticmethod
    def _summed(position: NDArray[np.intp], values: FloatArray) -> FloatArray:
        return np.bincount(position, weights=values).astype(np.float64)

    def scaled(self, unit: float) -> Histories:
        """The same with times divided by ``unit``."""
        return Histories(self.x, self.t_x / unit, self.age / unit, self.weight)

    def sample(self, rows: int) -> Histories:
        """About ``rows`` histories, evenly spread over all; everything where there are no more."""
        step = len(self.x) // rows
        if step < 2:
            return self
        return Histories(*(column[step // 2 :: step] for column in (self.x, self.t_x, self.age, self.weight)))


def fold(x: ArrayLike, t_x: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None) -> Histories:
    """Fold customers with equal histories.

    Args:
        x: Repeat purchase-days, >= 0, shape (n,).
        t_x: Days from the first purchase to the last, 0..age; 0 where x is 0, shape (n,).
        age: Days from the first purchase to the cut, shape (n,).
        weights: Customers that each row stands for, > 0; 1 when None.

    Returns:
        Different histories in ascending order, whatever the order of the rows.

    Raises:
        TrainingFault: ``HISTORY_INVALID``: no customers, unequal lengths or values no history can have;
            ``NO_REPEAT_PURCHASES``: nobody has bought twice.
    """
    columns = [np.asarray(column, np.float64) for column in (x, t_x, age)]
    weight = None if weights is None else np.asarray(weights, np.float64)
    _check([*columns, *([] if weight is None else [weight])], weight)
    if not columns[0].any():
        raise TrainingFault(
            "NO_REPEAT_PURCHASES",
            "No customer has bought on a second day, so there is no rate to learn. Import a longer history.",
        )
    whole = all((column < _DAYS_LIMIT).all() and (column == np.floor(column)).all() for column in columns)
    return _fold_whole(columns, weight) if whole else _fold_any(columns, weight)


def _check(columns: list[FloatArray], weight: FloatArray | None) -> None:
    x, t_x, age = columns[:3]
    if x.ndim != 1 or not len(x) or any(column.shape != x.shape for column in columns):
        raise TrainingFault("HISTORY_INVALID", "x, t_x and age: give one number for each of the customers.")
    sound = all(np.isfinite(column).all() for column in columns) and (x >= 0).all() and (t_x >= 0).all()
    if not sound or (t_x > age).any() or ((x == 0) & (t_x > 0)).any():
        raise TrainingFault(
            "HISTORY_INVALID",
            "x, t_x and age: finite numbers with 0 <= t_x <= age, and t_x 0 where x is 0.",
        )
    if weight is not None and not (weight > 0).all():
        raise TrainingFault("HISTORY_INVALID", "weights: numbers above 0.")


def _fold_whole(columns: list[FloatArray], weight: FloatArray | None) -> Histories:
    """Three whole numbers fit one, and sorting these is several times faster than sorting rows."""
    x, t_x, age = (column.astype(np.int64) for column in columns)
    key = (((x << _DAYS_BITS) | t_x) << _DAYS_BITS) | age
    if weight is None:
        key.sort()
        starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        folded = np.diff(np.append(starts, len(key))).astype(np.float64)
    else:
        order = np.lexsort((weight, key))
        key = key[order]
        starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        folded = np.add.reduceat(weight[order], starts)
    key, mask = key[starts], _DAYS_LIMIT - 1
    parts = (key >> (2 * _DAYS_BITS), (key >> _DAYS_BITS) & mask, key & mask)
    return Histories(*(part.astype(np.float64) for part in (*parts, folded)))


def _fold_any(columns: list[FloatArray], weight: FloatArray | None) -> Histories:
    given = np.ones(len(columns[0])) if weight is None else weight
    order = np.lexsort((given, columns[2], columns[1], columns[0]))
    rows = [column[order] for column in columns]
    fresh = np.zeros(len(order), np.bool_)
    fresh[0] = True
    for row in rows:
        fresh[1:] |= row[1:] != row[:-1]
    starts = np.flatnonzero(fresh)
    x, t_x, age = (row[starts] for row in rows)
    return Histories(x, t_x, age, np.add.reduceat(given[order], starts))
