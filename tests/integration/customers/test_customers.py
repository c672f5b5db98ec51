from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import FailedPrecondition, InvalidArgument
from cohortlens.customers import features as feature_store
from cohortlens.customers.models import CustomerNotFound

ROWS = ("a,2024-01-01,10", "a,2024-01-09,20.50", "b,2024-01-02,5", "c,2024-01-03,7", "d,2024-01-09,-3")


@pytest.fixture
async def stocked(shop, csv):
    await shop.load(csv(*ROWS))
    return shop


async def ids(shop, *names):
    found = await shop.service.resolve(shop.ctx, [f"external:{name}" for name in names])
    return [customer for customer, _ in found]


async def test_customers_are_listed_by_external_id_with_their_number(shop, csv):
    names = ["é", "Z", "a" * 200, "b", "ü" * 200]
    await shop.load(csv(*(f"{name},2024-01-01,1" for name in names)))
    listed, token = [], ""
    while True:
        page = await shop.service.list_customers(shop.ctx, 1, token)
        assert len(token) <= 512
        assert page.total_size == 5
        listed += [customer.external_id for customer in page.items]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(names, key=lambda name: name.encode())


async def test_a_list_goes_on_after_its_last_customer_was_erased(stocked):
    page = await stocked.service.list_customers(stocked.ctx, 2, "")
    await stocked.service.delete_customer(stocked.ctx, "external:b")
    following = await stocked.service.list_customers(stocked.ctx, 2, page.next_page_token)
    assert [customer.external_id for customer in following.items] == ["c", "d"]


async def test_a_customer_is_found_by_id_and_by_external_id(stocked):
    (customer,) = await ids(stocked, "a")
    assert await stocked.service.get_customer(
        stocked.ctx, str(customer)
    ) == await stocked.service.get_customer(stocked.ctx, "external:a")


async def test_a_foreign_customer_answers_exactly_like_a_missing_one(stocked, other_shop, csv):
    await other_shop.load(csv("only-theirs,2024-01-01,1"))
    (foreign,) = await ids(other_shop, "only-theirs")
    service, faults = stocked.service, []
    for name in (str(foreign), str(uuid4()), "external:only-theirs", "external:nobody", "external:a\0"):
        for call in (service.get_customer, service.delete_customer):
            with pytest.raises(CustomerNotFound) as caught:
                await call(stocked.ctx, name)
            faults.append((caught.value.message, caught.value.violations, caught.value.metadata))
    assert all(fault == faults[0] for fault in faults)
    assert (await service.get_customer(other_shop.ctx, str(foreign))).external_id == "only-theirs"


async def test_resolve_names_the_field_of_the_first_that_is_missing(stocked):
    with pytest.raises(CustomerNotFound) as caught:
        await stocked.service.resolve(stocked.ctx, ["external:a", str(uuid4()), "external:nobody"])
    assert caught.value.violations[0].field == "customers[1]"
    with pytest.raises(InvalidArgument) as malformed:
        await stocked.service.resolve(stocked.ctx, ["17"], ["customer"])
    assert malformed.value.violations[0].field == "customer"


async def test_an_erased_customer_takes_every_row_along(stocked, superuser):
    (customer,) = await ids(stocked, "a")
    await stocked.service.delete_customer(stocked.ctx, str(customer))
    for table in ("transactions", "purchase_days", "customer_features"):
        assert await superuser.fetchval(f"SELECT count(*) FROM {table} WHERE customer_id = $1", customer) == 0
    with pytest.raises(CustomerNotFound):
        await stocked.service.get_customer(stocked.ctx, "external:a")
    assert (await stocked.service.get_customer(stocked.ctx, "external:b")).spend_minor == 500


async def test_features_come_in_the_order_asked_for(stocked):
    c, a = await ids(stocked, "c", "a")
    rows = await stocked.service.features(stocked.ctx, [c, a, c])
    assert rows.external_ids == ("c", "a", "c")
    assert (rows.matrix.dtype, rows.matrix.shape) == (np.float32, (3, len(SCHEMA.columns)))
    assert rows.matrix[:, SCHEMA.index("sum")].tolist() == [7.0, 30.5, 7.0]
    assert rows.matrix[:, SCHEMA.index("since")].tolist() == [6.0, 0.0, 6.0]
    assert rows.matrix[:, SCHEMA.index("horizon")].tolist() == [0.0, 0.0, 0.0]
    assert (str(rows.as_of), rows.data_revision, rows.schema_hash) == ("2024-01-09", 1, SCHEMA.hash)
    SCHEMA.check(rows.matrix)


async def test_a_customer_who_never_bought_has_no_features_and_a_foreign_one_is_missing(
    stocked, other_shop, csv
):
    a, d = await ids(stocked, "a", "d")
    with pytest.raises(FailedPrecondition) as caught:
        await stocked.service.features(stocked.ctx, [a, d])
    assert caught.value.reason == "FEATURES_MISSING"
    assert "customers[1]" in caught.value.message
    with pytest.raises(CustomerNotFound):
        await other_shop.service.features(other_shop.ctx, [a])


async def test_features_of_an_older_schema_are_made_again_when_read(stocked, superuser):
    (a,) = await ids(stocked, "a")
    expected = await stocked.service.features(stocked.ctx, [a])
    await superuser.execute("UPDATE customer_features SET schema_hash = repeat('0', 64), vector = '\\x00'")
    found = await stocked.service.features(stocked.ctx, [a])
    assert found.schema_hash == SCHEMA.hash
    assert np.array_equal(found.matrix, expected.matrix, equal_nan=True)


async def test_the_training_snapshot_holds_purchase_days_and_no_identifier(stocked):
    taken = await stocked.service.training_snapshot(stocked.tenant.tenant_id)
    table, as_of, currency = taken.table, taken.as_of, taken.currency
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "customer": "int32",
        "day": "int32",
        "amount": "double",
        "orders": "int32",
        "items": "double",
        "skus": "int32",
        "lines": "int32",
        "returns": "double",
        "known": "int32",
    }
    assert (str(as_of), currency) == ("2024-01-09", "USD")
    assert sum(table["amount"].to_pylist()) == 42.5
    assert sum(table["returns"].to_pylist()) == 3.0


async def test_the_training_snapshot_depends_on_the_data_and_not_on_the_order_of_its_rows(
    stocked, other_shop, csv
):
    await other_shop.load(csv(*reversed(ROWS)))
    first, second = [
        (await one.service.training_snapshot(one.tenant.tenant_id)).table for one in (stocked, other_shop)
    ]
    for name in first.column_names:
        assert np.array_equal(first[name].to_numpy(), second[name].to_numpy(), equal_nan=True), name


async def test_a_large_training_snapshot_is_not_ended_by_the_limit_of_a_request(shop, csv, monkeypatch):
    await shop.load(csv("a,2024-01-01,10"))
    read, limits = feature_store.tenant_days, []

    async def watched(tx, currency, activity):
        limits.append(await tx.scalar(text("SELECT current_setting('statement_timeout')")))
        return await read(tx, currency, activity)

    monkeypatch.setattr(feature_store, "tenant_days", watched)
    table = (await shop.service.training_snapshot(shop.tenant.tenant_id)).table
    assert table.num_rows == 1
    assert limits == ["20min"]


async def test_a_tenant_without_data_has_nothing_to_train_on(other_shop):
    with pytest.raises(FailedPrecondition) as caught:
        await other_shop.service.training_snapshot(other_shop.tenant.tenant_id)
    assert caught.value.reason == "DATA_MISSING"
