"""ONNX sessions as a replica uses them: one thread, no spinning, float32 rows in, named columns out."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import ArtifactCorrupt

INPUT = "features"
"""Name of the input of every graph on features, float32 of shape (rows, columns)."""

_OVERHEAD_BYTES = 1 << 20
_EXPANSION = 3
"""onnxruntime keeps trees in about three times the bytes of the file."""


class Session:
    """One loaded graph.

    Args:
        data: Bytes of the ONNX file.
        inputs: Names of the graph's inputs.

    Raises:
        ArtifactCorrupt: onnxruntime cannot load the bytes, or the graph has other inputs.
    """

    def __init__(self, data: bytes, inputs: tuple[str, ...] = (INPUT,)) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own without a common base
            raise ArtifactCorrupt("The graph of the model cannot be loaded; train again.") from error
        if {entry.name for entry in self._session.get_inputs()} != set(inputs):
            raise ArtifactCorrupt(
                f"The graph of the model does not have the inputs {', '.join(inputs)}; train again."
            )
        outputs = self._session.get_outputs()
        self._outputs = [output.name for output in outputs]
        # Most graphs have one output, which is what a replica returns without touching it again.
        is_plain = len(outputs) == 1 and outputs[0].type == "tensor(double)"
        self._only = self._outputs[0] if is_plain else None
        self.memory_bytes = _OVERHEAD_BYTES + _EXPANSION * len(data)

    def run(self, features: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Run the graph.

        Args:
            features: Rows, shape (n, columns), float32.

        Returns:
            Each output as float64 of shape (n,).
        """
        if self._only is None:
            return self.run_named({INPUT: features})
        found = self._session.run(self._outputs, {INPUT: np.ascontiguousarray(features)})[0]
        return {self._only: found.reshape(-1)}

    def run_named(self, feeds: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
        """Run a graph of several inputs.

        Args:
            feeds: Float32 arrays by the inputs' names, n rows each.

        Returns:
            As ``run``.
        """
        found = self._session.run(
            self._outputs, {name: np.ascontiguousarray(values) for name, values in feeds.items()}
        )
        return {
            name: np.asarray(values.reshape(-1), np.float64)
            for name, values in zip(self._outputs, found, strict=True)
        }
