"""Cohorts, survival and retention from imported rows in PostgreSQL, asked as the role that serves requests."""

import json
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest

from cohortlens.analytics.cohorts.matrix import Align
from cohortlens.analytics.cohorts.models import (
    OTHERS,
    ApplyTo,
    CohortBy,
    CohortQuery,
    Criterion,
    Filter,
    Measure,
    Population,
)
from cohortlens.analytics.cohorts.periods import day_number
from cohortlens.analytics.cohorts.service import CohortsService, PopulationReader
from cohortlens.analytics.models import RunNotPublished
from cohortlens.analytics.survival.models import RetentionQuery, SurvivalEvent, SurvivalQuery
from cohortlens.analytics.survival.service import SurvivalService
from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import ImportOptions
from cohortlens.customers.service import CustomersService
from tests.fixtures.public_data import public_data

HEADER = "customer,ts,amount,order_id,sku,country\n"
ROWS = """\
a,2026-01-05T10:00:00Z,10.00,o1,tea,ES
a,2026-01-05T10:00:00Z,5.00,o1,cup,ES
a,2026-02-10T10:00:00Z,7.00,o2,tea,ES
b,2026-01-31T23:30:00Z,20.00,o3,cup,DE
b,2026-03-02T08:00:00Z,30.00,o4,tea,DE
c,2026-02-11T10:00:00Z,8.00,o5,tea,ES
c,2026-02-11T11:00:00Z,-8.00,o6,tea,ES
d,2026-02-12T10:00:00Z,-3.00,o7,cup,
c,2026-03-31T10:00:00Z,2.50,o8,cup,ES
"""


class Shop:
    def __init__(self, tenant, customers, runtime):
        self.tenant, self.customers = tenant, customers
        reader = PopulationReader(runtime)
        self.cohorts, self.lives = CohortsService(reader), SurvivalService(reader)

    @property
    def ctx(self):
        return self.tenant.context()

    async def load(self, text):
        async def pieces():
            yield text.encode() if isinstance(text, str) else text

        stored = await self.customers.start_import(self.ctx, ImportOptions(), pieces())
        await self.customers.run_import(self.tenant.tenant_id, stored.import_id)
        done = await self.customers.get_import(self.ctx, stored.import_id)
        assert not done.error_reason, done.error_message

    async def ask(self, by=CohortBy.MONTH, chosen=None, *, zone="", attribute="", **question):
        population = Population(by, attribute, zone, chosen or Filter())
        return await self.cohorts.query(self.ctx, CohortQuery(population, **question))


def cells(table):
    """Values by cohort, None where nothing is known."""
    return {
        key: [None if np.isnan(value) else value for value in row]
        for key, row in zip(table.keys, table.values.tolist(), strict=True)
    }


@pytest.fixture
def shops(database, runtime, tenants, tmp_path):
    customers = CustomersService(database, tmp_path / "spool", PageTokens(b"k" * 32), TenantKeys(b"k" * 32))
    return [Shop(tenant, customers, runtime) for tenant in tenants]


@pytest.fixture
async def shop(shops):
    await shops[0].load(HEADER + ROWS)
    return shops[0]


async def test_before_the_first_import_the_matrix_is_empty(shops):
    table = await shops[0].ask()

    assert (table.keys, table.values.shape, table.data.as_of) == ((), (0, 0), "")
    assert (await shops[0].lives.survival(shops[0].ctx, SurvivalQuery(Population(CohortBy.ALL)))).curves == ()
    retained = await shops[0].lives.retention(shops[0].ctx, RetentionQuery(Population(CohortBy.ALL)))
    assert retained.projections == ()


async def test_lines_of_one_reference_are_one_order_and_what_is_given_back_is_none(shop):
    customers = await shop.ask()
    orders = await shop.ask(measure=Measure.ORDERS)
    revenue = await shop.ask(measure=Measure.REVENUE)
    value = await shop.ask(measure=Measure.LTV_PER_CUSTOMER)

    assert customers.sizes.tolist() == [2, 1]
    assert cells(customers) == {"2026-01": [2, 1, 1], "2026-02": [1, 1, None]}
    assert cells(orders) == {"2026-01": [2, 1, 1], "2026-02": [1, 1, None]}
    assert cells(revenue) == {"2026-01": [35.0, 7.0, 30.0], "2026-02": [8.0, 2.5, None]}
    assert cells(value) == {"2026-01": [17.5, 21.0, 36.0], "2026-02": [8.0, 10.5, None]}
    # All cohorts together: by the three customers of period 1, and by the two who are seen in period 2.
    assert customers.total[0].tolist() == [3, 2, 1]
    assert customers.total[1].tolist() == pytest.approx([1, 2 / 3, 1 / 2])
    assert value.total[1].tolist() == pytest.approx([43 / 3, (2 * 21 + 10.5) / 3, 36])
    assert (customers.data.currency, customers.data.as_of) == ("USD", "2026-03-31")


