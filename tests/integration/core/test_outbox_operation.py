"""What an operator sees of the outbox and does with it: dead events, retries in order, discards."""

from __future__ import annotations

import pytest

from cohortlens.core import outbox, outbox_operation
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Outbox, Wanted

TOPIC = "a.happened"


@pytest.fixture
def record(database, tenants):
    async def write(key="a", topic=TOPIC):
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            return await Outbox(tx).record(topic, key, {"n": "7"})

    return write


async def _claim(database):
    return await outbox.claim(database, "w", [Wanted(TOPIC, 10)])


async def _die(database, error="cannot be done"):
    [event] = await _claim(database)
    assert await outbox.fail(database, event, error, final=True)
    return event.id


async def _drained(database):
    seen = []
    while claimed := await _claim(database):
        seen += [event.id for event in claimed]
        for event in claimed:
            assert await outbox.settle(database, event)
    return seen


async def test_a_dead_event_is_listed_with_its_error_and_what_waits_behind_it(database, record):
    dead = await record()
    await _die(database)
    waiting = [await record(), await record()]
    [seen] = await outbox_operation.seen(database, "DEAD", "", 10)
    assert (seen.id, seen.state, seen.last_error, seen.behind) == (dead, "DEAD", "cannot be done", 2)
    assert (seen.attempts, seen.payload, seen.key) == (1, {"n": "7"}, "a")
    opened = await outbox_operation.seen(database, "OPEN", TOPIC, 10)
    assert [(one.id, one.state) for one in opened] == [(waiting[0], "WAITING"), (waiting[1], "WAITING")]
    assert await outbox_operation.seen(database, "DEAD", "other.happened", 10) == []
    [figures] = await outbox_operation.figures(database)
    assert (figures.topic, figures.open, figures.dead) == (TOPIC, 2, 1)


async def test_states_follow_the_life_of_an_event(database, record):
    event_id = await record()

    async def state():
        return (await outbox_operation.find(database, event_id)).state

    assert await state() == "WAITING"
    [event] = await _claim(database)
    assert await state() == "RUNNING"
    await outbox.fail(database, event, "later", retry_in_s=60)
    assert await state() == "RETRYING"
    assert await outbox_operation.retry(database, [event_id]) == [event_id]
    [event] = await _claim(database)
    await outbox.settle(database, event)
    assert await state() == "DONE"
    assert await outbox_operation.retry(database, [event_id]) == []
    assert await outbox_operation.discard(database, [event_id]) == []


async def test_dead_events_that_are_retried_go_before_what_waits_in_the_order_of_their_places(
    database, record
):
    first, second = await record(), await record()
    assert [await _die(database), await _die(database)] == [first, second]
    third, fourth = await record(), await record()
    assert await outbox_operation.retry(database, [second, first]) == [second, first]
    assert await _drained(database) == [first, second, third, fourth]


async def test_a_retry_beside_an_event_that_runs_waits_for_its_end(database, record):
    dead = await record()
    await _die(database)
    running, waiting = await record(), await record()
    [event] = await _claim(database)
    assert event.id == running
    assert await outbox_operation.retry(database, [dead]) == [dead]
    assert await _claim(database) == []
    assert await outbox.settle(database, event)
    assert await _drained(database) == [dead, waiting]


async def test_a_dead_event_whose_key_is_empty_comes_back_with_all_its_attempts(database, record):
    dead = await record()
    await _die(database)
    assert await outbox_operation.retry_dead(database) == [dead]
    [event] = await _claim(database)
    assert (event.id, event.attempts) == (dead, 1)


async def test_only_the_dead_of_a_topic_are_retried(database, record):
    dead = await record()
    await _die(database)
    assert await outbox_operation.retry_dead(database, "other.happened") == []
    assert await outbox_operation.retry_dead(database, TOPIC) == [dead]


async def test_discarding_a_poisoned_event_lets_its_key_go_on(database, record):
    poisoned, next_one = await record(), await record()
    [event] = await _claim(database)
    assert await outbox_operation.discard(database, [poisoned]) == []
    await outbox.fail(database, event, "poison", retry_in_s=3600)
    assert await outbox_operation.discard(database, [poisoned]) == [poisoned]
    assert await _drained(database) == [next_one]
    assert (await outbox_operation.find(database, poisoned)).state == "DISCARDED"
    assert await outbox_operation.retry(database, [poisoned]) == []


async def test_discarding_one_that_waits_behind_others_takes_only_it(database, record):
    first, second, third = [await record() for _ in range(3)]
    assert await outbox_operation.discard(database, [second]) == [second]
    assert await _drained(database) == [first, third]


async def test_a_discarded_dead_event_is_no_longer_counted_and_is_purged_in_time(database, record):
    dead = await record()
    await _die(database)
    assert await outbox_operation.discard(database, [dead]) == [dead]
    assert await outbox_operation.figures(database) == []
    assert await outbox.purge(database, keep_s=0) == 1


async def test_an_unknown_event_is_nobodys(database, tenants):
    assert await outbox_operation.find(database, uuid7()) is None
    assert await outbox_operation.retry(database, [uuid7()]) == []
    assert await outbox_operation.discard(database, [uuid7()]) == []
