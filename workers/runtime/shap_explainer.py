"""Exact TreeSHAP on stored tree arrays; one explainer per model version, target and kind, kept.

Path-dependent attribution weighs the sides of a split by the training rows that went there. Interventional
attribution sets features of a row to those of background rows, and so shares equally between equal features.

Source: Lundberg et al., From local explanations to global understanding with explainable AI for trees,
Nature Machine Intelligence 2 (2020).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.runtime.tree_arrays import TreeArrays


class ShapExplainer:
    """Attributes the ensemble's sum (log space) to the columns of a row, along the trees' paths.

    Args:
        trees: The ensemble.

    Attributes:
        base_value: Expected sum over the training rows.
    """

    def __init__(self, trees: TreeArrays) -> None:
        self._explainer: Any = _tree_explainer()(_model(trees), feature_perturbation="tree_path_dependent")
        # The library takes the values of the roots for it, which are rounded on their own: 2e-8 off.
        self.base_value = float(trees.base) + _expected_sum(trees)

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shares of the columns.

        Args:
            features: Rows, shape (n, columns), float32; NaN allowed.

        Returns:
            Shape (n, columns); each row plus ``base_value`` sums to the ensemble's sum.
        """
        return _shares(self._explainer, features)


class InterventionalExplainer:
    """Attributes the ensemble's sum (log space) to the columns of a row, against background rows.

    Args:
        trees: The ensemble.
        background: Rows, shape (m, columns), float32; NaN allowed.

    Attributes:
        base_value: Mean sum over the background.
    """

    def __init__(self, trees: TreeArrays, background: NDArray[np.float32]) -> None:
        self._trees = trees
        self._explainer: Any = _tree_explainer()(
            _model(trees), data=background.astype(np.float64), feature_perturbation="interventional"
        )
        self.base_value = float(trees.sums(background).mean())

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shares of the columns; see ``ShapExplainer``."""
        shares = _shares(self._explainer, features)
        # The library adds these in single precision: what is missing, some 1e-8, is shared out by size, so
        # that no share of 0 becomes another and equal ones stay equal.
        missing = self._trees.sums(features) - self.base_value - shares.sum(axis=1)
        size = np.abs(shares)
        total = size.sum(axis=1)
        spread = np.where(total > 0, missing / np.where(total > 0, total, 1.0), 0.0)
        return np.asarray(shares + size * spread[:, None], np.float64)


def _expected_sum(trees: TreeArrays) -> float:
    """What the leaves add on average over the training rows, without the base."""
    roots = np.asarray(trees.starts[:-1], np.int64)
    weighted = np.where(trees.left < 0, trees.value * trees.weight, 0.0)
    return float((np.add.reduceat(weighted, roots) / trees.weight[roots]).sum())


def _shares(explainer: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = np.ascontiguousarray(features, np.float64)
    return np.asarray(explainer.shap_values(rows, check_additivity=False), np.float64)


def _model(trees: TreeArrays) -> dict[str, Any]:
    return {
        "trees": [_tree(trees, nodes) for nodes in trees.trees],
        "base_offset": 0.0,
        "input_dtype": np.float64,
        "internal_dtype": np.float64,
        "objective": "squared_error",
        "tree_output": "raw_value",
    }


def _tree_explainer() -> Any:
    """The class of shap; its import takes seconds and hundreds of megabytes: only who explains pays."""
    with warnings.catch_warnings():
        # Its plots, which are imported along, call what matplotlib is about to deprecate.
        warnings.simplefilter("ignore")
        from shap import TreeExplainer  # noqa: PLC0415
    return TreeExplainer


def _tree(trees: TreeArrays, nodes: slice) -> dict[str, NDArray[Any]]:
    return {
        "children_left": trees.left[nodes],
        "children_right": trees.right[nodes],
        "children_default": trees.default[nodes],
        "features": trees.feature[nodes],
        "thresholds": np.ascontiguousarray(trees.threshold[nodes]),
        "values": np.ascontiguousarray(trees.value[nodes].reshape(-1, 1)),
        "node_sample_weight": np.ascontiguousarray(trees.weight[nodes]),
    }
