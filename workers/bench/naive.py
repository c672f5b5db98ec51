"""The naive rows of ``make clv-bench``, by definition: on the whole history, at the very horizon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import PURCHASES, SPEND
from workers.bench.transactions import Transactions
from workers.runtime.members import LAST_PERIOD, OWN_RATE, POPULATION_MEAN
from workers.training.datasets import Rows

FloatArray = NDArray[np.float64]


def naive_of(
    transactions: Transactions, cut: int, horizon_days: int, rows: Rows
) -> dict[str, dict[str, FloatArray]]:
    """What anybody could predict, by target: the population's rate, the last period, the customer's own rate.

    Args:
        transactions: The file.
        cut: Last day that is known, days since 1970-01-01.
        horizon_days: Days ahead.
        rows: Customers at the cut.

    Returns:
        Purchase-days and major units, shape (n,).
    """
    horizon = float(horizon_days)
    x, age, zbar = rows.column("x"), np.maximum(rows.column("age"), 1.0), rows.column("zbar")
    count, money = _last_period(transactions, cut, horizon_days, rows)
    return {
        PURCHASES: {
            POPULATION_MEAN: np.full(len(rows), float(x.sum() / age.sum()) * horizon),
            LAST_PERIOD: count,
            OWN_RATE: x / age * horizon,
        },
        SPEND: {
            POPULATION_MEAN: np.full(len(rows), float((x * zbar).sum() / age.sum()) * horizon),
            LAST_PERIOD: money,
            OWN_RATE: x / age * horizon * zbar,
        },
    }


def _last_period(
    transactions: Transactions, cut: int, horizon: int, rows: Rows
) -> tuple[FloatArray, FloatArray]:
    """Repeat purchase-days and their money in the last min(horizon, history) days, scaled to the horizon."""
    known = transactions.days.until(cut)
    bought = known.select(known.orders > 0)
    length = min(horizon, cut - int(bought.day.min()))
    repeat = np.r_[False, bought.customer[1:] == bought.customer[:-1]]
    inside = repeat & (bought.day > cut - length)
    who = bought.customer[inside]
    count = np.bincount(who, minlength=transactions.customers).astype(np.float64)
    money = np.bincount(who, weights=bought.amount[inside], minlength=transactions.customers)
    scale = horizon / max(1, length)
    return count[rows.customer] * scale, np.asarray(money[rows.customer] * scale, np.float64)
