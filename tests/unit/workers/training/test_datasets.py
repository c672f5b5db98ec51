import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.purchase_days import PurchaseDays, purchase_days
from tests.fixtures.shops import FIRST_DAY, shop, write_snapshot
from workers.training import datasets
from workers.training.datasets import Snapshot, cuts_of, horizons_of, read_snapshot, rows_at, training_rows
from workers.training.faults import TrainingFault

AS_OF = FIRST_DAY + 419
AGE, SINCE, HORIZON = (SCHEMA.index(name) for name in ("age", "since", "horizon"))


def snapshot_of(days: PurchaseDays, as_of: int = AS_OF) -> Snapshot:
    return Snapshot(days.until(as_of), int(days.customer.max()) + 1, int(days.day.min()), as_of)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (120, (30,)),
        (179, (30,)),
        (180, (30, 60)),
        (373, (30, 60, 90)),
        (420, (30, 60, 90, 180)),
        (4000, (30, 60, 90, 180)),
    ],
)
def test_a_horizon_needs_history_to_learn_and_to_judge(history, expected):
    assert horizons_of(history) == expected


@pytest.mark.parametrize("history", [0, 1, 59, 119])
def test_a_short_history_is_refused_with_the_days_needed(history):
    with pytest.raises(TrainingFault, match="at least 120 days") as caught:
        horizons_of(history)
    assert caught.value.reason == "HISTORY_TOO_SHORT"


def test_cuts_end_a_horizon_before_the_end_and_keep_history_behind_them():
    snapshot = snapshot_of(shop())
    for end in (AS_OF, AS_OF - 90):
        for horizon in horizons_of(end - FIRST_DAY):
            cuts = cuts_of(snapshot, end, horizon)
            assert cuts[0] == end - horizon
            assert all(cut >= snapshot.first_day + datasets.FIRST_CUT_DAYS for cut in cuts)
            assert len(cuts) <= 6


def test_targets_count_what_was_bought_within_the_horizon_and_no_more():
    cut = AS_OF - 60
    days = purchase_days(
        [0, 0, 0, 0, 1, 1, 2],
        [cut, cut + 1, cut + 30, cut + 31, cut - 5, cut + 3, cut + 2],
        [1.0, 2.0, 4.0, 8.0, 1.0, -1.0, 9.0],
    )
    short, long = rows_at(days, 3, cut, (30, 31))
    assert short.targets["purchases"].tolist() == [2, 0]  # customer 2 had not bought by the cut
    assert short.targets["spend"].tolist() == [6, 0]
    assert long.targets["spend"].tolist() == [14, 0]
    assert long.features[:, HORIZON].tolist() == [31, 31]


def test_nothing_after_the_end_reaches_a_training_row():
    days, end = shop(), AS_OF - 90
    whole = training_rows(snapshot_of(days), (30, 60), end, np.random.default_rng(0))
    truncated = training_rows(snapshot_of(days.until(end)), (30, 60), end, np.random.default_rng(0))
    assert whole.features.tobytes() == truncated.features.tobytes()
    for target in ("purchases", "spend"):
        assert whole.targets[target].tobytes() == truncated.targets[target].tobytes()
    assert (whole.features[:, SINCE] <= whole.features[:, AGE]).all()


def test_every_training_row_keeps_to_the_schema():
    rows = training_rows(snapshot_of(shop()), (30, 180), AS_OF, np.random.default_rng(0))
    SCHEMA.check(rows.features)
    assert set(rows.features[:, HORIZON].tolist()) == {30, 180}


def test_too_many_customers_are_sampled(monkeypatch):
    monkeypatch.setattr(datasets, "_MAX_ROWS", 300)
    sampled = training_rows(snapshot_of(shop()), (30, 60), AS_OF, np.random.default_rng(0))
    again = training_rows(snapshot_of(shop()), (30, 60), AS_OF, np.random.default_rng(0))
    assert 100 < len(sampled) < 500
    assert sampled.features.tobytes() == again.features.tobytes()


def test_a_snapshot_is_read_up_to_its_day(tmp_path):
    path = write_snapshot(shop(), tmp_path / "snapshot.parquet")
    whole, earlier = read_snapshot(path, AS_OF), read_snapshot(path, AS_OF - 100)
    assert earlier.days.day.max() <= AS_OF - 100 < whole.days.day.max()
    assert whole.history_days == AS_OF - whole.first_day


@pytest.mark.parametrize("content", [b"", b"PAR1", b"customer,day\n1,2\n"])
def test_a_file_that_is_no_snapshot_is_named(tmp_path, content):
    path = tmp_path / "snapshot.parquet"
    path.write_bytes(content)
    with pytest.raises(TrainingFault) as caught:
        read_snapshot(path, AS_OF)
    assert caught.value.reason == "SNAPSHOT_UNREADABLE"


def test_a_snapshot_that_is_gone_is_named(tmp_path):
    with pytest.raises(TrainingFault) as caught:
        read_snapshot(tmp_path / "none.parquet", AS_OF)
    assert caught.value.reason == "SNAPSHOT_UNREADABLE"


@pytest.mark.parametrize("amount", [np.nan, -1.0, np.inf])
def test_a_snapshot_with_impossible_money_is_named(tmp_path, amount):
    days = shop(40)
    days.amount[3] = amount
    with pytest.raises(TrainingFault) as caught:
        read_snapshot(write_snapshot(days, tmp_path / "snapshot.parquet"), AS_OF)
    assert caught.value.reason == "SNAPSHOT_UNREADABLE"


def test_a_snapshot_in_which_nobody_has_bought_is_refused(tmp_path):
    days = purchase_days(range(29), [FIRST_DAY] * 29, [1.0] * 29)
    path = write_snapshot(days, tmp_path / "snapshot.parquet")
    assert read_snapshot(path, AS_OF).buyers == 29
    with pytest.raises(TrainingFault, match="No customer has bought") as caught:
        read_snapshot(path, FIRST_DAY - 1)
    assert caught.value.reason == "TOO_FEW_CUSTOMERS"


@pytest.mark.parametrize(("buyers", "said"), [(1, "1 customer has bought"), (29, "29 customers have bought")])
def test_too_few_buyers_are_counted(buyers, said):
    days = purchase_days(range(buyers), [FIRST_DAY] * buyers, [1.0] * buyers)
    with pytest.raises(TrainingFault, match=f"{said}; at least 30") as caught:
        snapshot_of(days).check_buyers(30)
    assert caught.value.reason == "TOO_FEW_CUSTOMERS"
