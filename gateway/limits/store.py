"""Where the buckets lie: Redis, one script call under way at a time; without it this process alone.

Checks that arrive while a call is under way form the next one, so that a busy process asks Redis no more
often than it answers. A Redis that fails or hangs costs the calls under way one bounded wait; until it
answers again every process admits its share of each limit by itself, and asks again every half second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Gauge, Histogram

from cohortlens.core.errors import Unavailable
from cohortlens.core.redis import RedisClient, end_tasks, key, translated
from cohortlens.core.telemetry import REGISTRY, get_logger
from gateway.limits.buckets import SCRIPT, Answer, Bucket, LocalBuckets

DEGRADED = Gauge(
    "ratelimit_degraded", "1 while each process limits for itself because Redis is away", registry=REGISTRY
)
CHECKS = Histogram(
    "ratelimit_checks_per_call",
    "Checks that one call of the script answered",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
_CHECKS_MAX = 256
_RETRY_S = 0.5
_PROBE = key("rl", "probe")
_PROBING = (1, 1, 1, 1000, 1)
_LOG = get_logger(__name__)


@dataclass(slots=True)
class _Check:
    buckets: Sequence[Bucket]
    need: int
    ask: int
    answer: asyncio.Future[Answer]


class BucketStore:
    """Takes units of buckets.

    Args:
        redis: Client of Redis, best one of its own with a short bound.
        processes: Processes that share the limits while Redis is away.
        timeout_s: Longest wait for a call of the script.

    Attributes:
        is_degraded: Whether this process limits for itself.
        epoch: Raised whenever that changes: what was refused before need not be refused now.
    """

    def __init__(self, redis: RedisClient, processes: int, timeout_s: float = 0.5) -> None:
        self._redis = redis
        self._script = redis.register_script(SCRIPT)
        self._local = LocalBuckets(processes)
        self._timeout_s = timeout_s
        self._pending: list[_Check] = []
        self._flight: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self.is_degraded = False
        self.epoch = 0
        DEGRADED.set(0)

    async def take(self, buckets: Sequence[Bucket], need: int = 1, ask: int = 1) -> Answer:
        """Take up to ``ask`` units of every bucket, at least ``need``, or none of any."""
        if self.is_degraded:
            return self._local.take(buckets, need, ask)
        check = _Check(buckets, need, ask, asyncio.get_running_loop().create_future())
        self._pending.append(check)
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        return await check.answer

    async def close(self) -> None:
        """End what is under way; whoever waits gets this process's own answer."""
        await end_tasks((self._flight, self._recovery))
        self._answer_locally(self._pending)
        self._pending = []

    async def _fly(self) -> None:
        """Answer what is pending, a call of the script after the other."""
        try:
            while self._pending:
                checks, self._pending = self._pending[:_CHECKS_MAX], self._pending[_CHECKS_MAX:]
                try:
                    reply = await self._ask(checks)
                except asyncio.CancelledError:
                    self._answer_locally(checks)
                    raise
                except Exception as error:
                    # Whatever it is, no call may hang on it or pass for free.
                    self._answer_locally(checks)
                    self.degrade(error)
                else:
                    _deliver(checks, reply)
        finally:
            self._flight = None

    async def _ask(self, checks: Sequence[_Check]) -> list[int]:
        keys = [bucket.key for check in checks for bucket in check.buckets]
        numbers: list[int] = []
        for check in checks:
            numbers += (check.need, check.ask, len(check.buckets))
            for bucket in check.buckets:
                numbers += (bucket.interval_us, bucket.burst)
        CHECKS.observe(len(checks))
        async with asyncio.timeout(self._timeout_s):
            with translated():
                reply: list[int] = await self._script(keys=keys, args=numbers)
        return reply

    def _answer_locally(self, checks: Sequence[_Check]) -> None:
        for check in checks:
            if not check.answer.done():
                check.answer.set_result(self._local.take(check.buckets, check.need, check.ask))

    def degrade(self, error: Exception) -> None:
        """Limit by this process alone until Redis answers again."""
        waiting, self._pending = self._pending, []
        self._answer_locally(waiting)
        if self.is_degraded:
            return
        known = isinstance(error, Unavailable | TimeoutError)
        _LOG.warning("ratelimit_degraded", exc_info=None if known else error)
        self.is_degraded = True
        self.epoch += 1
        DEGRADED.set(1)
        self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        """Ask Redis until it answers; then its buckets count again."""
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                async with asyncio.timeout(self._timeout_s):
                    with translated():
                        # With the script itself: a Redis that is loading, or only reads, is not back.
                        await self._script(keys=[_PROBE], args=_PROBING)
            except Exception as error:
                _LOG.debug("ratelimit_still_degraded", detail=type(error).__name__)
                continue
            break
        self.is_degraded = False
        self.epoch += 1
        self._local.forget()
        DEGRADED.set(0)
        _LOG.info("ratelimit_recovered")


def _deliver(checks: Sequence[_Check], reply: Sequence[int]) -> None:
    at = 0
    for check in checks:
        count = len(check.buckets)
        granted, ahead = reply[at], reply[at + 1 : at + 1 + count]
        at += 1 + count
        if not check.answer.done():
            check.answer.set_result(Answer.of(check.buckets, check.need, granted, ahead))
