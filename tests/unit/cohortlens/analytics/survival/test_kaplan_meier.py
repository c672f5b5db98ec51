import math

import numpy as np
import pytest
from scipy import stats

from cohortlens.analytics.survival.kaplan_meier import kaplan_meier


def curve_of(days, ended, level=0.95):
    return kaplan_meier(np.array(days, np.int64), np.array(ended, np.bool_), level)


def test_freireichs_patients_survive_as_published():
    # Remission times of 21 patients on 6-MP (Freireich and others, Blood 21, 1963).
    died, left = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    curve = curve_of([*died, *left], [True] * len(died) + [False] * len(left))

    assert curve.days.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    published = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert curve.survival.tolist() == pytest.approx(published, abs=5e-4)
    assert curve.median == 23


def test_curve_and_interval_are_those_of_another_implementation():
    random = np.random.default_rng(5)
    days, ended = random.integers(0, 40, 200), random.random(200) < 0.6
    curve = curve_of(days, ended, 0.9)

    theirs = stats.ecdf(stats.CensoredData(uncensored=days[ended], right=days[~ended])).sf
    interval = theirs.confidence_interval(0.9, method="log-log")

    at = np.searchsorted(theirs.quantiles, curve.days)
    assert curve.survival == pytest.approx(theirs.probabilities[at], abs=1e-12)
    assert curve.lower == pytest.approx(interval.low.probabilities[at], abs=1e-12, nan_ok=True)
    assert curve.upper == pytest.approx(interval.high.probabilities[at], abs=1e-12, nan_ok=True)


def test_where_nobody_is_left_there_is_no_interval():
    curve = curve_of([1, 2], [True, True])

    assert curve.survival.tolist() == [0.5, 0.0]
    assert math.isnan(curve.lower[1])
    assert 0 < curve.lower[0] < 0.5 < curve.upper[0] < 1


def test_without_events_the_curve_never_falls():
    for days, ended in (([], []), ([3, 4], [False, False])):
        curve = curve_of(days, ended)
        assert (len(curve.days), curve.median) == (0, None)
