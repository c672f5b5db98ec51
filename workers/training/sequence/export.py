"""A net to ONNX, and the comparison that holds the graph against it.

Traced by the TorchScript exporter: the newer one takes 4 to 11 CPU seconds for the same graph (against .1)
and writes paths of source files into it, so that equal trainings would differ in their digest.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cohortlens.contracts.sequences import CHANNELS, FEATURE_COLUMNS, WEEKS
from workers.runtime.members import SEQUENCE_INPUTS
from workers.runtime.sessions import Session
from workers.training.datasets import Rows
from workers.training.export import PARITY_RATIO
from workers.training.faults import TrainingFault
from workers.training.lineup import TARGETS
from workers.training.sequence.nets import SequenceNet

_OPSET = 17
_BATCHES = (1, 64, 100)
_TRACED_ROWS = 3
_CHUNK = 4_096

FloatArray = NDArray[np.float64]


def net_graph(net: SequenceNet) -> bytes:
    """Graph of a net: features, sequence and horizon to ``purchases``, ``spend`` and ``churn``."""
    names = (*SEQUENCE_INPUTS, *TARGETS)
    example = (
        torch.ones(_TRACED_ROWS, FEATURE_COLUMNS),
        torch.ones(_TRACED_ROWS, WEEKS, len(CHANNELS)),
        torch.ones(_TRACED_ROWS, 1),
    )
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # It tells of its age and of the batch of a recurrent cell; ``check_net`` is the answer to both.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            example,
            sink,  # type: ignore[arg-type]  # annotated for the newer exporter only
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(SEQUENCE_INPUTS),
            output_names=list(TARGETS),
            dynamic_axes={name: {0: "rows"} for name in names},
        )
    return sink.getvalue()


def net_values(net: SequenceNet, rows: Rows) -> dict[str, FloatArray]:
    """What the net itself says of rows: each target as float64 of shape (n,)."""
    parts: list[tuple[Any, ...]] = []
    with torch.no_grad():
        for first in range(0, len(rows), _CHUNK):
            chunk = rows.select(np.arange(first, min(first + _CHUNK, len(rows))))
            parts.append(net(*(torch.from_numpy(values) for values in net_inputs(chunk).values())))
    return {
        target: np.concatenate([part[at].numpy() for part in parts]).astype(np.float64)
        for at, target in enumerate(TARGETS)
    }


def net_inputs(rows: Rows) -> dict[str, NDArray[np.float32]]:
    """Inputs of the graph by name, in their order.

    Raises:
        ValueError: The rows have no sequences.
    """
    if rows.sequence is None:
        raise ValueError("a net on weekly sequences is asked about rows without one")
    horizon = rows.column("horizon").astype(np.float32)[:, None]
    return dict(zip(SEQUENCE_INPUTS, (rows.features, rows.sequence, horizon), strict=True))


def check_net(graph: bytes, net: SequenceNet, probes: Rows) -> float:
    """Hold a graph against its net, over all probes and in batches of 1, 64 and 100 rows.

    Args:
        graph: The ONNX file.
        net: The net it came from.
        probes: Rows to compare on, NaN where the schema allows it.

    Returns:
        The largest relative difference.

    Raises:
        TrainingFault: ``PARITY_FAILED``: it is larger than ``PARITY_RATIO``, or a value is not finite.
    """
    session = Session(graph, SEQUENCE_INPUTS)
    worst = 0.0
    for size in (*_BATCHES, len(probes)):
        part = probes.select(np.arange(min(size, len(probes))))
        found, expected = session.run_named(net_inputs(part)), net_values(net, part)
        for target in TARGETS:
            # Below a millionth, values are told apart by nobody, and float32 does not hold them so exactly.
            difference = np.abs(found[target] - expected[target]) / np.maximum(expected[target], 1e-6)
            worst = float(np.max(difference, initial=worst))
    if not worst <= PARITY_RATIO:
        raise TrainingFault(
            "PARITY_FAILED",
            f"The exported sequence net differs from the trained one by {worst:.1e} relative, more than "
            f"{PARITY_RATIO:.0e}; the version is rejected.",
        )
    return worst