async def test_the_calendar_is_that_of_the_time_zone(shop):
    # 23:30 in UTC is the next day in Madrid, which is the next month.
    table = await shop.ask(zone="Europe/Madrid")

    assert dict(zip(table.keys, table.sizes.tolist(), strict=True)) == {"2026-01": 1, "2026-02": 2}


async def test_reversed_sales_are_taken_out_on_request_only(shop):
    table = await shop.ask(chosen=Filter(net=True))

    assert dict(zip(table.keys, table.sizes.tolist(), strict=True)) == {"2026-01": 2, "2026-03": 1}


async def test_filters_choose_customers_and_orders(shop):
    spain = await shop.ask(chosen=Filter(countries=("ES",)))
    large = await shop.ask(chosen=Filter(min_amount=7.0, max_amount=25.0), measure=Measure.REVENUE)
    begun = await shop.ask(
        chosen=Filter(min_amount=7.5, apply_to=ApplyTo.DEFINITION), measure=Measure.REVENUE
    )
    late = await shop.ask(chosen=Filter(first_from=day_number("2026-02-01", "")))

    assert cells(spain) == {"2026-01": [1, 1, 0], "2026-02": [1, 1, None]}
    assert cells(large) == {"2026-01": [35.0, 7.0, 0.0], "2026-02": [8.0, 0.0, None]}
    assert cells(begun) == {"2026-01": [35.0, 7.0, 30.0], "2026-02": [8.0, 2.5, None]}
    assert late.keys == ("2026-02",)


async def test_an_item_makes_orders_of_its_own_lines(shop):
    returns = await shop.ask(chosen=Filter(skus=("tea",)), measure=Measure.REVENUE)
    definition = await shop.ask(
        chosen=Filter(skus=("tea",), apply_to=ApplyTo.DEFINITION), measure=Measure.REVENUE
    )
    unknown = await shop.ask(chosen=Filter(skus=("coffee",)))

    assert cells(returns) == {"2026-01": [10.0, 7.0, 30.0], "2026-02": [8.0, 0.0, None]}
    assert cells(definition) == {
        "2026-01": [15.0, 7.0, 0.0],
        "2026-02": [8.0, 2.5, None],
        "2026-03": [30.0, None, None],
    }
    assert cells(unknown) == {"2026-01": [0, 0, 0], "2026-02": [0, 0, None]}


async def test_groups_hold_the_members_whose_period_is_over(shop):
    table = await shop.ask(CohortBy.COUNTRY, criterion=Criterion.ON_OR_AFTER)
    items = await shop.ask(CohortBy.FIRST_SKU)

    assert dict(zip(table.keys, table.sizes.tolist(), strict=True)) == {"ES": 2, "DE": 1}
    assert cells(table)["ES"] == [2, 2, 0]
    assert table.observed.tolist() == [[2, 2, 1], [1, 1, 1]]
    # At one moment the item with the larger amount was bought first.
    assert dict(zip(items.keys, items.sizes.tolist(), strict=True)) == {"tea": 2, "cup": 1}


async def test_attributes_group_and_filter_as_they_stand_now(shop, superuser):
    put = "UPDATE customers SET attributes = $2 WHERE external_id = $1"
    await superuser.execute(put, "a", json.dumps({"tier": "gold"}))
    first = await shop.ask(CohortBy.ATTRIBUTE, attribute="tier")
    await superuser.execute(put, "b", json.dumps({"tier": "gold"}))
    second = await shop.ask(CohortBy.ATTRIBUTE, attribute="tier")
    gold = await shop.ask(chosen=Filter(attribute="tier", attribute_values=("gold",)))

    assert dict(zip(first.keys, first.sizes.tolist(), strict=True)) == {"": 2, "gold": 1}
    assert dict(zip(second.keys, second.sizes.tolist(), strict=True)) == {"gold": 2, "": 1}
    assert gold.keys == ("2026-01",)


async def test_segments_need_a_published_run(shop):
    with pytest.raises(RunNotPublished):
        await shop.ask(CohortBy.SEGMENT)
    with pytest.raises(RunNotPublished):
        await shop.ask(chosen=Filter(segments=("loyal",)))


async def test_small_groups_behind_the_largest_make_up_one(shops):
    rows = [f"c{n},2026-01-05,1,r{n},,land {n // 2 if n < 20 else n}\n" for n in range(130)]
    await shops[0].load(HEADER + "".join(rows))

    table = await shops[0].ask(CohortBy.COUNTRY)

    assert len(table.keys) == 101
    assert table.sizes.tolist() == [2] * 10 + [1] * 90 + [20]
    assert table.keys[-1] == OTHERS


async def test_an_import_and_an_erasure_change_the_next_answer(shop):
    before = await shop.ask()
    assert (await shop.ask()).sizes.tolist() == before.sizes.tolist()

    await shop.load(HEADER + "e,2026-01-09T10:00:00Z,4,o9,tea,ES\n")
    added = await shop.ask()
    await shop.customers.delete_customer(shop.ctx, "external:a")
    erased = await shop.ask()

    assert [one.sizes.tolist() for one in (before, added, erased)] == [[2, 1], [3, 1], [2, 1]]
    assert cells(erased)["2026-01"] == [2, 0, 1]


