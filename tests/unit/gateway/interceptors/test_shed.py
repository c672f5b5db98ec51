"""Which calls an overloaded process refuses, and which never."""

import asyncio

import pytest

from cohortlens.core.errors import Code
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.shed import Load, ShedStep
from gateway.registry import MethodTable, Policy, RateClass
from tests.fakes.echo import FILE, EchoServicer, steps


def loaded_chain(rate_class, load, servicer=None, **options):
    policy = Policy(public=True, rate_class=rate_class, **options)
    table = MethodTable()
    service = FILE.services_by_name["Echo"]
    table.add_service(service, {method.name: policy for method in service.methods})
    return Chain(
        table, {"tests.echo.Echo": servicer or EchoServicer()}, steps(table) | {"shed": ShedStep(load)}
    )


def call_of(chain, name="Unary"):
    return Call("grpc", chain.table.get(f"/tests.echo.Echo/{name}"), {})


async def answer(chain):
    try:
        await chain.unary(call_of(chain), b"")
    except CallFailed as failed:
        return failed.error
    return None


@pytest.mark.parametrize(
    ("calls", "refused"),
    [
        (99, set()),
        (100, {RateClass.BULK}),
        (149, {RateClass.BULK}),
        (150, {RateClass.BULK}),
        (200, {RateClass.BULK, RateClass.READ}),
        (299, {RateClass.BULK, RateClass.READ}),
        (300, {RateClass.BULK, RateClass.READ, RateClass.INFERENCE}),
        (10_000, {RateClass.BULK, RateClass.INFERENCE, RateClass.READ}),
    ],
)
async def test_bulk_goes_first_then_reads_then_all_inference_and_nothing_else(calls, refused):
    load = Load(calls_max=100)
    load.calls = calls
    found = {one for one in RateClass if await answer(loaded_chain(one, load)) is not None}
    assert found == refused


async def test_what_its_policy_spares_is_answered_under_any_load():
    load = Load(calls_max=100)
    load.calls = 10_000
    for one in (RateClass.BULK, RateClass.INFERENCE, RateClass.READ):
        assert await answer(loaded_chain(one, load, never_shed=True)) is None


async def test_a_refusal_says_overloaded_and_when_to_come_again():
    load = Load(calls_max=1)
    load.calls = 2
    error = await answer(loaded_chain(RateClass.READ, load))
    assert (error.code, error.reason, error.retry_delay_s) == (Code.UNAVAILABLE, "OVERLOADED", 1.0)


async def test_a_late_event_loop_sheds_like_too_many_calls():
    load = Load(lag_max_s=0.25)
    for number in range(50):
        load.note(number * 0.1, 0.3)
    assert await answer(loaded_chain(RateClass.BULK, load)) is not None
    assert await answer(loaded_chain(RateClass.INFERENCE, load)) is None
    for number in range(50):
        load.note(10 + number * 0.1, 0.001)
    assert await answer(loaded_chain(RateClass.BULK, load)) is None


async def test_one_long_pause_of_the_loop_sheds_nothing():
    load = Load()
    for number in range(50):
        load.note(number * 0.1, 2.0 if number == 30 else 0.001)
    assert load.pressure < 1


async def test_the_lateness_of_the_running_loop_is_seen():
    load = Load(lag_max_s=0.001)
    load.watch()
    for _ in range(8):
        await asyncio.sleep(0.1)
        # The loop is held up on purpose; a sample falls due meanwhile.
        end = asyncio.get_running_loop().time() + 0.12
        while asyncio.get_running_loop().time() < end:
            pass
    assert load.lag_s > 0.001


async def test_a_call_counts_until_it_has_ended_however_it_ends():
    load, servicer = Load(), EchoServicer()
    chain = loaded_chain(RateClass.INFERENCE, load, servicer)
    from_wire = chain.table.get("/tests.echo.Echo/Unary").input_class
    running = asyncio.create_task(chain.unary(call_of(chain), from_wire(text="hang").SerializeToString()))
    await servicer.reached.wait()
    assert load.calls == 1
    running.cancel()
    await asyncio.wait({running})
    assert load.calls == 0


async def test_an_open_stream_is_no_load():
    load, servicer = Load(), EchoServicer()
    chain = loaded_chain(RateClass.INFERENCE, load, servicer)
    from_wire = chain.table.get("/tests.echo.Echo/Expand").input_class

    async def send(_reply):
        return None

    payload = from_wire(text="hang").SerializeToString()
    running = asyncio.create_task(chain.server_stream(call_of(chain, "Expand"), payload, send))
    await servicer.reached.wait()
    assert load.calls == 0
    running.cancel()
    await asyncio.wait({running})
