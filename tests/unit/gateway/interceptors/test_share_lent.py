"""Calls that go on after their places were lent on: how many one tenant may have, and how they are counted."""

import asyncio
from uuid import UUID

import pytest

from cohortlens.core.context import Principal
from cohortlens.core.errors import Unavailable
from gateway.interceptors.chain import Call
from gateway.interceptors.fairness import FairShare, ShareLimits
from gateway.interceptors.share import ShareStep
from gateway.interceptors.shed import Load, ShedStep
from tests.fakes.echo import echo_table

LEASE_S = 0.005
TABLE = echo_table()


async def turn():
    """Let everything that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def leases(count=1):
    """Let every place that is held now fall due, and what comes of it happen, ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(2 * LEASE_S)
        await turn()


class Process:
    """The steps that count calls, around calls that last until they are told to end."""

    def __init__(self, calls_max=512, **limits):
        self.load = Load(calls_max)
        # A machine that is slow for a moment must not lengthen the leases of a test.
        self.load.is_watched = True
        self.shed = ShedStep(self.load)
        self.step = ShareStep(self.load, ShareLimits(**{"lease_s": LEASE_S} | limits))
        self.share = self.step._share
        self.running = {}

    def come(self, tenant, *names, method="Unary", proceed=None, **fields):
        """Start a call a name; each runs until ``end`` is called with its name."""
        return [
            asyncio.create_task(self._call(tenant, name, method, proceed, fields), name=name)
            for name in names
        ]

    async def _call(self, tenant, name, method, proceed, fields):
        async def lasts(_call):
            self.running[name] = asyncio.Event()
            try:
                await self.running[name].wait()
            finally:
                del self.running[name]

        call = Call("grpc", TABLE.get(f"/tests.echo.Echo/{method}"), {})
        call.principal = Principal(UUID(int=tenant), UUID(int=2), UUID(int=3), "analyst", frozenset())
        for field, value in fields.items():
            setattr(call, field, value)

        async def shares(call):
            await self.step(call, proceed or lasts)

        await self.shed(call, shares)

    async def end(self, *names):
        """Let these calls end, and what comes of it happen."""
        for name in names:
            self.running[name].set()
        await turn()

    async def spend(self):
        """Tenant 1 has a, b beyond their leases, all it may have of eight, and c, d, e wait, put aside."""
        tasks = self.come(1, "a", "b", "c", "d", "e")
        await turn()
        await leases(3)
        assert set(self.running) == {"a", "b"}
        assert self.share.waiting == 3
        return tasks

    def is_untouched(self):
        """Whether nothing is counted any more."""
        counts = (self.load.calls, self.share.waiting, self.share._running)
        kept = (self.share._lent, self.share._lines, self.share._heap, self.share._places)
        return not any(counts) and not any(kept)


def small(**limits):
    """One place, and two calls of a tenant that may go on without."""
    return Process(8, **{"running": 1, "running_alone": 1} | limits)


