"""Trees of a boosted ensemble as plain arrays: the one source of the ONNX graph and of exact explanations.

Stored as ``.npz`` without pickle. Thresholds and leaf values are exact float32 numbers held as float64, so a
float32 row takes the same path and collects the same leaves in onnxruntime and in the explainer.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import ArtifactCorrupt

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TreeArrays:
    """Nodes of all trees, one tree after the other; columns of shape (nodes,) unless said otherwise.

    Attributes:
        base: Sum starts here (log space), shape ().
        features: Number of columns of a row, shape ().
        starts: First node of each tree, and the number of nodes at the end, shape (trees + 1,).
        left: Child for values <= threshold, counted from the tree's first node; -1 in a leaf.
        right: The other child.
        default: Child for NaN.
        feature: Column compared; -1 in a leaf.
        threshold: Bound; 0 in a leaf.
        value: What a leaf adds, log space.
        weight: Training rows that reached the node.
    """

    base: FloatArray
    features: IntArray
    starts: IntArray
    left: IntArray
    right: IntArray
    default: IntArray
    feature: IntArray
    threshold: FloatArray
    value: FloatArray
    weight: FloatArray

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    @property
    def trees(self) -> list[slice]:
        """Nodes of each tree."""
        return [slice(int(a), int(b)) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]

    def sums(self, features: NDArray[np.float32]) -> FloatArray:
        """What the ensemble gives, walked tree by tree: what explanations are held against.

        Args:
            features: Rows, shape (n, columns), float32; NaN allowed.

        Returns:
            Base plus leaves, log space, shape (n,).
        """
        rows = np.arange(len(features))[:, None]
        roots = self.starts[:-1].astype(np.int64)
        at = np.broadcast_to(roots, (len(features), len(roots))).copy()
        inner = self.left[at] >= 0
        while inner.any():
            compared = features[rows, self.feature[at]]
            down = np.where(compared <= self.threshold[at], self.left[at], self.right[at])
            down = np.where(np.isnan(compared), self.default[at], down)
            at = np.where(inner, roots + down, at)
            inner = self.left[at] >= 0
        return np.asarray(float(self.base) + self.value[at].sum(axis=1), np.float64)

    def to_npz(self) -> bytes:
        """Bytes of an ``.npz`` file; equal arrays give equal bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for field in fields(self):
                member = io.BytesIO()
                np.lib.format.write_array(member, getattr(self, field.name), allow_pickle=False)
                # A fixed time stamp: numpy.savez would write the present one, and the digest would change.
                info = zipfile.ZipInfo(f"{field.name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, member.getvalue())
        return buffer.getvalue()

    @staticmethod
    def from_npz(data: bytes) -> TreeArrays:
        """Read trees back.

        Raises:
            ArtifactCorrupt: Not such a file, or its trees point outside themselves.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                read = {field.name: archive[field.name] for field in fields(TreeArrays)}
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactCorrupt("The trees of the model are not readable; train again.") from error
        trees = TreeArrays(**read)
        if not _is_sound(trees):
            raise ArtifactCorrupt("The trees of the model contradict themselves; train again.")
        return trees


def _is_sound(trees: TreeArrays) -> bool:
    """Whether every index stays inside, which the native explainer does not check itself."""
    nodes = len(trees.value)
    columns: list[NDArray[Any]] = [trees.left, trees.right, trees.default, trees.feature]
    columns += [trees.threshold, trees.weight]
    if any(column.shape != (nodes,) for column in columns) or trees.starts.ndim != 1 or len(trees.starts) < 2:
        return False
    sizes = np.diff(trees.starts)
    if trees.starts[0] != 0 or trees.starts[-1] != nodes or (sizes <= 0).any():
        return False
    size = np.repeat(sizes, sizes)
    position = np.arange(nodes) - np.repeat(trees.starts[:-1], sizes)
    inner = trees.left >= 0
    # A child stands after its parent, so a walk always ends.
    children = all(
        ((c > position) & (c < size))[inner].all() for c in (trees.left, trees.right, trees.default)
    )
    compared = (trees.feature >= 0) & (trees.feature < int(trees.features))
    return bool(children and compared[inner].all() and np.isfinite(trees.value).all())
