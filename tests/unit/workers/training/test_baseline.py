"""The sample that a version keeps: at most 5,000 rows, always the same, without pickles or identifiers."""

from __future__ import annotations

import io

import numpy as np
import pytest

from cohortlens.contracts.artifacts import ArtifactCorrupt
from cohortlens.contracts.baseline import MAX_ROWS, Baseline
from cohortlens.contracts.features import SCHEMA
from tests.fixtures.shops import FIRST_DAY, shop
from workers.training.baseline import baseline_npz
from workers.training.datasets import rows_at

DAYS = shop(customers=300)


def rows():
    return rows_at(DAYS, 300, FIRST_DAY + 300, (90,))[0]


def test_a_small_snapshot_is_kept_whole_without_its_horizon_and_without_customers():
    given = rows()
    spend = np.arange(len(given), dtype=np.float64)
    data = baseline_npz(given, {"spend:90": spend}, ["s1"] * len(given))
    found = Baseline.from_npz(data)
    horizon = SCHEMA.index("horizon")
    assert (found.features[:, horizon] == 0).all()
    assert np.array_equal(
        np.delete(found.features, horizon, axis=1), np.delete(given.features, horizon, axis=1), equal_nan=True
    )
    assert np.array_equal(found.predictions["spend:90"], spend)
    assert set(found.segments) == {"s1"}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["features", "prediction/spend:90", "segments"]


def test_a_large_snapshot_is_sampled_the_same_way_each_time():
    given = rows()
    times = MAX_ROWS // len(given) + 2
    many = type(given)(
        np.tile(given.features, (times, 1)), {}, np.tile(given.customer, times), np.tile(given.cut, times)
    )
    value = np.arange(len(many), dtype=np.float64)
    data = baseline_npz(many, {"spend:90": value})
    assert data == baseline_npz(many, {"spend:90": value})
    found = Baseline.from_npz(data)
    drawn = found.predictions["spend:90"].astype(int)
    assert len(found) == MAX_ROWS == len(set(drawn.tolist()))
    assert np.array_equal(found.features[:, 0], many.features[drawn, 0]), (
        "rows and predictions stay side by side"
    )
    assert found.segments is None


@pytest.mark.parametrize("values", [[1.0], [np.nan] * 300, [np.inf] * 300])
def test_predictions_that_do_not_belong_to_the_rows_are_refused(values):
    with pytest.raises(ValueError, match="finite numbers"):
        baseline_npz(rows(), {"spend:90": np.array(values)})


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04rubbish", Baseline(np.zeros((2, 3), "f4"), {}).to_npz()[:-40]]
)
def test_a_damaged_baseline_is_named_as_such(data):
    with pytest.raises(ArtifactCorrupt):
        Baseline.from_npz(data)


def test_arrays_of_another_length_are_no_baseline():
    broken = Baseline(np.zeros((3, 2), np.float32), {"spend:90": np.zeros(2)})
    with pytest.raises(ArtifactCorrupt, match="differ in length"):
        Baseline.from_npz(broken.to_npz())
