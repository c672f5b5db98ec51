import asyncio
import json
import os
import signal

import asyncpg

from cohortlens.core import outbox
from cohortlens.core.errors import Unavailable
from cohortlens.jobs.handlers import Handler
from cohortlens.jobs.maintenance import Task
from cohortlens.jobs.runner import HEARTBEAT_KEY


def settled(superuser, count=1):
    async def condition():
        return await superuser.fetchval("SELECT count(*) FROM outbox WHERE done_at IS NOT NULL") >= count

    return condition


def dead(superuser):
    async def condition():
        return await superuser.fetchval("SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL") > 0

    return condition


async def test_an_event_is_worked_on_once_and_settled(running, record, eventually, superuser, tenants):
    seen = []

    async def run(_, event):
        seen.append((event.topic, event.tenant_id, event.payload))

    async with running({"a.happened": Handler(run)}):
        await record("a.happened", thing="x")
        await eventually(settled(superuser), "the event is settled")
    assert seen == [("a.happened", tenants[0].tenant_id, {"thing": "x"})]


async def test_a_fault_of_the_work_is_tried_again_and_then_left_dead_with_its_reason(
    running, record, eventually, superuser, monkeypatch
):
    monkeypatch.setattr(outbox, "back_off_s", lambda attempts: 0.0)
    attempts, buried = [], []

    async def run(_, event):
        attempts.append(event.attempts)
        raise ValueError("cannot be done")

    async def on_dead(_, event):
        buried.append(event.attempts)

    async with running({"a.happened": Handler(run, max_attempts=3, on_dead=on_dead)}):
        await record("a.happened")
        await eventually(dead(superuser), "the event is dead")
    assert (attempts, buried) == ([1, 2, 3], [3])
    assert await superuser.fetchval("SELECT last_error FROM outbox") == "ValueError: cannot be done"


async def test_a_lost_dependency_does_not_use_up_the_attempts_of_the_work(
    running, record, eventually, superuser, monkeypatch
):
    monkeypatch.setattr(outbox, "back_off_s", lambda attempts: 0.0)

    async def run(_, event):
        if event.attempts < 4:
            raise Unavailable("workers are starting")

    async with running({"a.happened": Handler(run, max_attempts=1)}):
        await record("a.happened")
        await eventually(settled(superuser), "the event is settled")
    assert await superuser.fetchval("SELECT attempts FROM outbox") == 4


async def test_no_more_events_of_a_topic_run_at_once_than_its_handler_allows(
    running, record, eventually, superuser
):
    now, most = 0, 0

    async def run(_, event):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1

    for number in range(8):
        await record("a.happened", f"key-{number}")
    async with running({"a.happened": Handler(run, concurrency=2)}):
        await eventually(settled(superuser, 8), "all events are settled")
    assert most == 2


async def test_work_longer_than_its_lease_keeps_the_event(running, record, eventually, superuser):
    release, attempts = asyncio.Event(), []

    async def run(_, event):
        attempts.append(event.attempts)
        await release.wait()

    async with running({"a.happened": Handler(run, concurrency=2)}, lease_s=0.6):
        await record("a.happened")

        async def leased_anew():
            held = "SELECT k.due_at > o.created_at + interval '2 seconds' FROM outbox_keys k JOIN outbox o ON o.id = k.head_id"
            return bool(await superuser.fetchval(held))

        await eventually(leased_anew, "the lease is renewed past its first end")
        release.set()
        await eventually(settled(superuser), "the event is settled")
    assert attempts == [1]


async def test_work_whose_claim_is_lost_is_stopped(running, record, eventually, superuser):
    stopped = asyncio.Event()

    async def run(_, event):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise

    async with running({"a.happened": Handler(run)}, lease_s=0.6):
        await record("a.happened")

        async def claimed():
            return await superuser.fetchval("SELECT worker = 'runner' FROM outbox_keys") is True

        await eventually(claimed, "the event is claimed")
        await superuser.execute("UPDATE outbox_keys SET worker = 'thief', due_at = now() + interval '1 hour'")
        await asyncio.wait_for(stopped.wait(), 10)


async def test_a_stop_lets_running_work_end(running, record, eventually, superuser):
    begun = asyncio.Event()

    async def run(_, event):
        begun.set()
        await asyncio.sleep(0.3)

    async with running({"a.happened": Handler(run)}):
        await record("a.happened")
        await asyncio.wait_for(begun.wait(), 10)
    assert await superuser.fetchval("SELECT done_at IS NOT NULL FROM outbox")


async def test_work_that_outlasts_the_grace_is_given_back_at_once(running, record, superuser):
    begun = asyncio.Event()

    async def run(_, event):
        begun.set()
        await asyncio.Event().wait()

    async with running({"a.happened": Handler(run)}, grace_s=0.1):
        await record("a.happened")
        await asyncio.wait_for(begun.wait(), 10)
    row = await superuser.fetchrow(
        "SELECT done_at, dead_at, worker, due_at <= clock_timestamp() AS due FROM outbox JOIN outbox_keys ON id = head_id"
    )
    assert (row["done_at"], row["dead_at"], row["worker"], row["due"]) == (None, None, None, True)


async def test_the_process_shows_that_it_lives(running, redis_client, eventually):
    async with running({}):

        async def beats():
            return await redis_client.get(HEARTBEAT_KEY) is not None

        await eventually(beats, "a heartbeat")
        beat = json.loads(await redis_client.get(HEARTBEAT_KEY))
        assert beat["worker"] == "runner"
        assert 0 < await redis_client.pttl(HEARTBEAT_KEY) <= 15_000


async def test_upkeep_that_fails_holds_up_no_other(running, eventually):
    done = []

    async def broken(_):
        raise RuntimeError("no")

    async def fine(_):
        done.append(1)
        return 1

    async with running({}, tasks=(Task("broken", 0.05, broken), Task("fine", 0.05, fine))):

        async def twice():
            return len(done) >= 2

        await eventually(twice, "the other task runs again")


async def test_work_goes_on_after_postgresql_was_killed(
    postgres_server, running, record, eventually, postgres_urls, caplog
):
    seen = asyncio.Event()

    async def run(_, event):
        seen.set()

    async def noticed():
        return "claim_failed" in caplog.text

    async with running({"a.happened": Handler(run)}) as task:
        os.kill(_postmaster(postgres_server), signal.SIGKILL)
        await asyncio.to_thread(postgres_server.server.wait, 10)
        try:
            await eventually(noticed, "a claim meets no server")
        finally:
            await asyncio.to_thread(postgres_server.start)
        assert not task.done()
        await record("a.happened")
        await asyncio.wait_for(seen.wait(), 60)
        connection = await asyncpg.connect(postgres_urls.superuser)
        await eventually(settled(connection), "the event is settled")
        await connection.close()


async def test_work_goes_on_without_redis(redis_server, running, record, eventually, superuser):
    async def run(_, event):
        return None

    await asyncio.to_thread(redis_server.stop)
    try:
        async with running({"a.happened": Handler(run)}):
            await record("a.happened")
            await eventually(settled(superuser), "the event is settled")
    finally:
        await asyncio.to_thread(redis_server.start)


def _postmaster(server):
    return int((server.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
