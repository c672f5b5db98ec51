"""Files that no model is made for: imported whole or refused by row and reason, and never a NaN in a feature."""

from datetime import timedelta

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from cohortlens.core import clock
from cohortlens.core.errors import FailedPrecondition
from tests.fixtures.hostile_shops import FIRST, SHOPS, Line, csv_of
from tests.fixtures.hostile_shops import shop as lines_of


async def features_of(shop):
    """External ids and vectors of all customers who have any."""
    ids, vectors = [], []
    async for batch in shop.service.all_features(shop.tenant.tenant_id, 500):
        ids += batch.external_ids
        vectors.append(batch.matrix)
    return ids, np.concatenate(vectors) if vectors else np.zeros((0, len(SCHEMA.columns)), np.float32)


@pytest.mark.parametrize("name", list(SHOPS))
async def test_a_hostile_shop_is_imported_whole_and_every_feature_keeps_its_schema(shop, name):
    lines = lines_of(name)
    done = await shop.load(csv_of(lines))
    assert (done.state, done.rows.accepted, done.rows.rejected) == ("SUCCEEDED", len(lines), 0)
    ids, matrix = await features_of(shop)
    SCHEMA.check(matrix)
    buyers = {line.customer for line in lines if not line.amount.startswith("-")}
    assert set(ids) == buyers


async def test_a_customer_with_money_beyond_all_bounds_still_has_finite_features(shop):
    """The largest amount that a row may have, on every day of a decade."""
    lines = [Line(f"o{n}", "giant", FIRST - timedelta(days=n), "99999999999.99") for n in range(3650)]
    done = await shop.load(csv_of(lines))
    assert done.rows.accepted == 3650
    _, matrix = await features_of(shop)
    SCHEMA.check(matrix)


async def test_many_orders_of_one_customer_fold_into_its_days(shop, superuser):
    """30,000 orders on 1,000 days; ``make bench-import`` takes a million of them."""
    lines = [Line(f"o{n}", "one", FIRST + timedelta(days=n % 1000), "1.25") for n in range(30_000)]
    done = await shop.load(csv_of(lines))
    assert (done.rows.accepted, done.new_customers) == (30_000, 1)
    found = await shop.service.get_customer(shop.ctx, "external:one")
    assert (found.purchase_days, found.orders, found.spend_minor) == (1000, 30_000, 3_750_000)
    _, matrix = await features_of(shop)
    SCHEMA.check(matrix)
    assert matrix[0, SCHEMA.index("x")] == 999


async def test_orders_of_the_future_are_refused_by_row_and_the_others_stay(shop):
    today = clock.now().date()
    lines = [Line("o1", "a", FIRST, "5"), Line("o2", "a", today + timedelta(days=400), "5")]
    done = await shop.load(csv_of([*lines, Line("o3", "b", today.replace(year=9999), "5")]))
    assert (done.rows.accepted, done.rows.rejected) == (1, 2)
    page = await shop.service.list_import_faults(shop.ctx, done.import_id, 9, "")
    assert [fault.reason for fault in page.items] == ["DATE_FUTURE", "DATE_FUTURE"]
    ids, matrix = await features_of(shop)
    assert (ids, matrix[0, SCHEMA.index("age")]) == (["a"], 0)


async def test_a_file_of_future_orders_alone_leaves_nothing_to_train_on(shop):
    done = await shop.load(csv_of([Line("o1", "a", clock.now().date() + timedelta(days=30), "5")]))
    assert (done.rows.accepted, done.rows.rejected) == (0, 1)
    with pytest.raises(FailedPrecondition) as caught:
        await shop.service.training_snapshot(shop.tenant.tenant_id)
    assert caught.value.reason == "DATA_MISSING"


async def test_the_same_order_twice_in_a_file_is_one_order_of_two_lines(shop):
    """Rows of one order are its lines: whoever repeats a row buys twice as much, not twice as often."""
    line = Line("o1", "a", FIRST, "5")
    await shop.load(csv_of([line, line, Line("o2", "a", FIRST + timedelta(days=9), "7")]))
    found = await shop.service.get_customer(shop.ctx, "external:a")
    assert (found.purchase_days, found.orders, found.spend_minor) == (2, 2, 1700)


async def test_one_order_of_two_customers_is_an_order_of_each(shop):
    await shop.load(csv_of([Line("o1", "a", FIRST, "5"), Line("o1", "b", FIRST, "7")]))
    ids, matrix = await features_of(shop)
    assert sorted(zip(ids, matrix[:, SCHEMA.index("sum")].tolist(), strict=True)) == [("a", 5.0), ("b", 7.0)]


async def test_a_second_currency_in_a_file_is_refused_by_row(shop):
    lines = [
        Line("o1", "a", FIRST, "5", "USD"),
        Line("o2", "a", FIRST + timedelta(days=3), "700", "JPY"),
        Line("o3", "b", FIRST, "9", "usd"),
        Line("o4", "b", FIRST, "9", "money"),
    ]
    done = await shop.load(csv_of(lines))
    assert (done.rows.accepted, done.rows.rejected) == (2, 2)
    page = await shop.service.list_import_faults(shop.ctx, done.import_id, 9, "")
    assert {fault.reason for fault in page.items} <= {"CURRENCY_MISMATCH", "CURRENCY_INVALID"}
    found = await shop.service.get_customer(shop.ctx, "external:a")
    assert (found.spend_minor, found.currency) == (500, "USD")
