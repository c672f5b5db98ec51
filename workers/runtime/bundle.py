"""A model version in memory: its manifest, its graphs, and on demand its explainers.

Loaded by digest from the artifact store; every byte is checked against the manifest before it is used.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import ArtifactCorrupt, LocalArtifactStore
from cohortlens.contracts.asks import calibration_key
from cohortlens.contracts.explanations import SHAP
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.contracts.sequences import SEQUENCE, WIDE_COLUMNS, split
from workers.runtime.explained import Attributions
from workers.runtime.explaining import Explainers
from workers.runtime.faults import (
    ExplanationUnsupported,
    HorizonUnsupported,
    SchemaMismatch,
    TargetUnsupported,
)
from workers.runtime.intervals import Interval
from workers.runtime.lineup import Lineup
from workers.runtime.sessions import Session
from workers.runtime.tree_arrays import TreeArrays

FloatArray = NDArray[np.float64]

SEGMENTATION_FILE = "segmentation.onnx"
"""Name of the segmentation's graph in its manifest."""

_WARM_ROWS = (1, 64)


def graph_file(target: str) -> str:
    """Name of a target's graph in a prediction's manifest."""
    return f"{target}.onnx"


def explainer_file(target: str) -> str:
    """Name of a target's distilled trees in a prediction's manifest."""
    return f"{target}.explainer.npz"


def trees_file(target: str) -> str:
    """Name of a target's tree arrays in a prediction's manifest."""
    return f"{target}.trees.npz"


