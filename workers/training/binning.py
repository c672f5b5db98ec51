"""Bins of a weighted histogram boosting, found with one sort of a column.

scikit-learn 1.9 sorts the column anew for each of its 254 edges when rows have weights, which took two thirds
of a whole training. The edges are the same to the last bit, so versions are too.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

FloatArray = NDArray[np.float64]


class WeightedRegressor(HistGradientBoostingRegressor):  # type: ignore[misc]
    """The regressor of scikit-learn; takes and gives the same, and sooner where rows have weights."""

    _bin_mapper: Any

    def _bin_data(self, X: FloatArray, sample_weight: FloatArray, is_training_data: bool) -> Any:  # noqa: N803 the base's
        if is_training_data:
            self._bin_mapper = _Bins(**self._bin_mapper.get_params(deep=False))
        return super()._bin_data(X, sample_weight, is_training_data)


class _Bins(_BinMapper):  # type: ignore[misc]
    """Maps numbers to bins; rows with weights, none of them zero, and no categories."""

    def fit(self, X: FloatArray, y: None = None, sample_weight: FloatArray | None = None) -> Self:  # noqa: N803 the base's
        if sample_weight is None or len(X) > (self.subsample or len(X)):
            super().fit(X, y, sample_weight)
            return self
        most = self.n_bins - 1
        self.is_categorical_ = np.zeros(X.shape[1], np.uint8)
        self.bin_thresholds_ = [edges(column, sample_weight, most) for column in X.T]
        self.n_bins_non_missing_ = np.array([len(found) + 1 for found in self.bin_thresholds_], np.uint32)
        self.missing_values_bin_idx_ = most
        return self


def edges(column: FloatArray, weights: FloatArray, most: int) -> FloatArray:
    """Edges that part a column into bins of about the same weight.

    Args:
        column: Numbers, finite or NaN, shape (n,); NaN is left aside.
        weights: Weight of each row, > 0, shape (n,).
        most: Bins at most, >= 2.

    Returns:
        Ascending edges, at most ``most - 1``: the middles between the values where these are few, else the
        weighted quantiles; none where all values are equal. A value x lies in the first bin whose edge is
        >= x.

    Source:
        Hyndman and Fan, Sample Quantiles in Statistical Packages, The American Statistician 50 (1996),
        definition 2, with weights.
    """
    there = ~np.isnan(column)
    column, weights = column[there], weights[there]
    order = np.argsort(column)
    column, weights = column[order], weights[order]
    distinct = np.unique(column)
    if len(distinct) <= most:
        return np.asarray((distinct[:-1] + distinct[1:]) / 2)
    # Sorted once more as the library does: the order of equal values decides how their weights round.
    order = np.argsort(column)
    total = np.cumsum(weights[order])
    wanted = np.linspace(0, 100, num=most + 1)[1:-1] / 100 * total[-1]
    last = len(column) - 1
    at = np.minimum(np.searchsorted(total, wanted), last)
    above = total[at] - wanted > np.finfo(np.float64).eps
    middle = (column[at] + column[np.minimum(at + 1, last)]) / 2
    return np.unique(np.where(above, column[at], middle))