async def cancel(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_thousand_slow_calls_of_one_tenant_make_nobody_be_refused_or_wait():
    process = Process()
    # It has had the process to itself for a while, so all places are its own.
    process.share._last = UUID(int=1)
    slow = process.come(1, *(f"slow {number}" for number in range(1000)))
    await turn()
    await leases(6)
    # All it may have: 256 places, and of those that were lent on one less than 128 when the last was given.
    assert process.load.calls == len(process.running) == 383
    assert process.load.pressure < 1
    assert process.share.waiting == 617
    others = process.come(2, *(f"quick {number}" for number in range(30)))
    await turn()
    assert {task.get_name() for task in others} <= set(process.running)
    assert process.load.pressure < 1
    await process.end(*(task.get_name() for task in others))
    assert all(task.exception() is None for task in others)
    await cancel(*slow)
    assert process.is_untouched()


async def test_one_tenant_stays_under_the_limit_whatever_the_settings_are():
    process = Process(40, running=100, running_alone=1000)
    process.share._last = UUID(int=1)
    slow = process.come(1, *map(str, range(200)))
    await turn()
    await leases(6)
    assert process.load.calls == 20 + 9
    await cancel(*slow)


async def test_calls_that_were_put_aside_come_back_in_order_when_one_beyond_its_lease_ends():
    process = small()
    tasks = await process.spend()
    for ending, following in (("a", "c"), ("b", "d")):
        await process.end(ending)
        assert following in process.running
        await leases(2)
        assert len(process.running) == 2
    await process.end("c", "d")
    await process.end("e")
    await asyncio.gather(*tasks)
    assert process.is_untouched()


async def test_a_tenant_that_was_put_aside_catches_up_on_nobody():
    process = small()
    slow = await process.spend()
    busy = process.come(2, *(f"other {number}" for number in range(6)))
    await turn()
    served = []
    await process.end("a", "other 0")
    for _ in range(5):
        (name,) = set(process.running) - {"b"}
        served.append(name)
        await process.end(name)
    # They alternate from here on; what tenant 1 missed does not go before what the other has waiting.
    assert sum(name.startswith("other") for name in served) >= 2
    await cancel(*slow, *busy)
    assert process.is_untouched()


async def test_a_call_that_was_put_aside_and_is_cancelled_leaves_no_trace():
    process = small()
    tasks = await process.spend()
    await cancel(tasks[3])
    assert process.share.waiting == 2
    assert process.load.calls == 2
    await process.end("a", "b")
    await process.end("c")
    assert set(process.running) == {"e"}
    await process.end("e")
    assert process.is_untouched()


async def test_all_calls_that_were_put_aside_may_leave():
    process = small()
    tasks = await process.spend()
    await cancel(*tasks[2:])
    assert not process.share._lines
    # The tenant still has no place to get, and anybody else has.
    (more,) = process.come(1, "more")
    process.come(2, "other")
    await turn()
    assert set(process.running) == {"a", "b", "other"}
    await process.end("other", "a")
    assert set(process.running) == {"b", "more"}
    await process.end("b", "more")
    assert more.done()
    assert process.is_untouched()


async def test_a_call_that_is_cancelled_beyond_its_lease_counts_no_more():
    process = small()
    tasks = await process.spend()
    await cancel(tasks[0])
    await turn()
    assert set(process.running) == {"b", "c"}
    await cancel(*tasks)
    assert process.is_untouched()


async def test_places_of_a_tenant_at_its_limit_still_go_to_others():
    process = small(running=2, running_alone=2)
    slow = process.come(1, *"abcdef")
    await turn()
    await leases(3)
    held = set(process.running)
    assert len(process.share._places) >= 1
    others = process.come(2, "x", "y")
    await turn()
    await leases()
    assert set(process.running) == held | {"x", "y"}
    # None of those that wait gets a place before the tenant is below its limit again.
    await process.end("x", "y", "a")
    assert set(process.running) == held - {"a"}
    await cancel(*slow, *others)
    assert process.is_untouched()


async def test_waiting_stays_bounded_for_calls_that_were_put_aside():
    process = small(waiting_per_tenant=4)
    tasks = await process.spend()
    last, refused = process.come(1, "last", "one too many")
    await turn()
    assert not last.done()
    with pytest.raises(Unavailable, match="of this tenant wait"):
        refused.result()
    assert process.load.calls == 2
    await cancel(*tasks, last)
    assert process.is_untouched()


async def test_a_reply_nobody_reads_ends_what_counts_of_a_stream_beyond_its_lease():
    process = small()
    replies, reads = asyncio.Event(), asyncio.Event()

    async def send(_reply):
        await reads.wait()

    async def proceed(call):
        await replies.wait()
        await call.send("first")
        await call.send("second")

    streams = process.come(1, "first", "second", method="Expand", proceed=proceed, send=send)
    await turn()
    unary = process.come(1, "a", "b")
    await turn()
    await leases(3)
    assert process.running == {}
    assert process.share.waiting == 2
    replies.set()
    await turn()
    await leases()
    # Both wait for their reader, and neither a place nor the tenant's allowance waits with them.
    assert set(process.running) == {"a", "b"}
    await process.end("a", "b")
    reads.set()
    await asyncio.gather(*streams, *unary)
    assert process.is_untouched()


async def test_a_message_of_a_stream_beyond_its_lease_counts_until_the_next_one_is_asked_for():
    process = small()
    worked, more = asyncio.Event(), asyncio.Event()

    async def payloads():
        yield b"first"
        await more.wait()

    async def proceed(call):
        async for _ in call.payloads:
            await worked.wait()

    streams = [
        *process.come(1, "first", method="Collect", proceed=proceed, payloads=payloads()),
        *process.come(1, "second", method="Collect", proceed=proceed, payloads=payloads()),
    ]
    await turn()
    unary = process.come(1, "a")
    await leases(3)
    assert process.running == {}
    worked.set()
    await turn()
    assert set(process.running) == {"a"}
    await process.end("a")
    more.set()
    await asyncio.gather(*streams, *unary)
    assert process.is_untouched()


async def test_giving_a_place_back_twice_ends_one_call_only():
    share = FairShare(ShareLimits(running=1, running_alone=1, lease_s=0), Load(8))
    first = share.enter("one", 1)
    second, third = await share.wait("one", 1), await share.wait("other", 1)
    assert share._lent == {"one": 2}
    share.leave(first)
    share.leave(first)
    assert share._lent == {"one": 1}
    share.leave(second)
    share.leave(third)
    share.leave(third)
    assert (share._lent, share._running) == ({}, 0)
