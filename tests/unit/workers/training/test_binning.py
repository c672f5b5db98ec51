import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _find_binning_thresholds

from workers.training.binning import WeightedRegressor, edges

MOST = 255
RNG = np.random.default_rng(8)
COLUMNS = {
    "all differ": RNG.normal(size=3_000),
    "many alike": np.round(RNG.gamma(0.5, 40.0, 3_000)),
    "as few values as bins": RNG.permutation(np.arange(MOST)).repeat(4).astype(float),
    "one value more than bins": RNG.permutation(np.arange(MOST + 1)).repeat(4).astype(float),
    "nearly all equal": np.where(np.arange(3_000) < 2_700, 0.0, RNG.normal(size=3_000)),
    "all equal": np.full(3_000, 7.0),
    "some missing": np.where(RNG.random(3_000) < 0.3, np.nan, RNG.normal(size=3_000)),
}


@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("name", COLUMNS)
def test_edges_are_those_of_the_library_to_the_last_bit(name, spread):
    column = COLUMNS[name]
    weights = np.exp(spread * RNG.normal(size=len(column)))
    np.testing.assert_array_equal(
        edges(column, weights, MOST), _find_binning_thresholds(column, MOST, sample_weight=weights)
    )


def test_the_trees_are_those_of_the_library():
    rows = RNG.normal(size=(1_500, 4))
    rows[RNG.random(rows.shape) < 0.1] = np.nan
    weights = RNG.gamma(0.4, 1.0, len(rows)) + 1e-6
    target = RNG.poisson(np.exp(np.nan_to_num(rows[:, 0])))
    plain, quick = (
        kind(loss="poisson", max_iter=12, early_stopping=False, random_state=3).fit(
            rows, target, sample_weight=weights
        )
        for kind in (HistGradientBoostingRegressor, WeightedRegressor)
    )
    assert len(plain._predictors) == len(quick._predictors) == 12
    for (one,), (other,) in zip(plain._predictors, quick._predictors, strict=True):
        np.testing.assert_array_equal(one.nodes, other.nodes)
