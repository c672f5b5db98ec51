"""Features of customers at a cut, from purchase-days known by then; schema ``customer_features`` v1.

The control plane, training and the benchmarks call this one function. Computed in float64, stored in float32.
Sums run per customer in day order (``numpy.bincount``), so rows after the cut, the order of the rows and
other customers change no bit; the population column ``trend_30`` alone looks at all customers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.features import SCHEMA, TREND_MAX, WINDOWS_DAYS
from cohortlens.contracts.purchase_days import FloatArray, PurchaseDays

_RECENT_DAYS = 30
_BEFORE_DAYS = 90
_AGE_FLOOR_DAYS = 7.0
"""A customer of two days with one repeat would else have the largest rate of all."""


def featurize(days: PurchaseDays, as_of_day: int, n_customers: int) -> NDArray[np.float32]:
    """Compute the feature vectors of all customers at the end of a day.

    Args:
        days: Purchase-days; rows that happened or became known after ``as_of_day`` are ignored.
        as_of_day: Days since 1970-01-01; that day's orders count.
        n_customers: Number of customers; customer numbers lie in 0..n_customers-1.

    Returns:
        Shape (n_customers, columns of the schema), float32; ``horizon`` is 0. The row of a customer without a
        purchase-day by then is NaN throughout, which ``SCHEMA.check`` refuses: leave such customers out.
    """
    known = days.until(as_of_day)
    bought = known.select(known.orders > 0)
    columns = _Columns(bought, as_of_day, n_customers)
    columns.history()
    columns.money()
    columns.windows()
    columns.baskets(known)
    columns.put("trend_30", np.full(n_customers, population_trend(bought, as_of_day)))
    columns.put("horizon", np.zeros(n_customers))
    columns.matrix[columns.count == 0] = np.nan
    return columns.matrix.astype(np.float32)


def population_trend(bought: PurchaseDays, as_of_day: int) -> float:
    """Purchase-days per customer-day of the last 30 days over those of the 90 days before.

    Args:
        bought: Purchase-days up to ``as_of_day``.
        as_of_day: Days since 1970-01-01.

    Returns:
        The ratio, 0 to 100; 1 when the 90 days before hold no purchase.
    """
    opened = (
        bought.day[np.r_[True, bought.customer[1:] != bought.customer[:-1]]] if len(bought) else bought.day
    )
    split, start = as_of_day - _RECENT_DAYS, as_of_day - _RECENT_DAYS - _BEFORE_DAYS

    def rate(after: int, until: int) -> float:
        exposure = np.clip(until - np.maximum(opened.astype(np.int64) - 1, after), 0, None).sum()
        purchases = np.count_nonzero((bought.day > after) & (bought.day <= until))
        return purchases / float(exposure) if exposure else 0.0

    before = rate(start, split)
    return min(rate(split, as_of_day) / before, TREND_MAX) if before > 0 else 1.0


class _Columns:
    """Fills the matrix block by block; purchase-days sorted by customer and day, none after the cut."""

    def __init__(self, bought: PurchaseDays, as_of_day: int, n_customers: int) -> None:
        self.matrix = np.full((n_customers, len(SCHEMA.columns)), np.nan)
        self._days = bought
        self._as_of = as_of_day
        self._n = n_customers
        who = bought.customer
        self.count = np.bincount(who, minlength=n_customers).astype(np.int64)
        ends = np.cumsum(self.count)
        self._seen = np.flatnonzero(self.count)
        self._first = (ends - self.count)[self._seen]
        self._last = ends[self._seen] - 1
        self._repeat = np.r_[False, who[1:] == who[:-1]] if len(who) else np.zeros(0, np.bool_)

    def put(self, name: str, values: NDArray[Any]) -> None:
        self.matrix[:, SCHEMA.index(name)] = values

    def get(self, name: str) -> FloatArray:
        return self.matrix[:, SCHEMA.index(name)]

    def _add(self, values: NDArray[Any], who: NDArray[np.int32] | None = None) -> FloatArray:
        owner = self._days.customer if who is None else who
        return np.bincount(owner, weights=values, minlength=self._n).astype(np.float64)

    def _at(self, values: NDArray[Any], positions: NDArray[np.intp]) -> FloatArray:
        column = np.full(self._n, np.nan)
        column[self._seen] = values[positions]
        return column

    def history(self) -> None:
        day = self._days.day
        first, last = self._at(day, self._first), self._at(day, self._last)
        x = self.count - 1.0
        t_x, age, since = last - first, self._as_of - first, self._as_of - last
        gap_mean = _ratio(t_x, x)
        gaps = np.r_[0, np.diff(day)] * self._repeat
        deviation = np.where(self._repeat, gaps - gap_mean[self._days.customer], 0.0)
        self.put("x", x)
        self.put("t_x", t_x)
        self.put("age", age)
        self.put("since", since)
        self.put("rate_30", 30.0 * x / np.maximum(age, _AGE_FLOOR_DAYS))
        self.put("gap_mean", gap_mean)
        self.put("gap_sd", np.sqrt(_ratio(self._add(deviation**2), x - 1.0)))
        self.put("overdue_ratio", _ratio(since, gap_mean))

    def money(self) -> None:
        amount, who = self._days.amount, self._days.customer
        total = self._add(amount)
        mean = _ratio(total, self.count.astype(np.float64))
        paid = self._repeat & (amount > 0)
        zbar = _ratio(self._add(np.where(paid, amount, 0.0)), self._add(paid))
        self.put("sum", total)
        self.put("mean", mean)
        self.put("sd", np.sqrt(_ratio(self._add((amount - mean[who]) ** 2), self.count - 1.0)))
        largest = np.maximum.reduceat(amount, self._first) if len(amount) else amount
        self.put("max", self._at(largest, np.arange(len(self._seen))))
        self.put("first", self._at(amount, self._first))
        self.put("last", self._at(amount, self._last))
        self.put("zbar", np.nan_to_num(zbar))

    def windows(self) -> None:
        age = self.get("age")
        for window in WINDOWS_DAYS:
            inside = self._days.day > self._as_of - window
            who = self._days.customer[inside]
            self.put(f"n_{window}", np.bincount(who, minlength=self._n).astype(np.float64))
            self.put(f"s_{window}", self._add(self._days.amount[inside], who))
            self.put(f"exposure_{window}", np.minimum(1.0, (age + 1.0) / window))

    def baskets(self, known: PurchaseDays) -> None:
        days = self._days
        self.put("items_mean", self._known_mean(days.items, ~np.isnan(days.items)))
        self.put("skus_distinct", self._known_mean(days.skus, days.skus > 0))
        self.put("lines_mean", self._known_mean(days.lines, days.lines > 0))
        returned = self._add(known.returns, known.customer)
        self.put("return_ratio", _ratio(returned, returned + self.get("sum")))

    def _known_mean(self, values: NDArray[Any], given: NDArray[np.bool_]) -> FloatArray:
        return _ratio(self._add(np.where(given, values, 0)), self._add(given))


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> FloatArray:
    """Quotient where the denominator is positive, else NaN."""
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
