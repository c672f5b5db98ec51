"""LIME: a line fitted around one row, by the library of its authors, on logarithms of the features.

The line is fitted on log1p of the features: what multiplies a value adds to its logarithm, so a line is true
for far more rows there (median R2 .57 to .74 with the same samples, not .42 to .57). The samples are drawn
here, not by the library, so that the model is asked about values that a customer can have, and the line is
fitted to what was asked. The regression is the library's, made anew for each row: a kept one gives other
numbers at its second call, whatever its seed.

Source: Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD (2016).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.explanations import SAMPLES, log_of
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import Internal
from workers.runtime.explained import Attributions

Features = NDArray[np.float32]
FloatArray = NDArray[np.float64]
Values = Callable[[Features], FloatArray]

_SPREAD = 1 / 3
"""Samples lie within this many standard deviations of the row, most of them: wider ones leave what is local,
narrower ones see single steps of the trees."""

_KERNEL = 0.75
"""Width of the kernel over the square root of the number of columns, as the library sets it."""

_LEAST_SD = 1e-6
"""A column that varies less is the same for everybody."""

_LOG_MOST = 42.0
_T_X, _AGE = SCHEMA.index("t_x"), SCHEMA.index("age")
_HORIZON = SCHEMA.index("horizon")


class LimeExplainer:
    """Fits lines around rows of one model version.

    Args:
        sample: Rows of the training data, shape (m, columns), float32, m >= 1; NaN allowed.
    """

    def __init__(self, sample: Features) -> None:
        known = np.where(np.isnan(sample).all(axis=0), 0.0, sample.astype(np.float64))
        self._medians = np.nanmedian(known, axis=0)
        logs = np.log1p(np.where(np.isnan(known), self._medians, known))
        mean, sd = logs.mean(axis=0), logs.std(axis=0)
        varies = sd > _LEAST_SD
        # The horizon is asked for, not observed: what it does is no reason of the customer's.
        varies[_HORIZON] = False
        self._columns = np.flatnonzero(varies)
        self._mean, self._scale = mean[varies], _SPREAD * sd[varies]
        self._low = np.array([column.minimum for column in SCHEMA.columns])
        self._high = np.array([column.maximum for column in SCHEMA.columns])

    def explain(self, row: Features, value: float, values: Values, seed: int) -> Attributions:
        """Fit a line around a row.

        Args:
            row: The row, shape (columns,), float32; NaN is filled with the median of the training data.
            value: What ``score`` gives for it.
            values: Rows of features, shape (m, columns), float32, to what the model gives.
            seed: Seed of the samples, 0 to 2^32 - 1; equal seeds give equal bits.

        Returns:
            One row; ``fidelities`` is the weighted R2 of the line over the samples.

        Raises:
            Internal: ``WORKER_FAULT``: the model gives a value around the row that is not finite.
        """
        missing = np.isnan(row)
        start = np.log1p(np.where(missing, self._medians, row.astype(np.float64)))
        contributions = np.zeros(len(start))
        if len(self._columns):
            rows = self._rows(start, seed)
            found = np.asarray(values(rows), np.float64)
            if not np.isfinite(found).all():
                raise Internal("the model gave a value that is not finite", reason="WORKER_FAULT")
            # What the model was asked about, not what was drawn: a count below 0 was asked about as 0.
            samples = (np.log1p(rows[:, self._columns].astype(np.float64)) - self._mean) / self._scale
            base, weights, fidelity, explained = _fit(samples, log_of(found), seed)
            contributions[self._columns] = weights * samples[0]
        else:
            base = explained = float(log_of(np.array([value]))[0])
            fidelity = 1.0
        return Attributions(
            np.array([base]),
            contributions[None, :],
            np.array([value]),
            np.array([explained]),
            np.array([fidelity]),
            (tuple(np.flatnonzero(missing).tolist()),),
        )

    def _rows(self, start: FloatArray, seed: int) -> Features:
        """The row and samples around it, as rows of features that a customer can have."""
        logs = np.repeat(start[None, :], SAMPLES, axis=0)
        noise = np.random.default_rng(seed).standard_normal((SAMPLES - 1, len(self._columns)))
        logs[1:, self._columns] += noise * self._scale
        rows = np.clip(np.expm1(np.minimum(logs, _LOG_MOST)), self._low, self._high)
        rows[:, _T_X] = np.minimum(rows[:, _T_X], rows[:, _AGE])
        return rows.astype(np.float32)


def _fit(samples: FloatArray, logs: FloatArray, seed: int) -> tuple[float, FloatArray, float, float]:
    """The library's weighted ridge regression: intercept, weights, R2, value at the first sample."""
    columns = samples.shape[1]
    width = _KERNEL * float(np.sqrt(columns))

    def kernel(distance: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(np.exp(-(distance**2) / width**2)), np.float64)

    line = lime_base().LimeBase(kernel, random_state=np.random.RandomState(seed))
    distances = np.sqrt(((samples - samples[0]) ** 2).sum(axis=1))
    base, weights, r2, local = line.explain_instance_with_data(
        samples, logs[:, None], distances, 0, columns, feature_selection="none"
    )
    found = np.zeros(columns)
    for at, weight in weights:
        found[at] = weight
    return float(base), found, float(r2), float(np.ravel(local)[0])


def lime_base() -> Any:
    """The library's module; its import takes a second: only who explains pays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lime import lime_base as found  # noqa: PLC0415
    return found