class Bundle:
    """A loaded model version; calls may come from several threads.

    Args:
        manifest: What it is.
        files: Checked bytes of its blobs by name.
    """

    def __init__(self, manifest: ModelManifest, files: dict[str, bytes]) -> None:
        self.manifest = manifest
        self._horizons = np.array(manifest.horizons_days, np.float32)
        self._horizon_positions = {float(days): at for at, days in enumerate(self._horizons)}
        self._horizon_column = SCHEMA.index("horizon")
        self._columns = len(SCHEMA.columns)
        self._sessions: dict[str, Session] = {}
        trees: dict[str, TreeArrays] = {}
        self._intervals: dict[str, list[Interval]] = {}
        if manifest.model == "segmentation":
            self._sessions[""] = Session(_file(files, SEGMENTATION_FILE))
        self._lineup = Lineup(manifest, files) if manifest.blends else None
        for target in manifest.targets:
            if self._lineup is None:
                self._sessions[target] = Session(_file(files, graph_file(target)))
                self._intervals[target] = _intervals(manifest, target)
                trees[target] = TreeArrays.from_npz(_file(files, trees_file(target)))
            elif explainer_file(target) in files:
                trees[target] = TreeArrays.from_npz(files[explainer_file(target)])
        # Not a reference: in a cycle a dropped version would keep its graphs until the collector comes by.
        this = weakref.proxy(self)
        self._explainers = Explainers(
            manifest, trees, files, lambda target, rows: this.score(target, rows)["value"]
        )
        if not self._sessions and self._lineup is None:
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
        if manifest.sequence_hash not in ("", SEQUENCE.hash):
            raise SchemaMismatch(
                f"The model version takes weekly sequences {manifest.sequence_hash[:12]}, this release "
                f"computes {SEQUENCE.hash[:12]}; train a new version."
            )
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
        graphs += self._lineup.memory_bytes if self._lineup is not None else 0
        return graphs + self._explainers.memory_bytes

    def warm(self, *, explain: bool = False) -> None:
        """Run every graph with 1 and 64 rows, so that the first call is as fast as the next.

        Args:
            explain: Also build the explainers.
        """
        wide = WIDE_COLUMNS if self.manifest.wants_sequence else self._columns
        for rows, columns in product(_WARM_ROWS, {self._columns, wide}):
            features = np.zeros((rows, columns), np.float32)
            if len(self._horizons):
                features[:, self._horizon_column] = self._horizons[0]
            for target in self.manifest.targets or ("",):
                self.score(target, features)
                if explain and target in self._explainers.targets:
                    self.explain(target, features)

    def score(self, target: str, features: NDArray[np.float32]) -> dict[str, FloatArray]:
        """Score rows.

        Args:
            target: One of the manifest's targets, or an ask (``contracts.asks``); empty for a segmentation.
            features: Rows, shape (n, columns), float32, as ``SCHEMA.check`` accepts them; with their weekly
                sequences behind them, shape (n, WIDE_COLUMNS), where the version takes those.

        Returns:
            Columns of shape (n,): ``value``, ``lower``, ``upper`` (purchases, or money in major units), or
            ``segment`` (index of the profile) and ``distance`` (standardised units).

        Raises:
            ContractFault: Rows of another shape or type.
            TargetUnsupported: No such target.
            HorizonUnsupported: The version does not predict a row's horizon.
        """
        if self._lineup is not None:
            return self._lineup.score(target, *self._split(features))
        session = self._session(target, features)
        if not target:
            return session.run(features)
        intervals = self._intervals[target]
        only = self._only_horizon(features)
        if only is not None:
            value = session.run(features)["value"]
            lower, upper = intervals[only].bounds(value)
            return {"value": value, "lower": lower, "upper": upper}
        which = self._horizon_of(features)
        value = session.run(features)["value"]
        lower, upper = np.empty_like(value), np.empty_like(value)
        for index in np.unique(which):
            rows = which == index
            lower[rows], upper[rows] = intervals[index].bounds(value[rows])
        return {"value": value, "lower": lower, "upper": upper}

    def explain(
        self, target: str, features: NDArray[np.float32], method: str = SHAP, seeds: Sequence[int] = ()
    ) -> Attributions:
        """Attribute predictions to features; ``target``, ``features`` and errors as in ``score``.

        Args:
            target: One of the manifest's targets.
            features: Rows.
            method: One of ``contracts.explanations.METHODS``.
            seeds: Seed of each row's samples for ``lime``.

        Raises:
            ExplanationUnsupported: The version is a segmentation, or lacks what the method needs.
        """
        if not self.manifest.targets:
            raise ExplanationUnsupported("A segmentation is described by its profiles; explain a prediction.")
        return self._explainers.explain(target, features, method, seeds)

    def _split(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Features and weekly sequences of rows for a line-up."""
        if features.ndim == 2 and features.shape[1] == WIDE_COLUMNS and features.dtype == np.float32:
            return split(features)
        self._check(features)
        return features, None

    def _check(self, features: NDArray[np.float32]) -> None:
        if features.ndim != 2 or features.shape[1] != self._columns or features.dtype != np.float32:
            raise ContractFault(
                f"Expected float32 rows of {self._columns} columns, found {features.dtype} of shape "
                f"{features.shape}.",
                reason="FEATURE_SCHEMA_MISMATCH",
            )

    def _session(self, target: str, features: NDArray[np.float32]) -> Session:
        self._check(features)
        session = self._sessions.get(target)
        if session is None:
            names = ", ".join(self.manifest.targets) or "none"
            raise TargetUnsupported(f"The model has no target {target[:40]!r}; its targets: {names}.")
        return session

    def _only_horizon(self, features: NDArray[np.float32]) -> int | None:
        """Position of the one horizon all rows ask for, which is nearly always so; None when it is not."""
        if not len(features):
            return None
        wanted = features[:, self._horizon_column]
        position = self._horizon_positions.get(wanted.item(0))
        return position if position is not None and (wanted == wanted[0]).all() else None

    def _horizon_of(self, features: NDArray[np.float32]) -> NDArray[np.intp]:
        wanted = features[:, self._horizon_column]
        same = wanted[:, None] == self._horizons
        known = same.any(axis=1)
        if not known.all():
            row = int(np.argmin(known))
            supported = ", ".join(map(str, self.manifest.horizons_days))
            raise HorizonUnsupported(
                f"Row {row}: horizon {float(wanted[row]):g} d is not supported; expected one of {supported}."
            )
        return np.asarray(np.argmax(same, axis=1), np.intp)


def _intervals(manifest: ModelManifest, target: str) -> list[Interval]:
    found = []
    for horizon in manifest.horizons_days:
        calibration = manifest.calibration.get(calibration_key(target, horizon))
        if calibration is None:
            raise ArtifactCorrupt(
                f"The manifest lacks the interval of {target} for {horizon} days; train again."
            )
        found.append(Interval(calibration))
    return found


def _file(files: dict[str, bytes], name: str) -> bytes:
    data = files.get(name)
    if data is None:
        raise ArtifactCorrupt(f"The manifest does not name the file {name}; train again.")
    return data
