"""The inbox of the payment provider in the process of jobs: events as they come, upkeep by the clock.

The inbox is asked four times a second, as the outbox is: a probe of one index, which no lost wake-up can make
late, and quick enough that what was paid for holds within two seconds of the notification.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from cohortlens.billing.payments.following import Following, Rules
from cohortlens.billing.payments.inbox_rows import Claim
from cohortlens.billing.payments.reconciling import Grace, Reconciling, purge_events, watch_inbox
from cohortlens.bootstrap.services import Services
from cohortlens.core.errors import CohortLensError
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Sealer
from cohortlens.core.telemetry import get_logger
from cohortlens.jobs.maintenance import Task

AT_ONCE = 8
IDLE_S = 0.25
STOP_GRACE_S = 20.0
_MAX_PAUSE_S = 10.0
_CALL_S = 20.0
_LOG = get_logger(__name__)


class InboxRunner:
    """Follows events until told to stop.

    Args:
        following: Claims and follows.
        at_once: Customers that this process works on at a time.
        idle_s: Pause between two looks at an empty inbox.
    """

    def __init__(self, following: Following, *, at_once: int = AT_ONCE, idle_s: float = IDLE_S) -> None:
        self._following, self._at_once, self._idle_s = following, at_once, idle_s
        self._running: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set and what was running has ended; what does not end is claimed again."""
        pause = self._idle_s
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                try:
                    pause = 0.0 if await self._claim() else self._idle_s
                except (CohortLensError, OSError) as error:
                    pause = min(max(pause, self._idle_s) * 2, _MAX_PAUSE_S)
                    _LOG.warning("billing_claim_failed", error=str(error), retry_in_s=pause)
                except Exception:
                    # Whatever it stumbles over must not end the inbox while the process lives on.
                    pause = _MAX_PAUSE_S
                    _LOG.exception("billing_claim_failed", retry_in_s=pause)
                if pause:
                    await asyncio.wait({stopping}, timeout=pause * random.uniform(0.8, 1.2))  # noqa: S311
            if self._running:
                await asyncio.wait(set(self._running), timeout=STOP_GRACE_S)
        finally:
            for task in (stopping, *self._running):
                task.cancel()
            await asyncio.gather(stopping, *self._running, return_exceptions=True)

    async def _claim(self) -> bool:
        while len(self._running) >= self._at_once:
            self._free.clear()
            await self._free.wait()
        async with asyncio.timeout(_CALL_S):
            claim = await self._following.claim()
        if claim is None:
            return False
        task = asyncio.create_task(self._work(claim), name=f"billing {claim.customer_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return True

    async def _work(self, claim: Claim) -> None:
        await self._following.work(claim)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.set()
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("billing_events_lost", error=repr(task.exception()))


def inbox_runner(services: Services, worker: str) -> InboxRunner | None:
    """What follows events in this process; None without payments."""
    config = services.config
    if not config.stripe_api_key:
        return None
    return InboxRunner(
        Following(
            services.db,
            services.billing.provider,
            Sealer(services.keyring, MAIL_PURPOSE),
            worker,
            checkouts=services.billing.subscriptions.checkout,
            rules=Rules(grace=timedelta(seconds=config.billing_grace)),
            suspended=services.identity.core.revocations.publish,
        )
    )


def payment_tasks(services: Services) -> tuple[Task, ...]:
    """Upkeep of payments by the clock; nothing without payments."""
    config = services.config
    if not config.stripe_api_key:
        return ()
    sealer = Sealer(services.keyring, MAIL_PURPOSE)
    grace = timedelta(seconds=config.billing_grace)
    reconciling = Reconciling(services.db, services.billing.provider, sealer, grace)
    due = Grace(services.db, sealer, grace)
    return (
        _task("list_missed_events", 3_600.0, reconciling.list_missed),
        # Asked for each hour, done once a day: the rows say which day.
        _task("ask_all_customers", 3_600.0, reconciling.ask_all),
        # Late by a minute at most, and by a quarter of a short grace.
        _task("end_grace", min(60.0, max(1.0, config.billing_grace / 4)), due.end_due),
        _task("watch_billing_events", 15.0, lambda: watch_inbox(services.db)),
        _task("purge_billing_events", 86_400.0, lambda: purge_events(services.db)),
    )


def _task(name: str, interval_s: float, run: Callable[[], Awaitable[int]]) -> Task:
    async def once(_: object) -> int:
        return await run()

    return Task(name, interval_s, once)


async def both(runner: Awaitable[None], inbox: InboxRunner | None, stop: asyncio.Event) -> None:
    """Run the outbox's worker and the inbox's side by side; the end of the first ends the other."""
    if inbox is None:
        await runner
        return
    beside = asyncio.create_task(inbox.run(stop), name="billing inbox")
    try:
        await runner
        await beside
    finally:
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside
