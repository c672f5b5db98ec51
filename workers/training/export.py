"""Models to ONNX, and the gate that holds the graph against the model it came from.

Graphs are built from arrays node by node: the usual converter drops the Poisson link and cannot write this
estimator's attributes. A graph that differs by more than the gate allows is never stored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cohortlens.contracts.features import SCHEMA
from workers.runtime.sessions import INPUT, Session
from workers.runtime.tree_arrays import TreeArrays
from workers.training.faults import TrainingFault

PARITY_RATIO = 1e-5
"""Largest relative difference between a graph and its source."""

_OPSETS = [("", 21), ("ai.onnx.ml", 3)]
_IR_VERSION = 10
_RANDOM_ROWS = 1_000

_PARTIAL_SUMS = 16
"""onnxruntime adds leaves in float32. Sixteen short sums, added in float64, are ten times as exact as one
long sum (8e-8 against 1e-6 over 150 trees), and cost 1 us a call."""

FloatArray = NDArray[np.float64]


def trees_graph(trees: TreeArrays, *, link: str = "exp") -> bytes:
    """Graph of an ensemble: ``features`` float32 (n, columns) to ``value`` float64 (n, 1).

    Args:
        trees: The ensemble, in log space.
        link: ``exp`` or ``sigmoid``; with ``none`` the output is the sum itself.
    """
    sizes = np.diff(trees.starts)
    leaf = trees.left < 0
    sums = min(_PARTIAL_SUMS, len(sizes))
    tree_ids = np.repeat(np.arange(len(sizes)), sizes)
    node_ids = np.arange(len(trees.value)) - np.repeat(trees.starts[:-1], sizes)
    # The ONNX helper takes plain Python numbers only.
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        ["leaves"],
        domain="ai.onnx.ml",
        n_targets=sums,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_featureids=np.where(leaf, 0, trees.feature).tolist(),
        nodes_modes=["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf.tolist()],
        nodes_values=trees.threshold.tolist(),
        nodes_truenodeids=np.where(leaf, 0, trees.left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, trees.right).tolist(),
        nodes_missing_value_tracks_true=(~leaf & (trees.default == trees.left)).astype(int).tolist(),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=(tree_ids[leaf] % sums).tolist(),
        target_weights=trees.value[leaf].tolist(),
    )
    nodes = [
        ensemble,
        helper.make_node("Cast", ["leaves"], ["partial_sums"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceSum", ["partial_sums", "columns"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "base"], ["sum_of_all" if link != "none" else "value"]),
    ]
    if link != "none":
        operator = {"exp": "Exp", "sigmoid": "Sigmoid"}[link]
        nodes.append(helper.make_node(operator, ["sum_of_all"], ["value"]))
    output = helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])
    constants: dict[str, NDArray[np.generic]] = {
        "base": np.reshape(trees.base, (1, 1)),
        "columns": np.array([1], np.int64),
    }
    return _serialise("trees", nodes, [output], constants, width=int(trees.features))


def segmentation_graph(columns: list[int], mean: FloatArray, sd: FloatArray, centroids: FloatArray) -> bytes:
    """Graph of a segmentation: ``features`` to ``segment`` int64 (n, 1) and ``distance`` float64 (n, 1).

    Args:
        columns: Columns of the feature matrix it uses, d of them.
        mean: Means of log1p of the columns, shape (d,).
        sd: Their standard deviations, > 0, shape (d,).
        centroids: Centres in standardised units, shape (k, d).
    """
    constants: dict[str, NDArray[np.generic]] = {
        "columns": np.array(columns, np.int64),
        "one": np.array(1.0),
        "mean": mean,
        "sd": sd,
        "centroids": centroids[None, :, :],
        "middle": np.array([1], np.int64),
        "last": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", [INPUT, "columns"], ["chosen"], axis=1),
        helper.make_node("Cast", ["chosen"], ["exact"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["exact", "one"], ["plus_one"]),
        helper.make_node("Log", ["plus_one"], ["logs"]),
        helper.make_node("Sub", ["logs", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "sd"], ["z"]),
        helper.make_node("Unsqueeze", ["z", "middle"], ["rows"]),
        helper.make_node("Sub", ["rows", "centroids"], ["differences"]),
        helper.make_node("Mul", ["differences", "differences"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last"], ["squared"], keepdims=0),
        helper.make_node("ArgMin", ["squared"], ["segment"], axis=1, keepdims=1),
        helper.make_node("ReduceMin", ["squared", "middle"], ["nearest"], keepdims=1),
        helper.make_node("Sqrt", ["nearest"], ["distance"]),
    ]
    outputs = [
        helper.make_tensor_value_info("segment", TensorProto.INT64, [None, 1]),
        helper.make_tensor_value_info("distance", TensorProto.DOUBLE, [None, 1]),
    ]
    return _serialise("segmentation", nodes, outputs, constants)


def _serialise(
    name: str,
    nodes: list[onnx.NodeProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.generic]],
    width: int = len(SCHEMA.columns),
) -> bytes:
    features = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])
    initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, [features], outputs, initializers)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in _OPSETS],
        ir_version=_IR_VERSION,
        producer_name="cohortlens",
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def parity_rows(
    trees: TreeArrays, training: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Rows on which a graph of trees could differ from its source.

    Args:
        trees: The ensemble.
        training: Training rows, shape (n, columns).
        rng: Draws rows.

    Returns:
        All training rows, rows on every threshold and its two float32 neighbours, rows with NaN in every
        column in turn, and random rows within the range of the training rows.
    """
    inner = np.flatnonzero(trees.left >= 0)
    feature, threshold = trees.feature[inner], trees.threshold[inner].astype(np.float32)
    finite = np.isfinite(threshold)
    feature, threshold = feature[finite], threshold[finite]
    parts = [training]
    neighbours = (
        threshold,
        np.nextafter(threshold, np.float32(-np.inf)),
        np.nextafter(threshold, np.float32(np.inf)),
    )
    for values in neighbours:
        edge = training[rng.integers(len(training), size=len(values))]
        edge[np.arange(len(values)), feature] = values
        parts.append(edge)
    count = training.shape[1]
    holes = training[rng.integers(len(training), size=8 * count)]
    holes[np.arange(8 * count), np.arange(8 * count) % count] = np.nan
    low, high = _ranges(training)
    inside = low + (high - low) * rng.random((_RANDOM_ROWS, count))
    return np.concatenate([*parts, holes, inside.astype(np.float32)])


