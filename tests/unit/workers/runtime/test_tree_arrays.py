from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.artifacts import ArtifactCorrupt
from workers.runtime.tree_arrays import TreeArrays


def stump() -> TreeArrays:
    """Two trees: one split on column 1 at 2.5, and a single leaf."""
    return TreeArrays(
        base=np.array(0.5),
        features=np.array(3, np.int32),
        starts=np.array([0, 3, 4], np.int32),
        left=np.array([1, -1, -1, -1], np.int32),
        right=np.array([2, -1, -1, -1], np.int32),
        default=np.array([2, -1, -1, -1], np.int32),
        feature=np.array([1, -1, -1, -1], np.int32),
        threshold=np.array([2.5, 0, 0, 0]),
        value=np.array([0.0, -1.0, 3.0, 0.25]),
        weight=np.array([4.0, 3.0, 1.0, 4.0]),
    )


def test_trees_come_back_and_equal_trees_give_equal_bytes():
    data = stump().to_npz()
    assert data == stump().to_npz()
    again = TreeArrays.from_npz(data)
    for name, column in vars(stump()).items():
        np.testing.assert_array_equal(getattr(again, name), column)
    assert [(nodes.start, nodes.stop) for nodes in again.trees] == [(0, 3), (3, 4)]


@pytest.mark.parametrize("data", [b"", b"not a zip", stump().to_npz()[:-40]])
def test_what_is_no_archive_is_corrupt(data):
    with pytest.raises(ArtifactCorrupt):
        TreeArrays.from_npz(data)


def test_a_pickle_is_never_loaded(tmp_path):
    path = tmp_path / "trees.npz"
    np.savez(path, **vars(stump()) | {"value": np.array([print], dtype=object)})
    with pytest.raises(ArtifactCorrupt):
        TreeArrays.from_npz(path.read_bytes())


@pytest.mark.parametrize(
    "damage",
    [
        {"left": np.array([3, -1, -1, -1], np.int32)},
        {"right": np.array([0, -1, -1, -1], np.int32)},
        {"default": np.array([-1, -1, -1, -1], np.int32)},
        {"feature": np.array([3, -1, -1, -1], np.int32)},
        {"starts": np.array([0, 3, 5], np.int32)},
        {"starts": np.array([0, 3, 3, 4], np.int32)},
        {"value": np.array([0.0, np.nan, 3.0, 0.25])},
        {"threshold": np.array([2.5, 0, 0])},
    ],
)
def test_trees_that_point_outside_themselves_are_corrupt(damage):
    data = replace(stump(), **damage).to_npz()
    with pytest.raises(ArtifactCorrupt):
        TreeArrays.from_npz(data)
