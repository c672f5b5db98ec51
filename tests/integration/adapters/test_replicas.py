"""The directory of replicas on a real Valkey: keys that expire, announcements, a server that is killed."""

from __future__ import annotations

import asyncio
import json

import pytest

from cohortlens.adapters.replicas import CHANNEL, ReplicaDirectory
from cohortlens.core.redis import redis_client as connect
from tests.fixtures.waiting import eventually


async def register(redis, name, *, life_ms=60_000, tell=True):
    record = {"deployment": "prediction", "replica": name, "address": "127.0.0.1:1", "socket": ""}
    await redis.set(f"cl:replica:prediction:{name}", json.dumps(record), px=life_ms)
    if tell:
        await redis.publish(CHANNEL, name)


@pytest.fixture
async def directory(redis_url):
    client = connect(redis_url)
    directory = ReplicaDirectory(client, refresh_s=0.5, absence_grace_s=1.0)
    directory.start()
    yield directory
    await directory.close()
    await client.aclose()


async def test_replicas_join_by_their_announcement_and_leave_when_their_key_expires(redis_client, directory):
    await register(redis_client, "stays")
    await register(redis_client, "dies", life_ms=300, tell=False)
    await eventually(lambda: directory.counts() == {"prediction": 2}, 15.0)
    await eventually(lambda: directory.counts() == {"prediction": 1}, 15.0)
    assert directory.live("prediction")[0].replica == "stays"


async def test_a_killed_server_takes_no_replica_away_and_new_ones_are_seen_after_it_returns(
    redis_client, redis_server, directory
):
    await register(redis_client, "old")
    await eventually(lambda: directory.counts() == {"prediction": 1}, 15.0)
    redis_server.stop()
    try:
        await asyncio.sleep(1.0)
        assert directory.counts() == {"prediction": 1}
    finally:
        redis_server.start()
    client = connect(redis_server.url)
    await register(client, "old")
    await register(client, "new")
    await client.aclose()
    await eventually(lambda: directory.counts() == {"prediction": 2}, 15.0)