async def test_histories_follow_rows_that_come_late_and_again(shop, superuser):
    await shop.load(HEADER + "a,2025-12-24T10:00:00Z,9,o0,pot,ES\na,2026-02-10T10:00:00Z,1.5,o2,pot,ES\n")
    await shop.load(HEADER + ROWS)

    revenue = await shop.ask(measure=Measure.REVENUE)

    assert cells(revenue)["2025-12"] == [9.0, 15.0, 8.5, 0.0]
    assert await superuser.fetchval(
        "SELECT first_sku FROM order_histories h JOIN customers c ON c.id = h.customer_id WHERE c.external_id = 'a'"
    ) == "pot"  # fmt: skip


async def test_another_tenant_sees_none_of_it(shop, shops):
    await shops[1].load(HEADER + "z,2026-01-05T10:00:00Z,1,o1,tea,ES\n")

    assert (await shops[1].ask()).sizes.tolist() == [1]
    assert (await shop.ask()).sizes.tolist() == [2, 1]


async def test_who_orders_again_is_counted_until_the_order_or_the_end_of_the_data(shop):
    query = SurvivalQuery(Population(CohortBy.ALL), SurvivalEvent.ORDER)
    (curve,) = (await shop.lives.survival(shop.ctx, query)).curves

    # Three customers came back after 30, 36 and 48 days.
    assert (curve.size, curve.events) == (3, 3)
    assert curve.curve.days.tolist() == [30, 36, 48]
    assert curve.curve.survival.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert curve.curve.median == 36


async def test_a_silence_begins_with_the_order_before_it(shop):
    query = SurvivalQuery(Population(CohortBy.ALL), gap_days=35)
    answer = await shop.lives.survival(shop.ctx, query)
    (curve,) = answer.curves

    # a: silent from day 0 on (36 days until the next order); b: 30 days, then 29 that are no silence yet;
    # c: silent from day 0 on.
    assert answer.gap_days == 35
    assert (curve.curve.days.tolist(), curve.curve.at_risk.tolist()) == ([0], [3])
    assert curve.curve.survival.tolist() == pytest.approx([1 / 3])


async def test_published_cohorts_come_from_the_database_too(shops):
    await shops[0].load(public_data("cdnow_sample.csv.gz").read_bytes())

    on = await shops[0].ask()
    rolling = await shops[0].ask(align=Align.ROLLING, criterion=Criterion.ON_OR_AFTER)

    assert on.sizes.tolist() == [777, 854, 718]
    assert on.values[0, :6].tolist() == [777, 124, 95, 70, 65, 77]
    assert rolling.values[0, :4].tolist() == [777, 342, 307, 289]
    assert np.isnan(on.values[2, 16:]).all()


async def test_retention_of_the_published_data_falls_and_is_projected(shops):
    await shops[0].load(public_data("cdnow_sample.csv.gz").read_bytes())
    query = RetentionQuery(Population(CohortBy.MONTH), periods=30)
    answer = await shops[0].lives.retention(shops[0].ctx, query)
    again = await shops[0].lives.retention(shops[0].ctx, query)

    assert [one.size for one in answer.projections] == [777, 854, 718]
    for one, same in zip(answer.projections, again.projections, strict=True):
        seen = ~np.isnan(one.observed)
        assert seen[0]
        assert not seen[-1]
        assert (np.diff(one.projected) <= 0).all()
        assert (one.lower <= one.projected).all()
        assert (one.projected <= one.upper).all()
        assert np.array_equal(one.lower, same.lower)


async def test_histories_of_data_stored_before_are_made_by_the_migration(shop, superuser, postgres_urls):
    from cohortlens.migrations.versions import __path__ as versions

    before = await superuser.fetch("SELECT * FROM order_histories ORDER BY customer_id")
    standing = await superuser.fetch("SELECT last_order_at, orders FROM customer_data")
    stored = _module(versions[0] + "/0027_cohorts.py")._STORED
    await superuser.execute("DELETE FROM order_histories")
    await superuser.execute("UPDATE customer_data SET last_order_at = NULL, orders = 0")

    # As the owner, who is held to row-level security unless the script lifts it.
    owner = await asyncpg.connect(postgres_urls.admin)
    try:
        await owner.execute(stored)
    finally:
        await owner.close()

    assert await superuser.fetch("SELECT * FROM order_histories ORDER BY customer_id") == before
    assert await superuser.fetch("SELECT last_order_at, orders FROM customer_data") == standing
    assert standing[0]["last_order_at"] == datetime(2026, 3, 31, 10, tzinfo=UTC)
    forced = "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname = ANY ($1)"
    assert await superuser.fetchval(forced, ["transactions", "order_histories", "customer_data"])


def _module(path):
    import importlib.util

    spec = importlib.util.spec_from_file_location("cohorts_revision", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
