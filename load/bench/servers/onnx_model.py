"""The model that every reference serves: the demo tenant's own spend graph, one onnxruntime session."""

import os

import numpy as np
import onnxruntime

MODEL_FILE = "BENCH_MODEL"


def session() -> onnxruntime.InferenceSession:
    """A session as the product opens it: one thread, no spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(os.environ[MODEL_FILE], options, providers=["CPUExecutionProvider"])


def score(model: onnxruntime.InferenceSession, rows: np.ndarray) -> np.ndarray:
    """Values of ``rows`` (n, columns) float32, shape (n,)."""
    return model.run(None, {model.get_inputs()[0].name: rows})[0].reshape(-1).astype(np.float32)
