"""The outbox: only what was committed, in order of a key, back when a worker dies, dead after enough failures."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from sqlalchemy import text

from cohortlens.core import outbox
from cohortlens.core.outbox import Outbox, Wanted
from tests.fixtures.waiting import eventually

TOPICS = ["import.requested", "training.requested"]


async def _record(database, tenant, key="a", topic="import.requested", **payload):
    async with database.tenant_transaction(tenant.tenant_id) as tx:
        return await Outbox(tx).record(topic, key, payload)


async def _claim(database, worker="w1", limit=10, **options):
    return await outbox.claim(database, worker, [Wanted(topic, limit, **options) for topic in TOPICS])


async def test_an_event_is_handed_out_once_with_its_tenant_and_payload(database, tenants):
    event_id = await _record(database, tenants[1], import_id="7")
    [event] = await _claim(database)
    assert (event.id, event.tenant_id, event.payload) == (event_id, tenants[1].tenant_id, {"import_id": "7"})
    assert (event.topic, event.key, event.attempts) == ("import.requested", "a", 1)
    assert await _claim(database, "w2") == []
    assert await outbox.settle(database, event)
    assert await _claim(database) == []


async def test_a_rolled_back_event_never_appears(database, tenants):
    async def fail():
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            await Outbox(tx).record("import.requested", "a", {})
            raise ValueError("halt")

    with pytest.raises(ValueError, match="halt"):
        await fail()
    assert await _claim(database) == []


async def test_an_open_transaction_holds_up_nobody_and_its_event_comes_in_the_order_of_commits(
    database, tenants
):
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        late = await Outbox(tx).record("import.requested", "a", {})
        first = await _record(database, tenants[0], key="a")
        third = await _record(database, tenants[0], key="a")
        elsewhere = await _record(database, tenants[1], key="a")
        claimed = {event.id: event for event in await _claim(database)}
        assert set(claimed) == {first, elsewhere}
    assert await outbox.settle(database, claimed[first])
    for expected in (third, late):
        [event] = await _claim(database)
        assert event.id == expected
        assert await outbox.settle(database, event)


async def test_events_of_one_transaction_keep_the_order_in_which_they_were_recorded(database, tenants):
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        ids = [await Outbox(tx).record("import.requested", "a", {}) for _ in range(50)]
    seen = []
    while claimed := await _claim(database):
        seen += [event.id for event in claimed]
        assert await outbox.settle(database, claimed[0])
    assert seen == ids


async def test_transactions_that_record_the_same_keys_in_opposite_order_both_commit(database, tenants):
    async def both(keys):
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            for key in keys:
                await Outbox(tx).record("import.requested", key, {})

    for _ in range(20):
        await asyncio.gather(both("abcdef"), both("fedcba"), both("cfbead"))
    assert len({event.key for event in await _claim(database, limit=100)}) == 6


async def test_an_event_whose_savepoint_is_rolled_back_never_appears(database, tenants):
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        kept = await Outbox(tx).record("import.requested", "a", {})
        await tx.execute(text("SAVEPOINT half"))
        await Outbox(tx).record("import.requested", "a", {})
        await Outbox(tx).record("import.requested", "b", {})
        await tx.execute(text("ROLLBACK TO half"))
    [event] = await _claim(database)
    assert event.id == kept
    assert await outbox.settle(database, event)
    assert await _claim(database) == []


async def test_topics_without_a_handler_here_are_left_alone(database, tenants):
    await _record(database, tenants[0], topic="web3.requested")
    assert await _claim(database) == []


async def test_events_of_one_key_run_one_after_another_and_other_keys_beside_them(database, tenants):
    ids = [await _record(database, tenants[0], key="a") for _ in range(3)]
    other = await _record(database, tenants[0], key="b")
    same_key_elsewhere = await _record(database, tenants[1], key="a")
    claimed = await _claim(database)
    assert {event.id for event in claimed} == {ids[0], other, same_key_elsewhere}
    [first] = [event for event in claimed if event.id == ids[0]]
    assert await outbox.settle(database, first)
    assert [event.id for event in await _claim(database)] == [ids[1]]


async def test_events_of_a_worker_that_died_return_and_its_late_answer_is_void(database, tenants, superuser):
    await _record(database, tenants[0])
    [lost] = await _claim(database, "dead", lease_s=0.05)
    again = await eventually(lambda: _claim(database, "alive"))
    assert again[0].attempts == 2
    assert not await outbox.settle(database, lost)
    assert not await outbox.fail(database, lost, "late")
    assert not await outbox.extend(database, lost)
    assert await outbox.extend(database, again[0], lease_s=60)
    assert await outbox.settle(database, again[0])


async def test_a_failed_event_comes_back_later_and_blocks_only_its_key(database, tenants, superuser):
    await _record(database, tenants[0], key="a")
    await _record(database, tenants[0], key="a")
    [event] = await _claim(database)
    assert await outbox.fail(database, event, "no disk", retry_in_s=60)
    other = await _record(database, tenants[0], key="b")
    assert [it.id for it in await _claim(database)] == [other]
    await superuser.execute("UPDATE outbox_keys SET due_at = clock_timestamp() WHERE key = 'a'")
    [again] = await _claim(database)
    assert (again.id, again.attempts) == (event.id, 2)
    assert await superuser.fetchval("SELECT last_error FROM outbox WHERE id = $1", event.id) == "no disk"


@pytest.mark.parametrize("final", [True, False])
async def test_a_dead_event_stays_for_the_operator_and_frees_its_key(database, tenants, superuser, final):
    first, second = [await _record(database, tenants[0], key="a") for _ in range(2)]
    [event] = await _claim(database)
    if not final:
        event = dataclasses.replace(event, attempts=20)
    assert await outbox.fail(database, event, "x" * 5000, final=final)
    row = await superuser.fetchrow("SELECT * FROM outbox WHERE id = $1", first)
    assert row["dead_at"] is not None
    assert len(row["last_error"]) == 2000
    assert [it.id for it in await _claim(database)] == [second]


async def test_an_event_that_kills_its_worker_each_time_dies_too(database, tenants, superuser):
    await _record(database, tenants[0])
    await _claim(database)
    await superuser.execute(
        "UPDATE outbox_keys SET attempts = 20, due_at = clock_timestamp() - interval '1 s'"
    )
    [said] = await _claim(database)
    assert said.attempts == 21
    second = await _record(database, tenants[0])
    await superuser.execute(
        "UPDATE outbox_keys SET attempts = 25, due_at = clock_timestamp() - interval '1 s'"
    )
    assert await _claim(database) == []
    assert await superuser.fetchval("SELECT dead_at IS NOT NULL FROM outbox WHERE id = $1", said.id)
    assert [event.id for event in await _claim(database)] == [second]


async def test_many_workers_take_each_event_once(database, tenants):
    recorded = {await _record(database, tenants[index % 2], key=f"k{index}") for index in range(40)}
    batches = await asyncio.gather(*(_claim(database, f"w{worker}", 7) for worker in range(8)))
    taken = [event.id for batch in batches for event in batch]
    assert len(taken) == len(set(taken))
    taken += [event.id for event in await _claim(database, "rest", 100)]
    assert set(taken) == recorded
    assert len(taken) == len(recorded)


async def test_back_off_doubles_up_to_an_hour():
    assert 1.5 <= outbox.back_off_s(1) <= 2
    assert 24 <= outbox.back_off_s(5) <= 32
    assert 2700 <= outbox.back_off_s(19) <= 3600


async def test_settled_events_are_purged_and_dead_and_open_ones_stay(database, tenants, superuser):
    for key in ("done", "dead", "open"):
        await _record(database, tenants[0], key=key)
    claimed = {event.key: event for event in await _claim(database)}
    await outbox.settle(database, claimed["done"])
    await outbox.fail(database, claimed["dead"], "x", final=True)
    assert await outbox.purge(database) == 0
    assert await outbox.purge(database, keep_s=0) == 1
    assert {row["key"] for row in await superuser.fetch("SELECT key FROM outbox")} == {"dead", "open"}


async def test_an_event_needs_a_tenant(database):
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError):
        async with database.transaction() as tx:
            await Outbox(tx).record("import.requested", "a", {})
    async with database.transaction() as tx:
        assert await tx.scalar(text("SELECT count(*) FROM outbox")) == 0
