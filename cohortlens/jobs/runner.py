"""Claims events of the outbox and works on them: leases, back-off, dead letters, graceful stop, heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from cohortlens.core import outbox, tracing
from cohortlens.core.errors import Aborted, Cancelled, CohortLensError, DeadlineExceeded, Unavailable
from cohortlens.core.outbox import MAX_ATTEMPTS, Event, Wanted
from cohortlens.core.redis import key, translated
from cohortlens.core.telemetry import bound, get_logger
from cohortlens.core.tracing import Kind
from cohortlens.jobs.handlers import Handler, Services
from cohortlens.jobs.maintenance import TASKS, Task, keep_up

HEARTBEAT_KEY = key("jobs", "heartbeat")
HEARTBEAT_S = 5.0
HEARTBEAT_LIFE_MS = 15_000
IDLE_S = 0.25
STOP_GRACE_S = 20.0
_MAX_PAUSE_S = 10.0
CALL_S = 20.0
"""Bound of one short act on the database, beyond its own 10 s: a connection may be silent and never end."""
_WRITE_ATTEMPTS = 5
_BRIEF_ATTEMPTS = 10
_TRANSIENT = (Unavailable, Aborted, DeadlineExceeded, Cancelled)
_LOG = get_logger(__name__)


class Runner:
    """Works on the events of some topics until told to stop.

    Args:
        services: What handlers use.
        handlers: Handler by topic.
        worker_id: Name of this process, unique among those alive.
        lease_s: Seconds a claim holds; renewed at a third of it while the work goes on.
        tasks: Upkeep by the clock.
        grace_s: Seconds that running work may go on after the stop; then it is given back.
        call_s: Seconds that a claim, a settling or a renewal may take.
    """

    def __init__(
        self,
        services: Services,
        handlers: Mapping[str, Handler],
        worker_id: str,
        *,
        lease_s: float = outbox.LEASE_S,
        tasks: tuple[Task, ...] = TASKS,
        grace_s: float = STOP_GRACE_S,
        call_s: float = CALL_S,
    ) -> None:
        self._services = services
        self._handlers = handlers
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._tasks = tasks
        self._grace_s = grace_s
        self._call_s = call_s
        self._running: dict[asyncio.Task[None], str] = {}
        self._free = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set and what was running has ended or was given back."""
        side = [
            asyncio.create_task(self._heartbeat(), name="heartbeat"),
            asyncio.create_task(keep_up(self._services, self._tasks), name="upkeep"),
        ]
        _LOG.info("jobs_started", worker=self._worker_id, topics=sorted(self._handlers))
        try:
            await self._claim_until(stop)
            await self._drain()
        finally:
            for task in [*side, *self._running]:
                task.cancel()
            await asyncio.gather(*side, *self._running, return_exceptions=True)
            _LOG.info("jobs_stopped", worker=self._worker_id)

    async def _claim_until(self, stop: asyncio.Event) -> None:
        pause = IDLE_S
        while not stop.is_set():
            try:
                claimed = await self._claim()
                pause = 0.0 if claimed else IDLE_S
            except (CohortLensError, OSError) as error:
                pause = min(max(pause, IDLE_S) * 2, _MAX_PAUSE_S)
                _LOG.warning("claim_failed", error=str(error), retry_in_s=pause)
            self._free.clear()
            await _first(stop.wait(), self._free.wait(), timeout_s=pause * random.uniform(0.8, 1.2))  # noqa: S311

    async def _claim(self) -> int:
        busy = Counter(self._running.values())
        wanted = [
            Wanted(topic, room, self._lease_of(handler))
            for topic, handler in self._handlers.items()
            if (room := handler.concurrency - busy[topic]) > 0
        ]
        if not wanted:
            return 0
        async with asyncio.timeout(self._call_s):
            events = await outbox.claim(self._services.db, self._worker_id, wanted)
        for event in events:
            self._start(event, self._handlers[event.topic])
        return len(events)

    def _start(self, event: Event, handler: Handler) -> None:
        task = asyncio.create_task(self._work(event, handler), name=f"{event.topic} {event.id}")
        self._running[task] = event.topic
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._free.set()
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("event_lost", error=repr(task.exception()))

    async def _work(self, event: Event, handler: Handler) -> None:
        with (
            bound(request_id=str(event.id), tenant_id=str(event.tenant_id)),
            tracing.span(
                f"outbox {event.topic}", Kind.CONSUMER, _told(event), parent=event.traceparent
            ) as span,
        ):
            started = time.monotonic()
            try:
                if event.attempts > MAX_ATTEMPTS:
                    raise _WorkerDied("the worker died in every attempt")
                await self._leased(event, handler)
            except asyncio.CancelledError:
                with contextlib.suppress(CohortLensError, OSError):
                    await outbox.fail(self._services.db, event, "the process was stopped", retry_in_s=0.0)
                raise
            except _LeaseLost:
                _LOG.warning("lease_lost", topic=event.topic, attempt=event.attempts)
            except Exception as error:
                if span is not None:
                    span.fail(type(error).__name__)
                await self._failed(event, handler, error)
            else:
                await self._insist(lambda: outbox.settle(self._services.db, event))
                _LOG.info("event_done", topic=event.topic, elapsed_s=round(time.monotonic() - started, 3))

    async def _leased(self, event: Event, handler: Handler) -> None:
        work = asyncio.ensure_future(handler.run(self._services, event))
        renewal = asyncio.create_task(self._renew(event, self._lease_of(handler)))
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise _LeaseLost
            await work
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    def _lease_of(self, handler: Handler) -> float:
        return self._lease_s if handler.lease_s is None else handler.lease_s

    async def _renew(self, event: Event, lease_s: float) -> None:
        """Return when the claim is lost."""
        held_until = time.monotonic() + lease_s
        while True:
            await asyncio.sleep(lease_s / 3)
            try:
                async with asyncio.timeout(self._call_s):
                    is_held = await outbox.extend(self._services.db, event, lease_s=lease_s)
                if not is_held:
                    return
                held_until = time.monotonic() + lease_s
            except (CohortLensError, OSError):
                # Two at once would be safe but wasteful: give up when the lease must be over.
                if time.monotonic() > held_until:
                    return

    async def _failed(self, event: Event, handler: Handler, error: Exception) -> None:
        transient = isinstance(error, _TRANSIENT)
        most = MAX_ATTEMPTS if transient else handler.max_attempts
        final = event.attempts >= most or isinstance(error, handler.final)
        if transient:
            _LOG.warning("event_failed", topic=event.topic, attempt=event.attempts, error=str(error))
        else:
            _LOG.exception("event_failed", topic=event.topic, attempt=event.attempts, final=final)
        if final:
            _LOG.error("event_dead", topic=event.topic, event_id=str(event.id), next="cohortlens outbox list")
        if final and handler.on_dead is not None:
            on_dead = handler.on_dead
            await self._insist(lambda: on_dead(self._services, event))
        # What is away mostly comes back soon; what stays away is asked for less and less.
        is_brief = transient and event.attempts <= _BRIEF_ATTEMPTS
        delay = min(outbox.back_off_s(event.attempts), 30.0) if is_brief else None
        text = f"{type(error).__name__}: {error}"
        await self._insist(lambda: outbox.fail(self._services.db, event, text, delay, final=final))

    async def _insist(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do a short act, again after a lost connection; gives up quietly, as the lease will end."""
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                async with asyncio.timeout(self._call_s):
                    await act()
            except (CohortLensError, OSError) as error:
                _LOG.warning("outbox_write_failed", error=str(error), attempt=attempt + 1)
                await asyncio.sleep(min(0.5 * 2**attempt, 5.0))
            else:
                return

    async def _drain(self) -> None:
        if self._running:
            _LOG.info("jobs_draining", running=len(self._running))
            await asyncio.wait(set(self._running), timeout=self._grace_s)

    async def _heartbeat(self) -> None:
        while True:
            beat = {
                "worker": self._worker_id,
                "pid": os.getpid(),
                "at": time.time(),
                "running": len(self._running),
            }
            try:
                with translated():
                    await self._services.redis.set(HEARTBEAT_KEY, json.dumps(beat), px=HEARTBEAT_LIFE_MS)
            except (CohortLensError, OSError) as error:
                _LOG.warning("heartbeat_failed", error=str(error))
            await asyncio.sleep(HEARTBEAT_S)


class _WorkerDied(Exception):
    """Nobody ever came back with a result of the event."""


class _LeaseLost(Exception):
    """Another process may have the event by now."""


def _told(event: Event) -> dict[str, tracing.Value]:
    return {
        "messaging.destination.name": event.topic,
        "messaging.message.id": str(event.id),
        "cohortlens.attempt": event.attempts,
    }


async def _first(*waits: Awaitable[object], timeout_s: float) -> None:
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
