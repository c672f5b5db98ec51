"""How good predictions of non-negative amounts are, on customers the model has not learnt from."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

FloatArray = NDArray[np.float64]


def measure(predicted: FloatArray, actual: FloatArray) -> dict[str, float]:
    """All metrics of one set of predictions.

    Args:
        predicted: Predictions, >= 0, shape (n,), n >= 1.
        actual: What happened, >= 0, same unit, shape (n,).

    Returns:
        ``rmse``, ``mae`` (unit of the target), ``bias`` (sum predicted / sum actual - 1), ``gini``
        (normalised), ``correlation``, ``lift10``, ``auc`` (of buying at all, by the order of predictions),
        ``spearman`` and ``deviance`` (mean Poisson deviance); undefined ones are left out.
    """
    found = {
        "rmse": math.sqrt(float(np.mean((predicted - actual) ** 2))),
        "mae": float(np.mean(np.abs(predicted - actual))),
        "deviance": poisson_deviance(predicted, actual),
        "gini": normalised_gini(predicted, actual) if np.ptp(predicted) > 0 else math.nan,
        "spearman": spearman(predicted, actual),
        "correlation": correlation(predicted, actual),
        "lift10": lift10(predicted, actual),
        "auc": area_under_curve(predicted, actual > 0),
    }
    total = float(actual.sum())
    found["bias"] = float(predicted.sum()) / total - 1 if total > 0 else math.nan
    return {name: value for name, value in found.items() if math.isfinite(value)}


def normalised_gini(predicted: FloatArray, actual: FloatArray) -> float:
    """Gini of the order by prediction over that of the perfect order; NaN when nothing was bought."""
    perfect = _gini(actual, actual)
    return _gini(predicted, actual) / perfect if perfect != 0 else math.nan


def lift10(predicted: FloatArray, actual: FloatArray) -> float:
    """Share of the total in the tenth predicted highest over its share of rows; NaN under ten rows."""
    top, total = len(actual) // 10, float(actual.sum())
    if not top or total <= 0:
        return math.nan
    first = np.argsort(-predicted, kind="stable")[:top]
    return float(actual[first].sum()) / total / (top / len(actual))


def area_under_curve(order_by: FloatArray, happened: NDArray[np.bool_]) -> float:
    """Chance that a row where it happened stands above one where it did not, ties counting half.

    Source:
        Mann, Whitney, Annals of Mathematical Statistics 18(1) (1947).
    """
    positives = int(happened.sum())
    negatives = len(happened) - positives
    if not positives or not negatives:
        return math.nan
    ranks = float(rankdata(order_by)[happened].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def correlation(predicted: FloatArray, actual: FloatArray) -> float:
    """Pearson's correlation; NaN when one side is constant."""
    a, b = predicted - predicted.mean(), actual - actual.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 0 and np.ptp(predicted) > 0 else math.nan


def spearman(predicted: FloatArray, actual: FloatArray) -> float:
    """Correlation of ranks, ties averaged; NaN when one side is constant."""
    a, b = rankdata(predicted), rankdata(actual)
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 0 else math.nan


def poisson_deviance(predicted: FloatArray, actual: FloatArray) -> float:
    """Mean Poisson deviance, >= 0; NaN where a customer bought whom the prediction gave nothing."""
    bought = actual > 0
    if (predicted[bought] <= 0).any():
        return math.nan
    logs = np.zeros_like(actual)
    logs[bought] = actual[bought] * np.log(actual[bought] / predicted[bought])
    return 2 * float(np.mean(logs - actual + predicted))


def _gini(order_by: FloatArray, actual: FloatArray) -> float:
    if actual.sum() <= 0:
        return 0.0
    order = np.argsort(-order_by, kind="stable")
    shares = np.cumsum(actual[order]) / actual.sum()
    n = len(actual)
    return float(shares.sum() - (n + 1) / 2) / n
