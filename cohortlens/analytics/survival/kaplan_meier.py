"""The product-limit estimate of a survival curve with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """A survival curve at the days on which it falls; columns of shape (m,).

    Attributes:
        days: Days, ascending.
        at_risk: Those without the event before the day and still seen on it.
        events: Events on the day.
        survival: Share without the event behind the day, 0 to 1.
        lower: Lower end of the interval; NaN where nobody is left.
        upper: Upper end of the interval; NaN likewise.
    """

    days: IntArray
    at_risk: IntArray
    events: IntArray
    survival: FloatArray
    lower: FloatArray
    upper: FloatArray

    @property
    def median(self) -> int | None:
        """First day on which the share is at most one half; None when it stays above."""
        below = np.flatnonzero(self.survival <= 0.5)
        return int(self.days[below[0]]) if len(below) else None


def kaplan_meier(days: IntArray, ended: NDArray[np.bool_], level_ratio: float) -> Curve:
    """Estimate a survival curve.

    Args:
        days: Days until the event or the end of what was seen, >= 0, shape (n,).
        ended: Whether it was the event, shape (n,). Who leaves sight on a day is at risk on it.
        level_ratio: Level of the interval, between 0 and 1.

    Source:
        Kaplan, Meier, J. American Statistical Association 53 (1958); Greenwood's variance on the log-log
        scale: Kalbfleisch, Prentice, The Statistical Analysis of Failure Time Data (1980), section 1.4.
    """
    width = int(days.max(initial=-1)) + 1
    gone = np.bincount(days, minlength=width)
    died = np.bincount(days[ended], minlength=width)
    at = np.flatnonzero(died)
    at_risk = (len(days) - np.cumsum(gone) + gone)[at]
    events = died[at]
    left = at_risk - events
    with np.errstate(divide="ignore", invalid="ignore"):
        survival: FloatArray = np.cumprod(left / at_risk).astype(np.float64)
        variance = np.cumsum(events / (at_risk * left.astype(np.float64)))
        spread = NormalDist().inv_cdf(0.5 + 0.5 * level_ratio) * np.sqrt(variance) / np.abs(np.log(survival))
        lower, upper = survival ** np.exp(spread), survival ** np.exp(-spread)
    unknown = left == 0
    lower, upper = np.where(unknown, np.nan, lower), np.where(unknown, np.nan, upper)
    return Curve(at, at_risk, events, survival, lower, upper)
