import numpy as np

from cohortlens.contracts.backtest import Backtest
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import Blend
from workers.training.backtest import Fold
from workers.training.calibration import Judged
from workers.training.datasets import Rows
from workers.training.reporting import report

ROWS = 400
ACTUAL = np.random.default_rng(0).poisson(1.0, ROWS).astype(float)


def told(default, own_rate):
    features = np.zeros((ROWS, len(SCHEMA.columns)), np.float32)
    rows = Rows(features, {"purchases": ACTUAL}, np.arange(ROWS, dtype=np.int32), np.zeros(ROWS, np.int32))
    fold = Fold(0, {30: rows}, {("purchases", 30): {"own_rate": own_rate}}, {"gru": "TOO_FEW_ROWS"})
    blend = Blend({"own_rate": 1.0}, {"own_rate": 1.0})
    return report([fold], {"purchases": [Judged(0, 30, default, ACTUAL)]}, {"purchases": blend}, 30)


def test_a_default_that_loses_to_a_naive_row_says_so_and_is_refused():
    found = told(ACTUAL + np.where(np.arange(ROWS) % 2, 1.0, 0.8), ACTUAL + 0.5)
    assert [criterion.passed for criterion in found.gate] == [False]
    assert found.backtest.choices[0].beaten_by == "own_rate"
    assert "own_rate has the smaller rmse" in found.notes[0]


def test_one_large_account_refuses_nothing_but_is_told():
    default = ACTUAL + 0.5
    default[7] += 60.0
    found = told(default, ACTUAL + 0.5)
    assert found.backtest.choices[0].beaten_by == "own_rate"
    assert [criterion.passed for criterion in found.gate] == [True]


def test_the_better_default_passes_and_every_row_can_be_read_again():
    found = told(ACTUAL + 0.1, ACTUAL + 1.0)
    assert found.gate[0].value < 0.2
    assert found.notes == ()
    again = Backtest.from_json(found.backtest.to_json())
    assert again == found.backtest
    assert {row.model for row in again.rows} == {"default", "own_rate", "gru"}
    assert {row.reason for row in again.rows if row.status == "DROPPED"} == {"TOO_FEW_ROWS"}
    assert "purchases.rmse.own_rate" in found.metrics
