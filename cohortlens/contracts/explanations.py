"""What the control plane and a replica agree on about explanations: methods, seeds, the least logarithm."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

SHAP, INTERVENTIONAL, LIME = "shap", "shap_interventional", "lime"
METHODS = (SHAP, INTERVENTIONAL, LIME)
"""Methods of ``ExplainRequest``."""

SAMPLES = 5_000
"""Samples that LIME draws around a row."""

LOW_FIDELITY_R2 = 0.5
"""A line with a smaller share of the variance says little about its row."""

LEAST_VALUE = 1e-6
"""Smaller values are explained as this one: a logarithm has no room for nothing at all."""

FloatArray = NDArray[np.float64]


def log_of(values: FloatArray) -> FloatArray:
    """Natural logarithms of values >= 0 of any shape, ``LEAST_VALUE`` being the least."""
    return np.log(np.maximum(values, LEAST_VALUE))


def seed_of(artifact_digest: str, snapshot_id: str) -> int:
    """The seed of LIME's samples when none is asked for: equal for equal versions and rows.

    Args:
        artifact_digest: Digest of the version, hex.
        snapshot_id: Name of the row's features, hex.

    Returns:
        0 to 2^32 - 1.
    """
    return int.from_bytes(hashlib.sha256(f"{artifact_digest}{snapshot_id}".encode()).digest()[:4], "big")
