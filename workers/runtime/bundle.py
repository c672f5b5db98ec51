"""A model version in memory: its manifest, its graphs, and on demand its explainers.

Loaded by digest from the artifact store; every byte is checked against the manifest before it is used.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import ArtifactCorrupt, LocalArtifactStore
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.contracts.manifest import IntervalCalibration, ModelManifest
from cohortlens.core.errors import FailedPrecondition, InvalidArgument
from workers.runtime.sessions import Session
from workers.runtime.shap_explainer import ShapExplainer
from workers.runtime.tree_arrays import TreeArrays

FloatArray = NDArray[np.float64]

SEGMENTATION_FILE = "segmentation.onnx"
"""Name of the segmentation's graph in its manifest."""

_WARM_ROWS = (1, 64)
_EXPLAINER_EXPANSION = 3
"""The explainer pads every tree to the largest and keeps its own copy."""


def graph_file(target: str) -> str:
    """Name of a target's graph in a prediction's manifest."""
    return f"{target}.onnx"


def trees_file(target: str) -> str:
    """Name of a target's tree arrays in a prediction's manifest."""
    return f"{target}.trees.npz"


def calibration_key(target: str, horizon_days: int) -> str:
    """Key of a target's interval for one horizon in a prediction's manifest."""
    return f"{target}:{horizon_days}"


class SchemaMismatch(FailedPrecondition):
    """The version was trained on another feature schema than this release computes."""

    reason = "FEATURE_SCHEMA_MISMATCH"


class ExplanationUnsupported(FailedPrecondition):
    """A segmentation has no trees to explain."""

    reason = "METHOD_UNSUPPORTED"


class HorizonUnsupported(InvalidArgument):
    """The version was not trained for the horizon asked."""

    reason = "HORIZON_UNSUPPORTED"


class TargetUnsupported(InvalidArgument):
    """The version has no such target."""

    reason = "TARGET_UNSUPPORTED"


@dataclass(frozen=True)
class Attributions:
    """Why the values are what they are, in log space.

    Attributes:
        base_value: Expected log value over the training rows.
        contributions: Shares of the columns, shape (n, columns); base plus a row's sum is log(value).
        values: Values as ``score`` gives them, shape (n,).
    """

    base_value: float
    contributions: FloatArray
    values: FloatArray


