"""The limits over several processes and a real Valkey, against a moving window."""

import asyncio
import bisect
import time
from uuid import uuid4

import pytest

from gateway.limits.buckets import Bucket, LocalBuckets
from gateway.limits.in_flight import InFlight
from gateway.limits.limiter import Limiter
from gateway.limits.pace import BLOCK_LIFE_S
from gateway.limits.store import BucketStore
from gateway.rate_settings import Limit, RateSettings
from gateway.registry import RateClass
from tests.fixtures.waiting import eventually
from tests.integration.gateway.limits.conftest import flooded
from tests.integration.gateway.limits.flooding import Fixed, principal

SKEWS = (0, 60, -60, 30)


def most_within(times, window_s):
    """Most admissions in any window of this length."""
    times = sorted(times)
    return max(bisect.bisect_left(times, begin + window_s) - at for at, begin in enumerate(times))


async def test_four_processes_with_skewed_clocks_admit_what_the_bucket_gives_and_no_more(
    valkey, valkey_client
):
    rate, burst, seconds, tenants = 200, 100, 3.0, [uuid4(), uuid4()]
    reports = await flooded(
        valkey.url,
        processes=4,
        rate=rate,
        burst=burst,
        tasks=64,
        seconds=seconds,
        tenants=tenants,
        skews=SKEWS,
    )
    assert not any(one["degraded"] for one in reports)
    for tenant in map(str, tenants):
        times = [at for one in reports for at in one["admitted"][tenant]]
        for window_s in (0.1, 0.5, 1.0, 2.0):
            assert most_within(times, window_s) <= burst + rate * (window_s + BLOCK_LIFE_S)
        length_s = max(times) - min(times)
        assert len(times) >= 0.95 * (burst + rate * length_s)


async def test_every_key_of_the_limits_expires(valkey, valkey_client):
    # So slow that no bucket is full again, and gone, before it is looked at.
    slow = dict.fromkeys(("rate_read", "rate_write", "rate_inference", "rate_platform"), "2/60s")
    limiter = Limiter.open(valkey.url, Fixed(), RateSettings(**slow), 1)
    who = principal(uuid4())
    try:
        for rate_class in (RateClass.READ, RateClass.WRITE, RateClass.INFERENCE):
            assert await limiter.pace(who, rate_class).wait(time.monotonic()) is None
        for one in (
            limiter.address_pace(RateClass.PUBLIC, "203.0.113.1"),
            limiter.address_pace(RateClass.AUTH_SENSITIVE, "203.0.113.1"),
            limiter.address_pace(RateClass.AUTH_REFRESH, "2001:db8::1"),
            limiter.pending_pace("cl_test_made_up", "203.0.113.1"),
            limiter.session_pace(uuid4()),
            limiter.staff_pace(who),
        ):
            assert await one.pace.wait(time.monotonic()) is None
        lease, _ = await limiter.enter_bulk(who, 30.0)
        await limiter.enter_internal("service_account:x", 30.0)
        keys = [key async for key in valkey_client.scan_iter("cl:rl:*")]
        assert len(keys) == 3 * 2 + 3 + 2 + 1 + 1 + 2
        assert not [key for key in keys if await valkey_client.pttl(key) <= 0]
        assert not [key for key in keys if b"cl_test_made_up" in key]
        await limiter.leave(lease)
    finally:
        await limiter.close()


async def test_the_script_answers_as_the_algorithm_in_one_process_does(valkey, valkey_client):
    store, local = BucketStore(valkey_client, 1), LocalBuckets(1)
    limits = (Limit(1, 60.0, 7), Limit(3, 60.0, 4), Limit(1, 30.0, 2))
    buckets = [Bucket.make(f"same-{at}", limit, "tenant", "x") for at, limit in enumerate(limits)]
    for chosen, need, ask in (
        ((0, 1), 1, 2), ((0,), 1, 9), ((1,), 1, 1), ((2, 1), 1, 1), ((2,), 5, 5), ((0, 1, 2), 1, 1), ((1,), 2, 2),
    ):  # fmt: skip
        asked = [buckets[at] for at in chosen]
        theirs, ours = await store.take(asked, need, ask), local.take(asked, need, ask)
        assert (theirs.granted, theirs.bucket, theirs.room) == (ours.granted, ours.bucket, ours.room)
        assert theirs.wait_s == pytest.approx(ours.wait_s, abs=1.0)
        assert theirs.full_s == pytest.approx(ours.full_s, abs=1.0)


async def test_a_refused_call_writes_nothing(valkey, valkey_client):
    store = BucketStore(valkey_client, 1)
    bucket = Bucket.make("one", Limit(1, 60.0, 1), "tenant", "x")
    assert (await store.take([bucket])).granted == 1
    before, left = await valkey_client.get("one"), await valkey_client.pttl("one")
    other = Bucket.make("two", Limit(9, 60.0, 9), "tenant", "x")
    assert (await store.take([other, bucket])).granted == 0
    assert await valkey_client.get("one") == before
    assert 0 < await valkey_client.pttl("one") <= left
    assert not await valkey_client.exists("two")


async def test_checks_that_arrive_together_are_one_call_of_the_script(valkey, valkey_client):
    store = BucketStore(valkey_client, 1)
    buckets = [Bucket.make(f"b{at}", Limit(1, 1.0, 1), "tenant", "x") for at in range(50)]
    await store.take(buckets[:1])
    await valkey_client.config_resetstat()
    answers = await asyncio.gather(*(store.take([one]) for one in buckets))
    stats = await valkey_client.info("commandstats")
    assert sum(one.granted for one in answers) == 49
    assert stats["cmdstat_evalsha"]["calls"] <= 2


async def test_a_lease_of_a_crashed_holder_frees_itself(valkey, valkey_client, monkeypatch):
    monkeypatch.setattr("gateway.limits.in_flight._MARGIN_S", 0.2)
    flights = InFlight(valkey_client, BucketStore(valkey_client, 1), 1, 1.0)
    first = await flights.enter("bulk", 1, 0.3)
    assert first is not None
    assert await flights.enter("bulk", 1, 0.3) is None
    second = await eventually(lambda: flights.enter("bulk", 1, 30.0), 5)
    # Whom the place was taken from gives nothing back that is somebody else's now.
    await flights.leave(first)
    assert await flights.enter("bulk", 1, 0.3) is None
    await flights.leave(second)
    assert await flights.enter("bulk", 1, 0.3) is not None


async def test_new_limits_of_a_plan_hold_from_the_next_call_on(valkey, valkey_client):
    slow, fast, who = Fixed(1.0), Fixed(50.0), principal(uuid4())
    limiter = Limiter.open(valkey.url, slow, RateSettings(), 1)
    try:
        while await limiter.pace(who, RateClass.READ).wait(time.monotonic()) is None:
            pass
        slow.entitlements[who.tenant_id] = fast.known(who.tenant_id)
        assert await limiter.pace(who, RateClass.READ).wait(time.monotonic()) is None
    finally:
        await limiter.close()
