"""Explains the predictions of one model version; explainers are built once, found explanations kept.

The explained trees are those of a boosted member that serves alone, or trees distilled from a blend.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.baseline import BASELINE_FILE, Baseline
from cohortlens.contracts.explanations import LIME, METHODS, SHAP, log_of
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import ModelManifest, fidelity_metric
from workers.runtime.blending import nearest
from workers.runtime.explained import Attributions, FloatArray
from workers.runtime.faults import ExplanationUnsupported
from workers.runtime.lime_explainer import LimeExplainer
from workers.runtime.shap_explainer import InterventionalExplainer, ShapExplainer
from workers.runtime.tree_arrays import TreeArrays

Features = NDArray[np.float32]
Score = Callable[[str, Features], FloatArray]
"""Target and rows to values, as the version answers them."""

BACKGROUND_ROWS = 100
"""Rows of the training data that interventional attribution compares with."""

_COLUMNS = len(SCHEMA.columns)
_HORIZON = SCHEMA.index("horizon")
_KEPT_ROWS = 512
_KEPT_BYTES = _KEPT_ROWS * (_COLUMNS * 8 + 1024)
_PADDED = 3
"""The explainer pads every tree to the largest and keeps its own copy."""

_Key = tuple[str, str, int, bytes]


class Explainers:
    """The explainers of one version; calls may come from several threads.

    Args:
        manifest: What the version is.
        trees: Explained trees by target.
        files: Checked bytes of its blobs by name.
        score: Answers as the version answers.
    """

    def __init__(
        self, manifest: ModelManifest, trees: dict[str, TreeArrays], files: dict[str, bytes], score: Score
    ) -> None:
        self._manifest = manifest
        self._trees = trees
        self._baseline = files.get(BASELINE_FILE)
        self._score = score
        self._exact: dict[str, ShapExplainer] = {}
        self._interventional: dict[str, InterventionalExplainer] = {}
        self._sample: Features | None = None
        self._lime: LimeExplainer | None = None
        self._building = threading.Lock()
        self._kept: OrderedDict[_Key, Attributions] = OrderedDict()

    @property
    def targets(self) -> frozenset[str]:
        """Targets that can be explained."""
        return frozenset(self._trees)

    @property
    def memory_bytes(self) -> int:
        """Estimate of the bytes held once all explainers are built."""
        trees = sum(one.nbytes for one in self._trees.values())
        return (1 + 2 * _PADDED) * trees + (_KEPT_BYTES if trees else 0)

    def explain(
        self, target: str, features: Features, method: str = SHAP, seeds: Sequence[int] = ()
    ) -> Attributions:
        """Attribute predictions to features.

        Args:
            target: ``purchases``, ``spend`` or ``churn``.
            features: Rows as ``Bundle.score`` takes them.
            method: One of ``contracts.explanations.METHODS``.
            seeds: Seed of each row's samples for ``lime``.

        Raises:
            ExplanationUnsupported: The version has no trees for the target, or no sample of its training data
                for the method.
        """
        if method not in METHODS:
            raise ExplanationUnsupported(f"method is {method[:40]!r}; expected one of {', '.join(METHODS)}")
        if target not in self._trees:
            known = ", ".join(self._trees) or "nothing"
            raise ExplanationUnsupported(f"the version cannot explain {target[:40]!r}; it explains {known}")
        if method == SHAP and len(features) > 1:
            # Many rows at once cost less than looking each of them up.
            return self._along_trees(target, features, method)
        keys = [
            (target, method, seeds[at] if method == LIME else 0, features[at].tobytes())
            for at in range(len(features))
        ]
        return Attributions.joined([self._one(key, features[at : at + 1]) for at, key in enumerate(keys)])

    def _one(self, key: _Key, row: Features) -> Attributions:
        with self._building:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        target, method, seed, _ = key
        made = self._line(target, row, seed) if method == LIME else self._along_trees(target, row, method)
        with self._building:
            self._kept[key] = made
            if len(self._kept) > _KEPT_ROWS:
                self._kept.popitem(last=False)
        return made

    def _along_trees(self, target: str, features: Features, method: str) -> Attributions:
        values = self._score(target, features)
        rows = features[:, :_COLUMNS]
        carried = np.zeros(len(rows))
        trained = self._trained(rows[:, _HORIZON])
        if (trained != rows[:, _HORIZON]).any():
            moved = features.copy()
            moved[:, _HORIZON] = trained
            rows = moved[:, :_COLUMNS]
            # The trees know the trained horizons; what carries a value to another one is the horizon's doing.
            carried = log_of(values) - log_of(self._score(target, moved))
        explainer = self._shap(target) if method == SHAP else self._against_background(target)
        contributions = explainer.contributions(rows)
        explained = self._trees[target].sums(rows)
        contributions[:, _HORIZON] += carried
        fidelity = self._manifest.metrics.get(fidelity_metric(target), 1.0)
        return Attributions(
            np.full(len(rows), explainer.base_value),
            contributions,
            values,
            explained + carried,
            np.full(len(rows), fidelity),
        )

    def _line(self, target: str, row: Features, seed: int) -> Attributions:
        sequence = row[:, _COLUMNS:]

        def values(samples: Features) -> FloatArray:
            if not sequence.shape[1]:
                return self._score(target, samples)
            return self._score(target, np.hstack([samples, np.repeat(sequence, len(samples), axis=0)]))

        value = float(self._score(target, row)[0])
        return self._lines().explain(row[0, :_COLUMNS], value, values, seed)

    def _trained(self, horizons: Features) -> Features:
        known = self._manifest.horizons_days
        found = {float(asked): nearest(known, float(asked)) for asked in np.unique(horizons)}
        return np.array([found[float(asked)] for asked in horizons], np.float32)

    def _shap(self, target: str) -> ShapExplainer:
        with self._building:
            if target not in self._exact:
                self._exact[target] = ShapExplainer(self._trees[target])
            return self._exact[target]

    def _against_background(self, target: str) -> InterventionalExplainer:
        with self._building:
            if target not in self._interventional:
                sample = self._rows()
                chosen = np.linspace(0, len(sample) - 1, min(len(sample), BACKGROUND_ROWS)).astype(int)
                background = sample[chosen].copy()
                horizons = np.array(self._manifest.horizons_days, np.float32)
                background[:, _HORIZON] = horizons[np.arange(len(background)) % len(horizons)]
                self._interventional[target] = InterventionalExplainer(self._trees[target], background)
            return self._interventional[target]

    def _lines(self) -> LimeExplainer:
        with self._building:
            if self._lime is None:
                self._lime = LimeExplainer(self._rows())
            return self._lime

    def _rows(self) -> Features:
        """The sample of the training data that came with the version."""
        if self._sample is None:
            if self._baseline is None:
                raise ExplanationUnsupported(
                    "the version holds no sample of its training data, which this method compares with; "
                    "explain by SHAP, or train a new version"
                )
            self._sample = Baseline.from_npz(self._baseline).features
        return self._sample
