"""A PostgreSQL that hangs, connections that fall silent, a Redis that was away: jobs go on without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from urllib.parse import urlsplit

import psutil

from cohortlens.core import db as core_db
from cohortlens.core.db import Database
from cohortlens.jobs.handlers import Handler
from cohortlens.jobs.runner import HEARTBEAT_KEY, Runner
from tests.integration.jobs.worker_process import JobServices


@contextlib.contextmanager
def frozen(server):
    """Every process of the server, stopped."""
    pid = int((server.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in found:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(found):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


class Relay:
    """A TCP relay whose connections of now can be made silent: nothing passes, nothing is closed."""

    def __init__(self, target):
        self._target = target
        self._silent = asyncio.Event()
        self._tasks = set()

    async def start(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def silence(self):
        self._silent.set()
        self._silent = asyncio.Event()

    async def stop(self):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        silent = self._silent
        there, back = await asyncio.open_connection(*self._target)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink, silent))
            self._tasks.add(task)

    async def _pump(self, source, sink, silent):
        try:
            while data := await source.read(65536):
                if silent.is_set():
                    await asyncio.Event().wait()
                sink.write(data)
        finally:
            sink.close()


async def test_work_goes_on_after_postgresql_hung(postgres_server, running, record, eventually, superuser):
    seen = []

    async def run(_, event):
        seen.append(event.id)

    async with running({"a.happened": Handler(run)}) as task:
        before = await record("a.happened", key="before")
        await eventually(lambda: _within(seen, before), "the first event")
        with frozen(postgres_server):
            await asyncio.sleep(2.0)
        after = await record("a.happened", key="after")
        await eventually(lambda: _within(seen, after), "the event after the pause")
        assert not task.done()


async def test_work_goes_on_when_its_connections_fall_silent_for_good(
    postgres_urls, database, redis_client, record, eventually, monkeypatch
):
    monkeypatch.setattr(core_db, "_CONTROL_TIMEOUT_S", 1.0)
    url = urlsplit(postgres_urls.jobs)
    relay = Relay((url.hostname, url.port))
    port = await relay.start()
    through = Database(url._replace(netloc=url.netloc.rpartition(":")[0] + f":{port}").geturl(), 2)
    seen = []

    async def run(_, event):
        seen.append(event.id)

    stop = asyncio.Event()
    services = JobServices(through, redis_client, None)
    runner = Runner(services, {"a.happened": Handler(run)}, "runner", tasks=(), call_s=1.0)
    task = asyncio.create_task(runner.run(stop))
    try:
        first = await record("a.happened", key="first")
        await eventually(lambda: _within(seen, first), "the first event")
        relay.silence()
        second = await record("a.happened", key="second")
        await eventually(lambda: _within(seen, second), "the event after the silence")
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)
        await through.close()
        await relay.stop()


async def test_the_heartbeat_returns_when_redis_does(
    redis_server, redis_client, running, eventually, monkeypatch
):
    monkeypatch.setattr("cohortlens.jobs.runner.HEARTBEAT_S", 0.2)

    async def beats():
        with contextlib.suppress(Exception):
            return await redis_client.get(HEARTBEAT_KEY) is not None

    async with running({}) as task:
        await eventually(beats, "a heartbeat")
        os.kill(redis_server.server.identity.pid, signal.SIGKILL)
        await asyncio.to_thread(redis_server.stop)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(redis_server.start)
        await eventually(beats, "a heartbeat of the same process")
        assert not task.done()


async def _within(seen, event_id):
    return event_id in seen
