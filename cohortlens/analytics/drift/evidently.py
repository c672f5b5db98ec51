"""The convention EVIDENTLY: which test or distance decides a column, and its fixed threshold.

For those who come from Evidently 0.7 and want its verdicts. Without correction, and with distances compared
with .1 whatever the size of the sample, such verdicts alarm often: see ``make drift-bench`` and ADR 0045.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.drift import statistics
from cohortlens.analytics.drift.models import DriftColumn, DriftVerdict

_TESTED_MAX_ROWS = 1_000
_FEW_VALUES = 5
_LEVEL = 0.05
_DISTANCE_FROM = 0.1


def evidently_verdict(column: DriftColumn, reference: NDArray[Any], current: NDArray[Any]) -> DriftColumn:
    """Decide a column as Evidently's defaults do.

    Up to 1,000 rows of the reference a test decides (p < .05): Kolmogorov-Smirnov for numbers with over five
    values, else the one-sample chi-square, or the two-proportion z-test for two values. Beyond, a distance
    decides (>= .1): Wasserstein for numbers with over five values, else Jensen-Shannon.

    Args:
        column: With the distances filled in.
        reference: Its values without missing ones.
        current: The same, now.

    Returns:
        The column with method, statistic, p-value and verdict (STABLE or ACT) of that rule.
    """
    counts = _counts(column, reference, current)
    values = len(counts[0])
    is_wide = column.is_numerical and values > _FEW_VALUES
    if len(reference) > _TESTED_MAX_ROWS:
        name = "wasserstein_normed" if is_wide else "jensen_shannon"
        distance = column.wasserstein_normed if is_wide else _distance(counts)
        return _decided(
            replace(column, method=name, statistic=distance, p_value=None),
            (distance or 0.0) >= _DISTANCE_FROM,
        )
    if is_wide:
        return _decided(column, (column.p_value or 0.0) < _LEVEL)
    if values > 2:
        p_value = statistics.chi_square_one_sample(*counts)
        changed = replace(column, method="chi_square_one_sample", statistic=None, p_value=p_value)
    else:
        hits = int(counts[0][0]), int(counts[1][0])
        statistic, p_value, _ = statistics.two_proportions(hits[0], len(reference), hits[1], len(current))
        changed = replace(column, method="two_proportions", statistic=statistic, p_value=p_value)
    return _decided(changed, p_value < _LEVEL)


def _counts(
    column: DriftColumn, reference: NDArray[Any], current: NDArray[Any]
) -> tuple[statistics.CountArray, statistics.CountArray]:
    if column.is_numerical:
        return statistics.value_counts(np.asarray(reference, np.float64), np.asarray(current, np.float64))
    return statistics.level_counts(reference.tolist(), current.tolist())


def _distance(counts: tuple[statistics.CountArray, statistics.CountArray]) -> float:
    return statistics.jensen_shannon(*statistics.level_shares(*counts))


def _decided(column: DriftColumn, is_drifted: bool) -> DriftColumn:
    return replace(column, verdict=DriftVerdict.ACT if is_drifted else DriftVerdict.STABLE)
