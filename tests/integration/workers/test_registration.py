"""Registration against a real Valkey, its outage included."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.fixtures.waiting import eventually
from workers.deployments.registration import CHANNEL, Registration, ReplicaRecord, key_of, redis_client

KEY = key_of("prediction", "r1")


@pytest.fixture
def clean(valkey):
    with valkey.client() as client:
        client.flushall()
        yield client


def registration(valkey, loaded=()):
    state = {"loaded": loaded}

    def record():
        return ReplicaRecord(
            "prediction", "r1", "127.0.0.1:5", "", 42, "2026-01-01T00:00:00+00:00", state["loaded"]
        )

    return Registration(redis_client(valkey.url), record), state


async def test_a_record_lives_while_it_beats_and_is_told_once(valkey, clean):
    listener = clean.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(CHANNEL)
    listener.get_message(timeout=5)
    made, _ = registration(valkey)
    made.start()
    await eventually(lambda: clean.exists(KEY))

    told = json.loads(clean.get(KEY))
    assert re.fullmatch("[0-9a-f]{32}", told.pop("host"))
    assert told == {
        "deployment": "prediction", "replica": "r1", "address": "127.0.0.1:5", "socket": "", "pid": 42,
        "started_at": "2026-01-01T00:00:00+00:00", "loaded": [], "rows_in_flight": 0, "queue_ms": 0.0,
        "frame_socket": "", "frame_faults": 0,
    }  # fmt: skip
    await eventually(lambda: clean.pttl(KEY) < 2500)
    await eventually(lambda: clean.pttl(KEY) > 2500)  # a beat has renewed it
    assert made.beating
    assert listener.get_message(timeout=1)["data"] == KEY.encode()
    assert listener.get_message(timeout=0.1) is None
    await made.stop()
    listener.close()


async def test_a_change_is_told_at_once_instead_of_with_the_next_beat(valkey, clean):
    made, state = registration(valkey)
    made.start()
    await eventually(lambda: clean.exists(KEY))

    state["loaded"] = ("d" * 64,)
    made.changed()

    await eventually(lambda: json.loads(clean.get(KEY))["loaded"] == ["d" * 64], seconds=0.8)
    await made.stop()


async def test_after_the_end_the_key_is_gone_at_once_and_no_late_beat_revives_it(valkey, clean):
    made, _ = registration(valkey)
    made.start()
    await eventually(lambda: clean.exists(KEY))
    listener = clean.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(CHANNEL)
    listener.get_message(timeout=5)

    await made.stop()

    assert not clean.exists(KEY)
    assert not made.beating
    assert listener.get_message(timeout=1)["data"] == KEY.encode()
    with pytest.raises(AssertionError, match=r"not within 1\.5 s"):
        await eventually(lambda: clean.exists(KEY), seconds=1.5)
    listener.close()


async def test_a_record_returns_by_itself_after_redis_was_away(valkey, clean, caplog):
    made, _ = registration(valkey)
    made.start()
    await eventually(lambda: clean.exists(KEY))

    await asyncio.to_thread(valkey.stop)
    await eventually(lambda: "cannot reach Redis" in caplog.text)
    assert made.beating
    await asyncio.to_thread(valkey.start)

    def back():
        with valkey.client() as client:
            return client.exists(KEY)

    await eventually(back)
    await made.stop()


async def test_ending_while_redis_is_away_does_not_hang(valkey, clean):
    made, _ = registration(valkey)
    made.start()
    await eventually(lambda: clean.exists(KEY))
    await asyncio.to_thread(valkey.stop)

    async with asyncio.timeout(5):
        await made.stop()

    await asyncio.to_thread(valkey.start)
