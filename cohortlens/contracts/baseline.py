"""The baseline of a model version: what customers, predictions and segments looked like at its training.

Training writes it beside the model's other files (``baseline.npz`` of the manifest); a drift report of the
control plane reads it. It holds no identifier and no row number of a customer.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import ArtifactCorrupt

BASELINE_FILE = "baseline.npz"
"""Name of the blob in a manifest's ``files``."""

MAX_ROWS = 5_000
"""Rows a baseline holds at most."""

_FEATURES, _SEGMENTS, _PREDICTION = "features", "segments", "prediction/"


@dataclass(frozen=True)
class Baseline:
    """A sample of the training snapshot on its last day; all arrays have one row per customer.

    Attributes:
        features: Shape (n, columns of the feature schema), float32; the column ``horizon`` is 0.
        predictions: Predicted values by ``target:days``, such as ``spend:90``, shape (n,), float64, in the
            target's unit.
        segments: Segment keys, shape (n,), text; None when the version assigns none.
    """

    features: NDArray[np.float32]
    predictions: Mapping[str, NDArray[np.float64]]
    segments: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def to_npz(self) -> bytes:
        """The arrays as ``.npz`` without pickles; equal baselines give equal bytes."""
        arrays = {_FEATURES: np.ascontiguousarray(self.features, "<f4")}
        if self.segments is not None:
            arrays[_SEGMENTS] = np.asarray(self.segments, np.str_)
        for name, values in self.predictions.items():
            arrays[_PREDICTION + name] = np.ascontiguousarray(values, "<f8")
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(arrays):
                part = io.BytesIO()
                np.lib.format.write_array(part, arrays[name], allow_pickle=False)
                # A fixed time of the entry: numpy's own writer keeps none either, but does not promise it.
                entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, part.getvalue())
        return sink.getvalue()

    @staticmethod
    def from_npz(data: bytes) -> Baseline:
        """Read a stored baseline.

        Args:
            data: What ``to_npz`` gave.

        Raises:
            ArtifactCorrupt: Not a baseline, or arrays that do not belong together.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            features = arrays.pop(_FEATURES)
            segments = arrays.pop(_SEGMENTS, None)
            predictions = {
                name.removeprefix(_PREDICTION): values.astype(np.float64)
                for name, values in arrays.items()
                if name.startswith(_PREDICTION)
            }
        except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactCorrupt(
                "The baseline of the model version is not readable; restore the artifact or train again."
            ) from error
        parts = [*predictions.values(), *([] if segments is None else [segments])]
        if features.ndim != 2 or any(part.shape != (len(features),) for part in parts):
            raise ArtifactCorrupt(
                "The arrays of the baseline differ in length; restore the artifact or train again."
            )
        return Baseline(features.astype(np.float32), predictions, segments)