def check_parity(
    graph: bytes,
    source: Callable[[NDArray[np.float32]], FloatArray],
    rows: NDArray[np.float32],
    *,
    output: str = "value",
    floor: float = 0.0,
) -> float:
    """Hold a graph against the model it came from.

    Args:
        graph: The ONNX file.
        source: The model, rows to values of shape (n,).
        rows: Rows to compare on.
        output: Output compared.
        floor: Added to the source's absolute value in the denominator.

    Returns:
        The largest relative difference.

    Raises:
        TrainingFault: ``PARITY_FAILED``: it is larger than ``PARITY_RATIO``, or a value is not finite.
    """
    found = Session(graph).run(rows)[output]
    expected = source(rows)
    difference = np.abs(found - expected) / (np.abs(expected) + floor)
    worst = float(np.max(difference, initial=0.0))
    if not worst <= PARITY_RATIO:
        raise TrainingFault(
            "PARITY_FAILED",
            f"The exported model differs from the trained one by {worst:.1e} relative, more than "
            f"{PARITY_RATIO:.0e}; the version is rejected.",
        )
    return worst


def _ranges(training: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    known = np.where(np.isnan(training), np.inf, training)
    low = known.min(axis=0).astype(np.float64)
    high = np.where(np.isnan(training), -np.inf, training).max(axis=0).astype(np.float64)
    unknown = ~np.isfinite(low)
    return np.where(unknown, 0.0, low), np.where(unknown, 1.0, high)
