"""The Redis client on good and bad days."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from cohortlens.core.errors import Unavailable
from cohortlens.core.redis import end_tasks, key, translated
from cohortlens.core.redis import redis_client as connect


async def _ping(client):
    with translated():
        return await client.ping()


def test_keys_share_one_prefix():
    assert key("revoked", 7) == "cl:revoked:7"


async def test_nothing_listening_is_unavailable_with_a_time_to_retry():
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable) as caught:
        await _ping(client)
    assert (caught.value.reason, caught.value.retry_delay_s) == ("REDIS_UNAVAILABLE", 1.0)
    await client.aclose()


async def test_a_server_that_accepts_and_never_answers_is_given_up_in_bounded_time():
    writers = []
    silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    client = connect(f"redis://127.0.0.1:{port}/0", timeout_s=0.2)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await _ping(client)
    await client.aclose()
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    silent.close()
    await silent.wait_closed()


async def test_a_task_that_listens_ends_at_whatever_moment_it_is_asked_to(redis_client):
    async def listen():
        while True:
            async with redis_client.pubsub() as pubsub:
                await pubsub.subscribe("news")
                await pubsub.get_message(timeout=0.02)

    for moment in range(20):
        listening = asyncio.create_task(listen())
        await asyncio.sleep(moment / 1000)
        await asyncio.wait_for(end_tasks((None, listening)), 10)
        assert listening.cancelled()


async def test_redis_killed_with_9_and_started_again_needs_no_restart_of_ours(redis_server, redis_url):
    client = connect(redis_url)
    assert await _ping(client)
    os.kill(redis_server.server._process.pid, signal.SIGKILL)
    await asyncio.to_thread(redis_server.server.wait, 10)
    try:
        with pytest.raises(Unavailable):
            await _ping(client)
    finally:
        await asyncio.to_thread(redis_server.start)
    assert await _ping(client)
    await client.aclose()


async def test_more_callers_than_connections_wait_for_their_turn(redis_url):
    client = connect(redis_url, max_connections=2)
    assert all(await asyncio.gather(*(_ping(client) for _ in range(50))))
    await client.aclose()
