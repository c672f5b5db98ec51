"""The algorithm of the rate limits against an oracle that keeps the level of a leaking bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.buckets import Bucket, LocalBuckets
from gateway.rate_settings import Limit

CALLS = st.lists(
    st.tuples(st.floats(0, 3, allow_nan=False), st.integers(1, 12), st.integers(0, 20)), max_size=60
)
LIMITS = st.builds(
    Limit, quota=st.integers(1, 50), window_s=st.sampled_from([1.0, 4.0]), burst=st.integers(1, 30)
)


class Oracle:
    """A bucket of whole units that fills by one unit each interval, in fractions of a unit."""

    def __init__(self, bucket):
        self.bucket, self.level, self.at_us = bucket, float(bucket.burst), 0.0

    def fill(self, now_us):
        self.level = min(self.level + (now_us - self.at_us) / self.bucket.interval_us, self.bucket.burst)
        self.at_us = now_us


def take(oracles, now_us, need, ask):
    """What the buckets grant together; None where rounding alone decides."""
    granted = ask
    for one in oracles:
        one.fill(now_us)
        wanted = min(need, one.bucket.burst)
        if abs(one.level - round(one.level)) < 1e-6:
            return None
        if one.level < wanted:
            granted = 0
        elif need <= one.bucket.burst:
            granted = min(granted, int(one.level))
    for one in oracles:
        one.level -= min(granted, one.bucket.burst)
    return granted


@given(limits=st.lists(LIMITS, min_size=1, max_size=3), calls=CALLS)
def test_buckets_grant_what_an_oracle_of_levels_grants(limits, calls):
    buckets = [Bucket.make(f"k{at}", limit, "tenant", "read") for at, limit in enumerate(limits)]
    clock = [0.0001234567]
    local, oracles = LocalBuckets(1, lambda: clock[0]), [Oracle(one) for one in buckets]
    for one in oracles:
        one.at_us = clock[0] * 1e6
    for pause_s, need, more in calls:
        clock[0] += pause_s + 0.00012345
        expected = take(oracles, clock[0] * 1e6, need, need + more)
        found = local.take(buckets, need, need + more)
        if expected is None:
            return
        assert found.granted == expected
        assert found.room == min(int(one.level) for one in oracles) or found.wait_s > 0


@given(limit=LIMITS, need=st.integers(1, 40), drained=st.integers(1, 30))
def test_the_wait_of_a_refusal_is_exactly_long_enough(limit, need, drained):
    clock = [100.0]
    bucket = Bucket.make("k", limit, "tenant", "read")
    local = LocalBuckets(1, lambda: clock[0])
    local.take([bucket], min(drained, bucket.burst), min(drained, bucket.burst))
    refused = local.take([bucket], need, need)
    if refused.granted:
        return
    clock[0] += refused.wait_s - 1e-5
    assert local.take([bucket], need, need).granted == 0
    clock[0] += 2e-5
    assert local.take([bucket], need, need).granted == need


def test_a_refusal_takes_nothing_of_any_bucket():
    clock = [5.0]
    wide = Bucket.make("wide", Limit(10, 1.0, 10), "tenant", "read")
    narrow = Bucket.make("narrow", Limit(1, 1.0, 1), "principal", "read")
    local = LocalBuckets(1, lambda: clock[0])
    assert local.take([narrow], 1, 1).granted == 1
    answer = local.take([wide, narrow], 1, 1)
    assert (answer.granted, answer.bucket.by) == (0, "principal")
    assert local.take([wide], 10, 10).granted == 10


def test_a_cost_above_the_burst_drains_the_bucket_and_is_not_refused_for_ever():
    clock = [5.0]
    bucket = Bucket.make("k", Limit(5, 1.0, 20), "tenant", "inference")
    local = LocalBuckets(1, lambda: clock[0])
    assert local.take([bucket], 100, 100).granted == 100
    refused = local.take([bucket], 1, 1)
    assert refused.granted == 0
    assert refused.wait_s == pytest.approx(0.2)


def test_one_of_several_processes_has_its_share_of_rate_and_burst():
    clock = [5.0]
    bucket = Bucket.make("k", Limit(8, 1.0, 8), "tenant", "read")
    local = LocalBuckets(4, lambda: clock[0])
    assert [local.take([bucket], 1, 1).granted for _ in range(3)] == [1, 1, 0]
    clock[0] += 0.5
    assert [local.take([bucket], 1, 1).granted for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("limit", "policy"),
    [
        (Limit.parse("60/60s;burst=30"), '"x";q=60;w=60'),
        (Limit.parse("30/60s"), '"x";q=30;w=60'),
        (Limit.per_second(30.0), '"x";q=120;w=4'),
        (Limit.per_second(30.0).part(0.8), '"x";q=96;w=4'),
        (Limit.parse("150/300s"), '"x";q=150;w=300'),
    ],
)
def test_the_policy_header_tells_a_quota_and_its_window(limit, policy):
    text = Bucket.make("rl:someone", limit, "tenant", "x").policy
    assert text.startswith(f"{policy};pk=:")
    assert "someone" not in text
