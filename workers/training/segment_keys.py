"""Keys of segments that last: a segment found again keeps its key, a new one gets a key that nobody had.

Centres of two versions are compared in the standardised units of the new one, since each has a scaler of its
own. Source of the assignment: Kuhn, Naval Research Logistics 2 (1955).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.optimize import linear_sum_assignment

from cohortlens.contracts.artifacts import ArtifactCorrupt, ArtifactMissing, LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from workers.runtime.bundle import SEGMENTATION_FILE

FloatArray = NDArray[np.float64]

MATCH_DISTANCE = 1.0
"""Standardised units within which a centre counts as found again."""

HIGHEST_KEY = "highest_key"
"""Metric that tells the highest number a key ever had, so that no key comes back for other customers."""

ASKED_K = "asked_k"
"""Metric that tells the number of segments that was asked for; 0 when the rule chose."""

_KEY = re.compile(r"s(\d+)")


@dataclass(frozen=True)
class Former:
    """The segments of the version that serves.

    Attributes:
        logs: Centres as log1p of the columns, shape (k, d).
        keys: Their keys.
        names: Their names.
        highest: Highest number that a key had so far.
        asked_k: Number of segments that was asked for; 0 when the rule chose.
    """

    logs: FloatArray
    keys: tuple[str, ...]
    names: tuple[str, ...]
    highest: int
    asked_k: int = 0


@dataclass(frozen=True)
class Lineage:
    """What each new segment was before.

    Attributes:
        keys: Key of each segment.
        names: Name that each had before; empty for a new one.
        highest: Highest number that a key has now.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    highest: int


def former_segments(store: LocalArtifactStore, digest: str) -> Former | None:
    """The segments of a version, from its own graph.

    Args:
        store: Where its files lie.
        digest: Its ``artifact_digest``; empty when none serves.

    Returns:
        None when there is no such version, or its files are gone: all segments are new then.
    """
    if not digest:
        return None
    try:
        manifest = ModelManifest.from_json(store.read_verified(digest))
        graph = onnx.load_from_string(store.read_verified(manifest.files[SEGMENTATION_FILE])).graph
    except (ArtifactMissing, ArtifactCorrupt, KeyError, DecodeError):
        return None
    constants = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in graph.initializer}
    logs = constants["centroids"][0] * constants["sd"] + constants["mean"]
    keys = tuple(profile.key for profile in manifest.segments)
    highest = int(manifest.metrics.get(HIGHEST_KEY, 0)) or max(map(_number, keys), default=0)
    names = tuple(profile.name for profile in manifest.segments)
    return Former(logs, keys, names, highest, int(manifest.metrics.get(ASKED_K, 0)))


def lineage(centroids: FloatArray, mean: FloatArray, sd: FloatArray, former: Former | None) -> Lineage:
    """Match new segments to those before.

    Args:
        centroids: New centres in standardised units, shape (k, d).
        mean: Means of the new scaler, shape (d,).
        sd: Its standard deviations, shape (d,).
        former: The segments before; None when there were none.
    """
    before = {} if former is None else _matches(centroids, (former.logs - mean) / sd)
    highest = 0 if former is None else former.highest
    keys, names = [], []
    for index in range(len(centroids)):
        if former is not None and index in before:
            keys.append(former.keys[before[index]])
            names.append(former.names[before[index]])
            continue
        highest += 1
        keys.append(f"s{highest}")
        names.append("")
    return Lineage(tuple(keys), tuple(names), highest)


def _matches(centroids: FloatArray, before: FloatArray) -> dict[int, int]:
    distance = np.linalg.norm(centroids[:, None, :] - before[None, :, :], axis=2)
    # A pair too far apart is as good as none, and must not push another pair apart.
    rows, columns = linear_sum_assignment(np.minimum(distance, MATCH_DISTANCE))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {new: old for new, old in pairs if distance[new, old] <= MATCH_DISTANCE}


def _number(key: str) -> int:
    found = _KEY.fullmatch(key)
    return int(found[1]) if found else 0
