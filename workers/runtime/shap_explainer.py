"""Exact path-dependent TreeSHAP on stored tree arrays; one explainer per model version and target, kept.

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
    """Attributes the ensemble's sum (log space) to the columns of a row.

    Args:
        trees: The ensemble.

    Attributes:
        base_value: Expected sum over the training rows.
    """

    def __init__(self, trees: TreeArrays) -> None:
        self._explainer: Any = _tree_explainer()(
            {
                "trees": [_tree(trees, nodes) for nodes in trees.trees],
                "base_offset": float(trees.base),
                "input_dtype": np.float64,
                "internal_dtype": np.float64,
                "objective": "squared_error",
                "tree_output": "raw_value",
            },
            feature_perturbation="tree_path_dependent",
        )
        self.base_value = float(np.ravel(self._explainer.expected_value)[0])

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shares of the columns.

        Args:
            features: Rows, shape (n, columns), float32; NaN allowed.

        Returns:
            Shape (n, columns); each row plus ``base_value`` sums to the ensemble's sum.
        """
        rows = np.ascontiguousarray(features, np.float64)
        return np.asarray(self._explainer.shap_values(rows, check_additivity=False), np.float64)


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
