"""How true predictions were, once their horizon has passed: a version asked about the customers of that day.

The predictions are made again from the features of that day, which hold nothing later, so they are those that
a caller got then, and of every customer rather than of those who happened to be asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.drift.models import TargetPerformance
from cohortlens.analytics.drift.populations import Population
from cohortlens.contracts.purchase_days import PurchaseDays

CHURN = "churn"
_TENTHS = 10
_Z95 = 1.959963984540054

FloatArray = NDArray[np.float64]


def passed_horizons(trained_as_of: date, as_of: date, horizons_days: tuple[int, ...]) -> dict[int, date]:
    """Horizons that have passed since a version was trained, with the day on which to ask.

    Args:
        trained_as_of: Last day of data that the version was trained on; it has seen nothing later.
        as_of: Last day of data now.
        horizons_days: Horizons of the version.

    Returns:
        The latest day from which the whole horizon is observed, by horizon.
    """
    asked = {days: as_of - timedelta(days=days) for days in horizons_days}
    return {days: day for days, day in asked.items() if day >= trained_as_of}


def actuals(
    days: PurchaseDays, population: Population, asked_day: int, horizon_days: int
) -> dict[str, FloatArray]:
    """What customers did within a horizon.

    Args:
        days: Purchase-days of the tenant.
        population: Customers at the end of ``asked_day``.
        asked_day: Days since 1970-01-01.
        horizon_days: Days that follow it.

    Returns:
        ``purchases`` (purchase-days), ``spend`` (major units) and ``churn`` (1 without a purchase, else 0),
        shape (n,) each.
    """
    inside = (days.day > asked_day) & (days.day <= asked_day + horizon_days) & (days.orders > 0)
    count = int(days.customer.max()) + 1
    who = days.customer[inside]
    purchases = np.bincount(who, minlength=count)[population.customers].astype(np.float64)
    spend = np.bincount(who, weights=days.amount[inside], minlength=count)[population.customers]
    return {"purchases": purchases, "spend": spend.astype(np.float64), CHURN: (purchases == 0) * 1.0}


def judge(
    target: str,
    horizon_days: int,
    predicted_on: date,
    scores: Mapping[str, FloatArray],
    actual: FloatArray,
) -> TargetPerformance:
    """Hold predictions against what came.

    Args:
        target: ``purchases``, ``spend`` or ``churn``.
        horizon_days: Days looked ahead.
        predicted_on: Last day of data that the predictions knew.
        scores: ``value``, and for all but probabilities ``lower`` and ``upper``, shape (n,) each.
        actual: What came, shape (n,), n >= 1.

    Returns:
        Totals with the interval of the actual one, coverage, and the calibration of a probability. The
        interval is the normal one of a sum of n independent errors with the spread that was observed.
    """
    value = scores["value"]
    predicted, came = float(value.sum()), float(actual.sum())
    half = _Z95 * float(np.std(actual - value)) * np.sqrt(len(actual))
    is_probability = target == CHURN
    return TargetPerformance(
        target=target,
        horizon_days=horizon_days,
        predicted_on=predicted_on,
        customers=len(actual),
        predicted_total=predicted,
        actual_total=came,
        error_ratio=predicted / came - 1 if came else None,
        lower_total=max(0.0, predicted - half),
        upper_total=predicted + half,
        coverage_ratio=None if is_probability else _covered(scores, actual),
        calibration_error=calibration_error(value, actual) if is_probability else None,
    )


def _covered(scores: Mapping[str, FloatArray], actual: FloatArray) -> float:
    return float(((scores["lower"] <= actual) & (actual <= scores["upper"])).mean())


def calibration_error(probability: FloatArray, happened: FloatArray) -> float:
    """Mean absolute difference between predicted and observed share over tenths of the customers.

    Args:
        probability: Predicted, 0 to 1, shape (n,), n >= 1.
        happened: 1 where it happened, else 0, shape (n,).

    Returns:
        0 to 1, each tenth weighed by its customers; tenths are cut by rank of the prediction.

    Source:
        Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning (2015),
        with equal counts per bin.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, _TENTHS) if len(part)]
    gaps = [len(part) * abs(float(probability[part].mean() - happened[part].mean())) for part in parts]
    return sum(gaps) / len(probability)
