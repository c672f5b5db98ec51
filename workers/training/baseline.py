"""The sample that a model version keeps of the customers it was trained on, for drift reports.

The pipeline calls it for both models once the version is fitted; ``cohortlens/contracts/baseline.py`` has the
format and the reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.baseline import MAX_ROWS, Baseline
from cohortlens.contracts.features import SCHEMA
from workers.training.datasets import Rows

_SEED = 0
"""Of the draw: one number for every training, so that equal snapshots give equal baselines."""


def baseline_npz(
    rows: Rows,
    predictions: Mapping[str, NDArray[np.float64]],
    segments: Sequence[str] | NDArray[np.str_] | None = None,
) -> bytes:
    """Sample rows of the training snapshot into the bytes of ``baseline.npz``.

    Args:
        rows: All customers on the snapshot's last day, as ``rows_at(days, customers, as_of, (0,))[0]`` gives
            them: the population that the version meets first when it serves.
        predictions: The version's own values for these rows by ``target:days``, such as ``spend:90``, shape
            (n,), finite; empty for a segmentation.
        segments: Segment key of each row; None for a prediction model.

    Returns:
        At most ``MAX_ROWS`` rows, drawn without replacement and kept in their order.

    Raises:
        ValueError: Columns of another length, or a prediction that is not finite.
    """
    features = np.asarray(rows.features, np.float32).copy()
    features[:, SCHEMA.index("horizon")] = 0.0
    keys = None if segments is None else np.asarray(segments, np.str_)
    for name, values in predictions.items():
        if np.shape(values) != (len(features),) or not np.isfinite(values).all():
            raise ValueError(f"the predictions {name} are not {len(features)} finite numbers")
    if keys is not None and keys.shape != (len(features),):
        raise ValueError(f"{len(keys)} segment keys for {len(features)} rows")
    drawn = _drawn(len(features))
    return Baseline(
        features[drawn],
        {name: np.asarray(values, np.float64)[drawn] for name, values in predictions.items()},
        None if keys is None else keys[drawn],
    ).to_npz()


def _drawn(rows: int) -> NDArray[np.intp]:
    if rows <= MAX_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(_SEED).choice(rows, MAX_ROWS, replace=False))