class Bundle:
    """A loaded model version; calls may come from several threads.

    Args:
        manifest: What it is.
        files: Checked bytes of its blobs by name.
    """

    def __init__(self, manifest: ModelManifest, files: dict[str, bytes]) -> None:
        self.manifest = manifest
        self._horizons = np.array(manifest.horizons_days, np.float32)
        self._horizon_column = SCHEMA.index("horizon")
        self._sessions: dict[str, Session] = {}
        self._trees: dict[str, TreeArrays] = {}
        self._explainers: dict[str, ShapExplainer] = {}
        self._explaining = threading.Lock()
        if manifest.model == "segmentation":
            self._sessions[""] = Session(_file(files, SEGMENTATION_FILE))
        for target in manifest.targets:
            self._sessions[target] = Session(_file(files, graph_file(target)))
            self._trees[target] = TreeArrays.from_npz(_file(files, trees_file(target)))
            missing = [
                h for h in manifest.horizons_days if calibration_key(target, h) not in manifest.calibration
            ]
            if missing:
                raise ArtifactCorrupt(f"The manifest lacks the interval of {target} for {missing[0]} days.")
        if not self._sessions:
            raise ArtifactCorrupt(f"The manifest names no graph for a model {manifest.model!r}.")

    @staticmethod
    def load(store: LocalArtifactStore, digest: str) -> Bundle:
        """Load a version.

        Args:
            store: Where its blobs lie.
            digest: Its ``artifact_digest``, the digest of its manifest.

        Raises:
            ArtifactMissing: A blob is not in the store.
            ArtifactCorrupt: A blob is damaged, or is not what the manifest promises.
            SchemaMismatch: It takes another feature schema.
        """
        manifest = ModelManifest.from_json(store.read_verified(digest))
        if manifest.schema_hash != SCHEMA.hash:
            raise SchemaMismatch(
                f"The model version takes feature schema {manifest.schema_hash[:12]}, this release computes "
                f"{SCHEMA.hash[:12]}; train a new version."
            )
        return Bundle(manifest, {name: store.read_verified(blob) for name, blob in manifest.files.items()})

    @property
    def memory_bytes(self) -> int:
        """Estimate of the bytes it holds, explainers included."""
        graphs = sum(session.memory_bytes for session in self._sessions.values())
        return graphs + (1 + _EXPLAINER_EXPANSION) * sum(trees.nbytes for trees in self._trees.values())

    def warm(self, *, explain: bool = False) -> None:
        """Run every graph with 1 and 64 rows, so that the first call is as fast as the next.

        Args:
            explain: Also build the explainers.
        """
        for rows in _WARM_ROWS:
            features = np.zeros((rows, len(SCHEMA.columns)), np.float32)
            if len(self._horizons):
                features[:, self._horizon_column] = self._horizons[0]
            for target in self._sessions:
                self.score(target, features)
                if explain and target:
                    self.explain(target, features)

    def score(self, target: str, features: NDArray[np.float32]) -> dict[str, FloatArray]:
        """Score rows.

        Args:
            target: One of the manifest's targets; empty for a segmentation.
            features: Rows, shape (n, columns), float32, as ``SCHEMA.check`` accepts them.

        Returns:
            Columns of shape (n,): ``value``, ``lower``, ``upper`` (purchases, or money in major units), or
            ``segment`` (index of the profile) and ``distance`` (standardised units).

        Raises:
            ContractFault: Rows of another shape or type.
            TargetUnsupported: No such target.
            HorizonUnsupported: A row's horizon is not one of the version's.
        """
        session = self._session(target, features)
        if not target:
            return session.run(features)
        which = self._horizon_of(features)
        value = session.run(features)["value"]
        lower, upper = np.zeros_like(value), np.zeros_like(value)
        for index, horizon in enumerate(self.manifest.horizons_days):
            rows = which == index
            if rows.any():
                calibration = self.manifest.calibration[calibration_key(target, horizon)]
                lower[rows], upper[rows] = interval(calibration, value[rows])
        return {"value": value, "lower": lower, "upper": upper}

    def explain(self, target: str, features: NDArray[np.float32]) -> Attributions:
        """Attribute predictions to features; arguments and errors as in ``score``.

        Raises:
            ExplanationUnsupported: The version is a segmentation.
        """
        session = self._session(target, features)
        if not target:
            raise ExplanationUnsupported("A segmentation is described by its profiles; explain a prediction.")
        self._horizon_of(features)
        explainer = self._explainer(target)
        return Attributions(
            base_value=explainer.base_value,
            contributions=explainer.contributions(features),
            values=session.run(features)["value"],
        )

    def _session(self, target: str, features: NDArray[np.float32]) -> Session:
        if features.ndim != 2 or features.shape[1] != len(SCHEMA.columns) or features.dtype != np.float32:
            raise ContractFault(
                f"Expected float32 rows of {len(SCHEMA.columns)} columns, found {features.dtype} of shape "
                f"{features.shape}.",
                reason="FEATURE_SCHEMA_MISMATCH",
            )
        session = self._sessions.get(target)
        if session is None:
            names = ", ".join(self.manifest.targets) or "none"
            raise TargetUnsupported(f"The model has no target {target[:40]!r}; its targets: {names}.")
        return session

    def _horizon_of(self, features: NDArray[np.float32]) -> NDArray[np.intp]:
        same = features[:, self._horizon_column, None] == self._horizons
        if not same.any(axis=1).all():
            row = int(np.argmin(same.any(axis=1)))
            wanted = ", ".join(map(str, self.manifest.horizons_days))
            raise HorizonUnsupported(
                f"Row {row}: horizon {float(features[row, self._horizon_column]):g} d is not supported; "
                f"expected one of {wanted}."
            )
        return np.asarray(np.argmax(same, axis=1), np.intp)

    def _explainer(self, target: str) -> ShapExplainer:
        with self._explaining:
            if target not in self._explainers:
                self._explainers[target] = ShapExplainer(self._trees[target])
            return self._explainers[target]


def interval(calibration: IntervalCalibration, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds around predictions.

    Args:
        calibration: As training measured it.
        value: Predictions, >= 0, shape (n,).

    Returns:
        ``lower`` and ``upper``, shape (n,), with 0 <= lower <= value <= upper.
    """
    decile = np.searchsorted(np.array(calibration.edges), value, side="right")
    scale = np.sqrt(calibration.offset * (value + calibration.offset))
    lower = np.clip(value - np.array(calibration.lower)[decile] * scale, 0.0, value)
    upper = np.maximum(value + np.array(calibration.upper)[decile] * scale, value)
    return lower, upper


def _file(files: dict[str, bytes], name: str) -> bytes:
    data = files.get(name)
    if data is None:
        raise ArtifactCorrupt(f"The manifest does not name the file {name}; train again.")
    return data
