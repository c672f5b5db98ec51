"""The shadow takes a sample, never makes a caller wait, and drops what is too much."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from cohortlens.analytics.models import Task
from cohortlens.analytics.shadow import ShadowLimits, ShadowTraffic
from cohortlens.contracts.features import SCHEMA
from cohortlens.core import clock
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.telemetry import REGISTRY
from cohortlens.registry.models import Challenger, ModelVersion
from tests.fakes.inference import FakeInferenceClient, scores_of
from tests.fakes.models import prediction_manifest
from tests.fixtures.waiting import eventually

CHAMPION, CHALLENGER = "1" * 64, "2" * 64
NORTH, SOUTH = TenantId(uuid7()), TenantId(uuid7())


class NoDatabase:
    """A database that is away: what is compared cannot be stored, and nobody hears of it."""

    def tenant_transaction(self, tenant_id):
        raise OSError("away")


def champion(share=1.0, **changes) -> ModelVersion:
    challenger = Challenger(2, CHALLENGER, SCHEMA.hash, (30, 90), share, clock.now())
    challenger = replace(challenger, **changes)
    return ModelVersion(
        "prediction",
        1,
        "READY",
        CHAMPION,
        prediction_manifest(),
        clock.now(),
        clock.now(),
        challenger=challenger,
    )


@pytest.fixture
def client():
    return FakeInferenceClient()


@pytest.fixture
async def shadow(client):
    made = ShadowTraffic(NoDatabase(), client, ShadowLimits(duty_ratio=1.0, store_every_s=0.01, time_every=4))
    yield made
    await made.close()


def offer(shadow, rows=1, *, tenant=NORTH, version=None, horizon=30, first=0.0):
    features = np.full((rows, len(SCHEMA.columns)), 1.0, np.float32)
    features[:, 0] = first + np.arange(rows)
    shadow.offer(tenant, version or champion(), Task.SPEND, horizon, features, scores_of("spend", features))


def rows(outcome):
    return REGISTRY.get_sample_value("shadow_rows_total", {"outcome": outcome}) or 0.0


def seen(client, digest=CHALLENGER):
    return sum(len(one.features) for one in client.sent if one.digest == digest)


async def test_without_a_challenger_nothing_happens(shadow, client):
    offer(shadow, version=replace(champion(), challenger=None))
    await asyncio.sleep(0.05)
    assert client.sent == []


async def test_the_challenger_sees_the_rows_of_the_call(shadow, client):
    offer(shadow, 3, first=7.0)
    await eventually(lambda: seen(client) == 3)
    (sent,) = [one for one in client.sent if one.digest == CHALLENGER]
    assert (sent.deployment, sent.target, sent.tenant) == ("prediction", "spend", str(NORTH))
    assert sent.features[:, 0].tolist() == [7.0, 8.0, 9.0]


async def test_about_the_share_of_the_calls_is_seen(shadow, client):
    for _ in range(1000):
        offer(shadow, version=champion(0.2))
    # 1,000 tosses at 0.2: outside 100 to 300 once in 10^14 runs.
    await eventually(lambda: not shadow._queues)
    assert 100 < seen(client) < 300


@pytest.mark.parametrize("change", [{"horizons_days": (60,)}, {"schema_hash": "0" * 64}])
async def test_rows_that_the_challenger_cannot_answer_are_not_sent(shadow, client, change):
    offer(shadow, version=champion(**change))
    await asyncio.sleep(0.05)
    assert client.sent == []


async def test_of_a_large_call_some_rows_from_all_over_are_taken(shadow, client):
    offer(shadow, 1000)
    await eventually(lambda: seen(client) > 0)
    taken = np.concatenate([one.features[:, 0] for one in client.sent if one.digest == CHALLENGER])
    assert 60 <= len(taken) <= 64
    assert taken[-1] - taken[0] > 900


async def test_beyond_the_bound_rows_are_dropped_and_counted_and_a_tenant_cannot_take_all(shadow, client):
    client.gate = asyncio.Event()
    dropped = rows("dropped")
    for _ in range(3000):
        offer(shadow, tenant=NORTH)
    offer(shadow, tenant=SOUTH)
    assert rows("dropped") - dropped == 3000 - 1024
    assert shadow._held[SOUTH] == 1
    client.gate.set()


async def test_tenants_take_turns(shadow, client):
    for _ in range(500):
        offer(shadow, tenant=NORTH)
    offer(shadow, tenant=SOUTH)
    await eventually(lambda: any(one.tenant == str(SOUTH) for one in client.sent))
    turn = next(index for index, one in enumerate(client.sent) if one.tenant == str(SOUTH))
    assert turn <= 2  # one batch of the other tenant, timed with both versions, went before


async def test_a_challenger_that_fails_is_counted_and_the_next_rows_are_tried(shadow, client):
    failed = rows("failed")
    shadow._limits = replace(shadow._limits, pause_after_fault_s=0.01)
    client.faults = [None, FailedPrecondition("no", reason="ARTIFACT_CORRUPT")]
    offer(shadow)
    await eventually(lambda: rows("failed") > failed)
    offer(shadow)
    await eventually(lambda: seen(client) == 2)


async def test_now_and_then_both_versions_score_the_same_rows(shadow, client):
    for _ in range(8):
        offer(shadow)
        count = seen(client)
        await eventually(lambda count=count: seen(client) > count)
    await eventually(lambda: seen(client, CHAMPION) == 2)
    assert seen(client) == 8
    timed = [one.digest for one in client.sent][:2]
    assert set(timed) == {CHAMPION, CHALLENGER}


async def test_after_the_end_nothing_is_taken(shadow, client):
    await shadow.close()
    offer(shadow)
    await asyncio.sleep(0.05)
    assert client.sent == []
