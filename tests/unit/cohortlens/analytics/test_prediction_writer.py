"""Group commit: one transaction at a time per tenant, faults stay with those who caused them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from cohortlens.analytics import prediction_writer
from cohortlens.analytics.models import ResourceMissing
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import TenantId, uuid7


class Store:
    """A database that only counts; ``poison`` rows fail their transaction, ``faults`` fail whole ones."""

    def __init__(self):
        self.commits, self.under_way, self.most, self.faults = [], {}, 0, []
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def tenant_transaction(self, tenant_id, generic_plans=False):
        self.under_way[tenant_id] = self.under_way.get(tenant_id, 0) + 1
        self.most = max(self.most, self.under_way[tenant_id])
        staged = []
        try:
            await self.gate.wait()
            if self.faults:
                raise self.faults.pop(0)
            yield staged
            self.commits.append((tenant_id, staged))
        finally:
            self.under_way[tenant_id] -= 1


class Repository:
    def __init__(self, tx):
        self.tx = tx

    async def insert(self, calls):
        rows = [row for call in calls for row in call]
        if "poison" in rows:
            raise ResourceMissing("customers")
        self.tx.extend(rows)


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(prediction_writer, "PredictionsRepository", Repository)
    return Store()


async def started(*tasks):
    made = [asyncio.create_task(task) for task in tasks]
    for _ in range(5):
        await asyncio.sleep(0)
    return made


async def test_what_arrives_during_a_commit_goes_with_the_next_one(store):
    writer, tenant = prediction_writer.PredictionWriter(store), TenantId(uuid7())
    store.gate.clear()
    first = await started(writer.store(tenant, [0]))
    rest = await started(*(writer.store(tenant, [number]) for number in range(1, 5)))
    store.gate.set()
    await asyncio.gather(*first, *rest)
    assert [rows for _, rows in store.commits] == [[0], [1, 2, 3, 4]]
    assert store.most == 1


async def test_tenants_never_share_a_transaction_nor_wait_for_each_other(store):
    writer = prediction_writer.PredictionWriter(store)
    one, two = TenantId(uuid7()), TenantId(uuid7())
    store.gate.clear()
    tasks = await started(writer.store(one, [1]), writer.store(two, [2]))
    assert store.under_way == {one: 1, two: 1}
    store.gate.set()
    await asyncio.gather(*tasks)
    assert sorted((rows for _, rows in store.commits)) == [[1], [2]]


async def test_a_bad_row_fails_its_own_call_and_the_others_are_stored(store):
    writer, tenant = prediction_writer.PredictionWriter(store), TenantId(uuid7())
    store.gate.clear()
    tasks = await started(*(writer.store(tenant, [row]) for row in ("a", "poison", "b", "c")))
    store.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ResourceMissing, type(None), type(None)]
    assert sorted(row for _, rows in store.commits for row in rows) == ["a", "b", "c"]


async def test_a_lost_database_fails_the_calls_and_the_next_one_starts_afresh(store):
    writer, tenant = prediction_writer.PredictionWriter(store), TenantId(uuid7())
    store.faults = [Unavailable("away", reason="DATABASE_UNAVAILABLE")]
    results = await asyncio.gather(*(writer.store(tenant, [row]) for row in "ab"), return_exceptions=True)
    # Not repeated: nobody knows whether the commit took place.
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    await writer.store(tenant, ["kept"])
    assert store.commits == [(tenant, ["kept"])]


async def test_a_caller_that_leaves_does_not_take_the_others_rows_along(store):
    writer, tenant = prediction_writer.PredictionWriter(store), TenantId(uuid7())
    store.gate.clear()
    first, gone, stays = await started(*(writer.store(tenant, [number]) for number in range(3)))
    gone.cancel()
    store.gate.set()
    await asyncio.gather(first, stays)
    assert 2 in [row for _, rows in store.commits for row in rows]
