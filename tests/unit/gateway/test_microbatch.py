"""The micro-batcher: order, batching, fairness, overload, poison, deadlines and cancellation."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.core.errors import DeadlineExceeded, Internal, InvalidArgument, Unavailable
from gateway.microbatch.batcher import MicroBatcher
from gateway.microbatch.lane import BatchLimits
from tests.fakes.inference import FakeInferenceClient, scores_of, workers_away

DIGEST = "a" * 64


def rows(*values):
    return np.array([[value, 1.0] for value in values], np.float32)


def score(batcher, features, *, digest=DIGEST, target="spend", tenant="t1", timeout=10.0):
    return batcher.score(
        "prediction", digest, "h", target, features, deadline=time.monotonic() + timeout, tenant=tenant
    )


async def held(client):
    """Occupy the only replica with one call; returns the batcher and that call."""
    client.gate = asyncio.Event()
    batcher = MicroBatcher(client, BatchLimits(batch_rows=4, call_rows=4, queue_rows=12))
    first = asyncio.create_task(score(batcher, rows(0)))
    await settle()
    return batcher, first


async def settle(rounds=5):
    for _ in range(rounds):
        await asyncio.sleep(0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 9), st.sampled_from(["t1", "t2", "t3"]), st.sampled_from(["spend", "purchases"])
        ),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 3),
)
def test_every_call_gets_its_own_rows_in_order_whatever_runs_beside_it(calls, replicas):
    async def run():
        client = FakeInferenceClient(replicas={"prediction": replicas})
        batcher = MicroBatcher(client, BatchLimits(batch_rows=4, call_rows=4))
        asked, start = [], 0
        for size, tenant, target in calls:
            asked.append((rows(*range(start, start + size)), tenant, target))
            start += size
        answers = await asyncio.gather(
            *(score(batcher, features, tenant=tenant, target=target) for features, tenant, target in asked)
        )
        for (features, _, target), answer in zip(asked, answers, strict=True):
            np.testing.assert_array_equal(answer["value"], scores_of(target, features)["value"])
        assert max(len(sent.features) for sent in client.sent) <= 4
        assert sum(len(sent.features) for sent in client.sent) == start
        assert client.most_running <= replicas

    asyncio.run(run())


async def test_a_lone_call_leaves_at_once_and_later_ones_share_the_next_batch():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    assert [len(sent.features) for sent in client.sent] == [1]
    waiting = [asyncio.create_task(score(batcher, rows(value))) for value in (1, 2, 3)]
    await settle()
    assert len(client.sent) == 1
    client.gate.set()
    await asyncio.gather(first, *waiting)
    assert [len(sent.features) for sent in client.sent] == [1, 3]


async def test_rows_of_different_models_never_share_a_batch():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    others = [asyncio.create_task(score(batcher, rows(1), digest=digest * 64)) for digest in "bcb"]
    await settle()
    client.gate.set()
    await asyncio.gather(first, *others)
    assert sorted((sent.digest[0], len(sent.features)) for sent in client.sent) == [
        ("a", 1),
        ("b", 2),
        ("c", 1),
    ]


async def test_a_tenant_s_flood_does_not_delay_another_tenant_beyond_the_next_batch():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    flood = [
        asyncio.create_task(score(batcher, rows(1, 1, 1, 1), tenant="noisy", digest="b" * 64))
        for _ in range(2)
    ]
    await settle()
    quiet = asyncio.create_task(score(batcher, rows(7), tenant="quiet", digest="c" * 64))
    await settle()
    client.gate.set()
    await asyncio.gather(first, *flood, quiet)
    assert [sent.digest[0] for sent in client.sent].index("c") <= 2


async def test_tenants_of_one_model_take_turns_inside_a_batch():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    noisy = [asyncio.create_task(score(batcher, rows(value), tenant="noisy")) for value in range(1, 9)]
    await settle()
    quiet = asyncio.create_task(score(batcher, rows(99), tenant="quiet"))
    await settle()
    client.gate.set()
    await asyncio.gather(first, quiet, *noisy)
    assert 99 in client.sent[1].features[:, 0]


async def test_a_cancelled_call_is_dropped_before_it_is_sent():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    gone = asyncio.create_task(score(batcher, rows(5)))
    stays = asyncio.create_task(score(batcher, rows(6)))
    await settle()
    gone.cancel()
    await settle()
    client.gate.set()
    answer = (await asyncio.gather(first, stays))[1]
    assert answer["value"] == pytest.approx(scores_of("spend", rows(6))["value"])
    assert [sent.features[:, 0].tolist() for sent in client.sent] == [[0], [6]]


async def test_the_batch_is_cancelled_when_nobody_waits_for_it_any_more():
    client = FakeInferenceClient()
    _, first = await held(client)
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await settle()
    assert client.cancelled == 1


async def test_a_batch_goes_on_while_somebody_still_waits_for_it():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    gone, stays = (asyncio.create_task(score(batcher, rows(value))) for value in (1, 2))
    await settle()
    client.gate.set()
    await first
    client.gate.clear()
    await settle()
    gone.cancel()
    await settle()
    client.gate.set()
    assert (await stays)["value"] == pytest.approx(scores_of("spend", rows(2))["value"])
    assert client.cancelled == 0


async def test_a_waiting_call_whose_deadline_passes_fails_and_its_rows_are_never_sent():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    with pytest.raises(DeadlineExceeded):
        await score(batcher, rows(5), timeout=0.02)
    client.gate.set()
    await first
    assert [sent.features[:, 0].tolist() for sent in client.sent] == [[0]]


async def test_more_waiting_rows_than_the_limit_are_refused_with_a_retry_delay():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    waiting = [asyncio.create_task(score(batcher, rows(1, 2, 3, 4))) for _ in range(3)]
    await settle()
    with pytest.raises(Unavailable) as refused:
        await score(batcher, rows(5))
    assert refused.value.reason == "OVERLOADED"
    assert refused.value.retry_delay_s > 0
    client.gate.set()
    await asyncio.gather(first, *waiting)


async def test_a_wait_that_would_outlast_the_deadline_is_refused_at_once():
    client = FakeInferenceClient()
    client.gate = asyncio.Event()
    batcher = MicroBatcher(client, BatchLimits(batch_rows=1))
    slow = asyncio.create_task(score(batcher, rows(0)))
    await asyncio.sleep(0.1)
    client.gate.set()
    await slow
    client.gate.clear()
    busy = [asyncio.create_task(score(batcher, rows(1))) for _ in range(8)]
    await settle()
    with pytest.raises(Unavailable, match="later"):
        await score(batcher, rows(2), timeout=0.05)
    client.gate.set()
    await asyncio.gather(*busy)


async def test_a_poisoned_row_fails_its_own_call_and_spares_its_neighbours():
    client = FakeInferenceClient(refused_value=13.0)
    batcher, first = await held(client)
    good, bad, fine = (asyncio.create_task(score(batcher, rows(value))) for value in (1, 13, 2))
    await settle()
    client.gate.set()
    await first
    with pytest.raises(InvalidArgument):
        await bad
    assert (await good)["value"] == pytest.approx(scores_of("spend", rows(1))["value"])
    assert (await fine)["value"] == pytest.approx(scores_of("spend", rows(2))["value"])


@pytest.mark.parametrize(
    "features",
    [
        np.array([[1.0, np.inf]], np.float32),
        np.array([1.0, 2.0], np.float32),
        np.array([[1.0, 2.0]], np.float64),
        np.zeros((0, 2), np.float32),
    ],
    ids=["infinite", "one-dimensional", "double", "empty"],
)
async def test_rows_that_cannot_be_scored_never_reach_a_batch(features):
    client = FakeInferenceClient()
    with pytest.raises(InvalidArgument):
        await score(MicroBatcher(client), features)
    assert client.sent == []


async def test_absent_workers_fail_all_calls_of_a_batch_without_repeating_them():
    client = FakeInferenceClient()
    batcher, first = await held(client)
    waiting = [asyncio.create_task(score(batcher, rows(value))) for value in (1, 2, 3)]
    await settle()
    client.faults = [None, workers_away("prediction")]
    client.gate.set()
    await first
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {getattr(result, "reason", result) for result in results} == {"WORKERS_UNAVAILABLE"}
    assert len(client.sent) == 2


async def test_a_failure_of_one_part_of_a_split_call_fails_the_call_once():
    client = FakeInferenceClient(faults=[None, Internal("broken")])
    batcher = MicroBatcher(client, BatchLimits(batch_rows=2, call_rows=2))
    with pytest.raises(Internal):
        await score(batcher, rows(1, 2, 3, 4, 5))
    # The lane is free again.
    assert (await score(batcher, rows(9)))["value"] == pytest.approx(scores_of("spend", rows(9))["value"])


async def test_an_answer_of_another_length_is_a_fault_of_ours_not_a_wrong_result():
    class Short(FakeInferenceClient):
        async def score(self, *args, **kwargs):
            return {name: values[:-1] for name, values in (await super().score(*args, **kwargs)).items()}

    with pytest.raises(Internal):
        await score(MicroBatcher(Short()), rows(1, 2))


async def test_a_flood_that_fills_the_queue_refuses_the_flooding_tenant_only():
    client = FakeInferenceClient(gate=asyncio.Event())
    batcher = MicroBatcher(client, BatchLimits(batch_rows=4, call_rows=4, queue_rows=12))
    calls = [asyncio.create_task(score(batcher, rows(0), tenant="flood"))]
    await settle()
    calls += [asyncio.create_task(score(batcher, rows(1, 2, 3, 4), tenant="flood")) for _ in range(3)]
    await settle()
    with pytest.raises(Unavailable) as refused:
        await score(batcher, rows(5), tenant="flood")
    assert refused.value.reason == "OVERLOADED"
    other = asyncio.create_task(score(batcher, rows(6, 7), tenant="calm"))
    await settle()
    assert not other.done()
    client.gate.set()
    await asyncio.gather(*calls, other)
    # The calm tenant's rows went with the first batch behind the one under way, or the second.
    assert any((sent.features[:, 0] == 6).any() for sent in client.sent[1:3])


async def test_an_earlier_deadline_ends_its_call_although_a_later_one_came_first():
    client = FakeInferenceClient(gate=asyncio.Event())
    batcher = MicroBatcher(client, BatchLimits(batch_rows=4, call_rows=4))
    long = asyncio.create_task(score(batcher, rows(1), timeout=60.0))
    await settle()
    with pytest.raises(DeadlineExceeded):
        await score(batcher, rows(2), timeout=0.05)
    with pytest.raises(DeadlineExceeded):
        await score(batcher, rows(3), timeout=0.05)
    client.gate.set()
    assert (await long)["value"].shape == (1,)


async def test_a_call_of_many_rows_travels_whole_and_alone():
    client = FakeInferenceClient(gate=asyncio.Event())
    batcher = MicroBatcher(client, BatchLimits(batch_rows=2, call_rows=8))
    first = asyncio.create_task(score(batcher, rows(0)))
    await settle()
    many = asyncio.create_task(score(batcher, rows(1, 2, 3, 4, 5)))
    one = asyncio.create_task(score(batcher, rows(6)))
    await settle()
    client.gate.set()
    await asyncio.gather(first, many, one)
    assert [sent.features[:, 0].tolist() for sent in client.sent] == [[0], [1, 2, 3, 4, 5], [6]]


async def test_many_rows_travel_while_others_are_worked_on_but_no_third_time():
    client = FakeInferenceClient(gate=asyncio.Event())
    batcher = MicroBatcher(client, BatchLimits(batch_rows=2, call_rows=8))
    calls = [asyncio.create_task(score(batcher, rows(at, at, at))) for at in range(3)]
    await settle()
    assert client.most_running == 2
    client.gate.set()
    await asyncio.gather(*calls)
    assert client.most_running == 2
