"""Bounds around predictions, as training calibrated them."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.manifest import IntervalCalibration

FloatArray = NDArray[np.float64]


class Interval:
    """Bounds around predictions, as training calibrated them.

    Args:
        calibration: What training measured.
    """

    def __init__(self, calibration: IntervalCalibration) -> None:
        self._edges = np.array(calibration.edges, np.float64)
        self._lower = np.array(calibration.lower, np.float64)
        self._upper = np.array(calibration.upper, np.float64)
        self._offset = calibration.offset
        self._plain = (self._edges.tolist(), self._lower.tolist(), self._upper.tolist())

    def bounds(self, value: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of predictions >= 0, shape (n,) each, with 0 <= lower <= value <= upper."""
        if len(value) == 1:
            return self._of_one(value.item())
        decile = self._edges.searchsorted(value, side="right")
        scale = np.sqrt(self._offset * (value + self._offset))
        lower = np.minimum(np.maximum(value - self._lower[decile] * scale, 0.0), value)
        return lower, np.maximum(value + self._upper[decile] * scale, value)

    def _of_one(self, value: float) -> tuple[FloatArray, FloatArray]:
        # The same steps on plain numbers: for one row they cost a fifth of numpy's.
        edges, below, above = self._plain
        decile = bisect_right(edges, value)
        scale = math.sqrt(self._offset * (value + self._offset))
        lower = min(max(value - below[decile] * scale, 0.0), value)
        return np.array([lower]), np.array([max(value + above[decile] * scale, value)])
