"""What the purchase models see of each customer at a cut, and what it bought after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """Customers seen by the cut; columns of shape (n,), float64, unless said otherwise.

    Attributes:
        x: Repeat purchase-days.
        t_x: Days from the first to the last.
        age: Days from the first to the cut.
        zbar: Mean money of repeat days that were not free, major units.
        bought: Purchase-days within the horizon after the cut.
        repeat_days: Day of each repeat purchase of these customers until the end of the horizon, ascending,
            shape (m,).
    """

    x: FloatArray
    t_x: FloatArray
    age: FloatArray
    zbar: FloatArray
    bought: FloatArray
    repeat_days: FloatArray


def history_at(days: PurchaseDays, cut: int, horizon_days: int) -> History:
    """The histories at a cut.

    Args:
        days: Purchase-days, rows after the cut included.
        cut: Days since 1970-01-01.
        horizon_days: Days after the cut that are looked at.
    """
    customers = int(days.customer.max()) + 1
    table = featurize(days, cut, customers).astype(np.float64)
    seen = ~np.isnan(table[:, SCHEMA.index("x")])
    x, t_x, age, zbar = (table[seen, SCHEMA.index(name)] for name in ("x", "t_x", "age", "zbar"))
    real = days.select(days.orders > 0)
    known = seen[real.customer]
    inside = known & (real.day > cut) & (real.day <= cut + horizon_days)
    bought = np.bincount(real.customer[inside], minlength=customers)[seen].astype(np.float64)
    again = np.r_[False, real.customer[1:] == real.customer[:-1]]
    repeats = np.sort(real.day[known & again & (real.day <= cut + horizon_days)]).astype(np.float64)
    return History(x, t_x, age, zbar, bought, repeats)
