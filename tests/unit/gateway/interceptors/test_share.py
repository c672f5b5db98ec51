"""Who gets the places of the process, in which order, and what happens to those who wait."""

import asyncio
from uuid import UUID

import pytest

from cohortlens.core.context import Principal
from cohortlens.core.errors import Code, Unavailable
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.fairness import FairShare, ShareLimits
from gateway.interceptors.share import ShareStep
from gateway.interceptors.shed import Load
from gateway.registry import RateClass
from tests.fakes.echo import Echo, EchoServicer, echo_table, steps

FOREVER_S = 60.0
ONE_PLACE = ShareLimits(running=1, running_alone=1, lease_s=FOREVER_S)


async def turn():
    """Let everything that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)


class Queue:
    """A FairShare with callers that note in which order they got a place."""

    def __init__(self, **limits):
        self.load = Load()
        limits = {"lease_s": FOREVER_S, "running_alone": limits["running"]} | limits
        self.share = FairShare(ShareLimits(**limits), self.load)
        self.served = []
        self.held = []

    def full(self, weight=1):
        while (place := self.share.enter("one", weight)) is not None:
            self.held.append(place)

    async def caller(self, tenant, rows=1):
        place = await self.share.wait(tenant, rows)
        self.served.append(tenant)
        self.held.append(place)

    def come(self, tenant, count=1, rows=1):
        return [asyncio.create_task(self.caller(tenant, rows)) for _ in range(count)]

    async def drain(self):
        while self.held:
            self.share.leave(self.held.pop(0))
            await turn()


async def test_who_comes_second_waits_as_long_as_if_the_first_had_no_more_calls_than_it():
    queue = Queue(running=1)
    queue.full()
    flood = queue.come("flood", 100)
    await turn()
    small = queue.come("small", 10)
    await turn()
    await queue.drain()
    await asyncio.gather(*flood, *small)
    # One call of the flood goes before each call of the other, not a hundred before the first.
    assert queue.served[:20].count("small") >= 9
    assert len(queue.served) == 110


async def test_a_tenant_of_large_calls_gets_the_same_rows_as_one_of_small_calls():
    queue = Queue(running=1)
    queue.full()
    large, small = queue.come("large", 20, rows=100), queue.come("small", 2000, rows=1)
    await turn()
    for _ in range(505):
        queue.share.leave(queue.held.pop(0))
        await turn()
    rows = {"large": queue.served.count("large") * 100, "small": queue.served.count("small")}
    assert abs(rows["large"] - rows["small"]) <= 200
    for task in (*large, *small):
        task.cancel()
    await asyncio.wait({*large, *small})


async def test_calls_of_one_tenant_keep_their_order():
    queue = Queue(running=1)
    queue.full()
    tasks = []
    for number in range(5):
        tasks += queue.come("one")
        tasks[-1].add_done_callback(lambda _, n=number: order.append(n))
    order = []
    await turn()
    await queue.drain()
    assert order == [0, 1, 2, 3, 4]


async def test_a_place_is_free_at_once_while_there_are_some_left():
    queue = Queue(running=2)
    assert queue.share.enter("one", 1) is not None
    assert queue.share.enter("one", 1) is not None
    assert queue.share.enter("one", 1) is None


async def test_a_tenant_alone_has_more_places_until_another_one_calls():
    queue = Queue(running=2, running_alone=5)
    queue.share._last = "one"
    queue.full()
    assert len(queue.held) == 5
    assert queue.share.enter("other", 1) is None
    queue.share.leave(queue.held.pop())
    assert queue.share.enter("one", 1) is None


async def test_a_large_call_takes_an_eighth_of_the_places_so_that_some_run_at_once():
    queue = Queue(running=64)
    queue.full(weight=10_000)
    assert len(queue.held) == 8


async def test_a_caller_that_leaves_the_queue_is_passed_over_and_costs_its_tenant_nothing():
    queue = Queue(running=1)
    queue.full()
    gone = queue.come("one", 50)
    await turn()
    for task in gone:
        task.cancel()
    await asyncio.wait(set(gone))
    assert queue.share.waiting == 0
    other, one = queue.come("other", 3), queue.come("one", 3)
    await turn()
    await queue.drain()
    await asyncio.gather(*other, *one)
    assert queue.served == ["other", "one", "other", "one", "other", "one"]


async def test_a_caller_that_leaves_while_it_is_given_a_place_hands_it_on():
    queue = Queue(running=1)
    queue.full()
    first, second = queue.come("one", 2)
    await turn()
    queue.share.leave(queue.held.pop())
    first.cancel()
    await turn()
    assert second.done()
    assert len(queue.held) == 1


async def test_callers_that_come_and_go_leave_nothing_behind():
    queue = Queue(running=1)
    queue.full()
    (waits,) = queue.come("patient")
    for _ in range(50):
        tasks = queue.come("hasty", 50)
        await turn()
        for task in tasks:
            task.cancel()
        await asyncio.wait(set(tasks))
    assert len(queue.share._heap) < 500
    await queue.drain()
    assert waits.done()


async def test_too_many_waiting_calls_of_one_tenant_are_refused_and_no_other_tenants():
    queue = Queue(running=1, waiting_per_tenant=10)
    queue.full()
    tasks = queue.come("flood", 11)
    await turn()
    assert tasks[10].done()
    with pytest.raises(Unavailable) as caught:
        tasks[10].result()
    assert (caught.value.reason, caught.value.retry_delay_s) == ("OVERLOADED", 1.0)
    (other,) = queue.come("other")
    await turn()
    assert not other.done()
    await queue.drain()
    await asyncio.gather(other, *tasks[:10])


async def test_tenants_share_the_room_for_waiting():
    queue = Queue(running=1, waiting_per_tenant=100, waiting=100)
    queue.full()
    first = queue.come("first", 50)
    second = queue.come("second", 51)
    await turn()
    refused = [task for task in (*first, *second) if task.done()]
    assert refused == second[50:]
    with pytest.raises(Unavailable):
        refused[0].result()
    await queue.drain()


async def test_a_place_held_for_long_is_lent_on_and_counts_no_more():
    queue = Queue(running=2, lease_s=0.02)
    queue.full()
    stuck = list(queue.held)
    queue.held.clear()
    tasks = queue.come("one", 4)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    for place in stuck:
        queue.share.leave(place)
    await queue.drain()
    queue.full()
    assert len(queue.held) == 2


async def test_a_place_is_kept_longer_while_the_event_loop_is_late():
    queue = Queue(running=1, lease_s=0.02)
    queue.load.lag_s = 1.0
    queue.full()
    (waits,) = queue.come("one")
    await asyncio.sleep(0.1)
    assert not waits.done()
    await queue.drain()
    assert waits.done()


def step_chain(limits, servicer):
    table = echo_table()
    return Chain(table, {"tests.echo.Echo": servicer}, steps(table) | {"share": ShareStep(Load(), limits)})


def call_of(chain, name="Unary", **options):
    return Call("grpc", chain.table.get(f"/tests.echo.Echo/{name}"), {}, **options)


def message(**fields):
    return Echo(**fields).SerializeToString()


async def test_a_call_waits_until_the_one_before_it_has_ended():
    servicer = EchoServicer()
    chain = step_chain(ONE_PLACE, servicer)
    first = asyncio.create_task(chain.unary(call_of(chain), message(text="wait")))
    await servicer.reached.wait()
    second = asyncio.create_task(chain.unary(call_of(chain), message(text="next")))
    await turn()
    assert len(servicer.calls) == 1
    servicer.release.set()
    await first
    assert (await second).text == "next"


async def test_a_call_that_waits_ends_at_its_deadline_and_is_not_served():
    servicer = EchoServicer()
    chain = step_chain(ONE_PLACE, servicer)
    first = asyncio.create_task(chain.unary(call_of(chain), message(text="wait")))
    await servicer.reached.wait()
    with pytest.raises(CallFailed) as caught:
        await chain.unary(call_of(chain, timeout_s=0.05), message())
    assert caught.value.error.code == Code.DEADLINE_EXCEEDED
    servicer.release.set()
    await first
    assert len(servicer.calls) == 1


async def test_calls_that_wait_are_no_load():
    servicer, load = EchoServicer(), Load()
    table = echo_table()
    limited = ShareStep(load, ONE_PLACE)
    from_steps = steps(table)
    from_steps["shed"]._load = load
    chain = Chain(table, {"tests.echo.Echo": servicer}, from_steps | {"share": limited})
    tasks = [asyncio.create_task(chain.unary(call_of(chain), message(text="wait"))) for _ in range(5)]
    await servicer.reached.wait()
    await turn()
    assert load.calls == 1
    servicer.release.set()
    await asyncio.gather(*tasks)
    assert load.calls == 0


async def test_a_slow_body_holds_no_place():
    servicer = EchoServicer()
    chain = step_chain(ONE_PLACE, servicer)
    arrives = asyncio.Event()
    slow = call_of(chain)

    async def read():
        await arrives.wait()
        return message(text="slow")

    slow.read = read
    late = asyncio.create_task(chain.unary(slow))
    await turn()
    assert (await chain.unary(call_of(chain), message(text="quick"))).text == "quick"
    arrives.set()
    assert (await late).text == "slow"


async def test_an_idle_stream_holds_no_place():
    servicer = EchoServicer()
    chain = step_chain(ONE_PLACE, servicer)
    sent, more = [], asyncio.Event()

    async def payloads():
        yield message(text="first")
        await more.wait()
        yield message(text="second")

    async def send(reply):
        sent.append(reply.text)

    stream = asyncio.create_task(chain.bidi_stream(call_of(chain, "Chat"), payloads(), send))
    await turn()
    assert sent == ["first"]
    assert (await chain.unary(call_of(chain), message(text="between"))).text == "between"
    more.set()
    await stream
    assert sent == ["first", "second"]


async def test_a_stream_whose_caller_does_not_read_holds_no_place():
    servicer = EchoServicer()
    chain = step_chain(ONE_PLACE, servicer)
    reads, blocked = asyncio.Event(), asyncio.Event()

    async def send(_reply):
        blocked.set()
        await reads.wait()

    stream = asyncio.create_task(
        chain.server_stream(call_of(chain, "Expand"), message(text="x", count=3), send)
    )
    await blocked.wait()
    assert (await chain.unary(call_of(chain), message(text="between"))).text == "between"
    reads.set()
    await stream


async def test_only_inference_and_bulk_wait():
    table = echo_table()
    step = ShareStep(Load(), ONE_PLACE)
    assert step._share.enter("one", 1) is not None
    secret = table.get("/tests.echo.Echo/Secret")
    assert secret.policy.rate_class == RateClass.READ
    ran = asyncio.Event()

    async def proceed(_call):
        ran.set()

    call = Call("grpc", secret, {})
    call.principal = Principal(UUID(int=1), UUID(int=2), UUID(int=3), "analyst", frozenset())
    await step(call, proceed)
    assert ran.is_set()
