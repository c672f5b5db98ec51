"""Subscriptions: events of results, failures before and behind the first one, readers and processes that leave."""

import asyncio

import pytest

from cohortlens.core.errors import InvalidArgument, NotFound
from cohortlens.v1 import consent_checks_pb2 as pb
from gateway.http import streaming
from tests.fixtures.waiting import eventually
from tests.unit.gateway.graphql.door import EVENTS, TOKEN, ask, build, events, reason

WATCH = "subscription { watchConsents { consentVersion } }"


def version(number):
    return pb.WatchConsentsResponse(consent_version=number)


def next_of(number):
    return ("next", {"data": {"watchConsents": {"consentVersion": str(number)}}})


async def test_each_message_is_an_event_and_the_end_is_one(door):
    client, servicer = door
    servicer.script["WatchConsents"] = [version(1), version(2)]
    answer = await ask(client, WATCH, accept=EVENTS)
    assert answer.status == 200
    assert answer.header("content-type") == EVENTS
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-request-id") == servicer.calls[0].request_id
    assert events(answer) == [next_of(1), next_of(2), ("complete", None)]
    assert answer.complete


async def test_a_subscription_needs_a_reader_of_events(door):
    answer = await ask(door[0], WATCH, accept="application/json")
    assert (answer.status, reason(answer)) == (406, "NOT_ACCEPTABLE")
    assert door[1].asked == []


async def test_a_reader_of_events_gets_a_query_as_one_event(door):
    answer = await ask(door[0], "{ customers { totalSize } }", accept=EVENTS)
    assert events(answer) == [("next", {"data": {"customers": {"totalSize": "0"}}}), ("complete", None)]


async def test_a_failure_before_the_first_message_has_its_own_status(door):
    client, servicer = door
    nobody = await ask(client, WATCH, headers={}, accept=EVENTS)
    assert (nobody.status, reason(nobody)) == (401, "TOKEN_INVALID")
    assert nobody.header("www-authenticate")
    servicer.script["WatchConsents"] = [InvalidArgument("too far back", reason="CURSOR_COMPACTED")]
    refused = await ask(client, WATCH, accept=EVENTS)
    assert (refused.status, reason(refused)) == (400, "CURSOR_COMPACTED")


async def test_a_failure_behind_the_first_message_is_the_last_event(door):
    client, servicer = door
    servicer.script["WatchConsents"] = [version(1), NotFound("gone", reason="RESOURCE_NOT_FOUND")]
    answer = await ask(client, WATCH, accept=EVENTS)
    first, failed, last = events(answer)
    assert (first, last) == (next_of(1), ("complete", None))
    assert failed[1]["errors"][0]["extensions"]["reason"] == "RESOURCE_NOT_FOUND"


async def test_what_a_message_names_is_fetched_for_it(door):
    client, servicer = door
    change = pb.ConsentChange(customer="00000000-0000-7000-8000-000000000001")
    servicer.script["WatchConsents"] = [pb.WatchConsentsResponse(changes=[change, change])] * 2
    document = "subscription { watchConsents { changes { customerDetails { externalId } } } }"
    answer = await ask(client, document, accept=EVENTS)
    empty = ("next", {"data": {"watchConsents": {"changes": [{"customerDetails": None}] * 2}}})
    assert events(answer)[:2] == [empty, empty]
    assert [name for name, _ in servicer.asked] == ["WatchConsents", "BatchGetCustomers", "BatchGetCustomers"]


async def test_a_reader_that_leaves_ends_the_stream(door):
    client, servicer = door
    leave = asyncio.Event()

    async def waits(request, call):
        leave.set()
        await asyncio.sleep(30)

    servicer.script["WatchConsents"] = [version(1), waits]
    await ask(client, WATCH, accept=EVENTS, leave=leave)

    async def is_ended():
        return servicer.ended == ["WatchConsents"]

    await eventually(is_ended, 5, "the stream is cancelled")


async def test_a_slow_reader_slows_the_servicer_down(door):
    client, servicer = door
    made, may_go_on = [], asyncio.Event()

    def numbered(number):
        async def one(request, call):
            made.append(number)
            return version(number)

        return one

    servicer.script["WatchConsents"] = [numbered(number) for number in range(50)]
    app, stuck = client.app, asyncio.Event()

    async def slow(scope, receive, send):
        async def sending(event):
            if event["type"] == "http.response.body":
                stuck.set()
                await may_go_on.wait()
            await send(event)

        await app(scope, receive, sending)

    asking = asyncio.create_task(ask(type(client)(slow), WATCH, accept=EVENTS))
    await stuck.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(made) <= 4
    may_go_on.set()
    answer = await asking
    assert len(events(answer)) == 51


async def test_a_quiet_stream_is_kept_alive(door, monkeypatch):
    client, servicer = door
    monkeypatch.setattr(streaming, "QUIET_S", 0.02)

    async def quiet(request, call):
        await asyncio.sleep(0.1)

    servicer.script["WatchConsents"] = [quiet, version(1)]
    answer = await ask(client, WATCH, accept=EVENTS)
    assert answer.body.startswith(b": ")
    assert events(answer) == [next_of(1), ("complete", None)]


class Stopping:
    """A process that begins to stop when told."""

    def __init__(self):
        self.stopping, self._change = False, asyncio.Event()

    def next_change(self):
        return self._change

    def stop(self):
        self.stopping = True
        self._change.set()


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_process_that_stops_tells_its_readers(has_begun):
    drain = Stopping()
    client, servicer = build(drain=drain)

    async def until_stopped(request, call):
        drain.stop()
        await asyncio.sleep(30)

    servicer.script["WatchConsents"] = [*([version(1)] if has_begun else []), until_stopped]
    answer = await ask(client, WATCH, headers=TOKEN, accept=EVENTS)
    assert servicer.ended == ["WatchConsents"]
    if has_begun:
        first, told, last = events(answer)
        assert (first, last) == (next_of(1), ("complete", None))
        assert told[1]["errors"][0]["extensions"]["reason"] == "SHUTTING_DOWN"
    else:
        assert (answer.status, reason(answer)) == (503, "SHUTTING_DOWN")
