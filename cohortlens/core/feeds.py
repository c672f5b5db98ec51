"""How a process that keeps rows in memory hears of their changes: from PostgreSQL alone, and soon.

What it keeps is read again every second; many callers share one reading. Through Redis processes only tell
each other that there is something to read: without it news come later, and none is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.redis import RedisClient, end_tasks, translated
from cohortlens.core.telemetry import get_logger

READING_S = 5.0
"""Longest reading."""
_GATHER_S = 0.02
_HINT_S = 0.25
_AGAIN_S = 1.0
_LOG = get_logger(__name__)


class Feed:
    """The readings of one kind of changes.

    Args:
        name: What is read, as logs call it.
        channel: Where processes tell each other in Redis.
        read: Reads what changed, and keeps it.
        redis: Client of Redis; None: the readings are enough.
    """

    def __init__(
        self, name: str, channel: str, read: Callable[[], Awaitable[None]], redis: RedisClient | None
    ) -> None:
        self._name = name
        self._channel = channel
        self._read = read
        self._redis = redis
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def joined(self) -> asyncio.Task[None]:
        """The reading under way, or a new one; many callers share one, so wait for it behind a shield."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._bounded())
            self._reading.add_done_callback(self.seen)
        return self._reading

    async def publish(self) -> None:
        """Know what was committed and tell the other processes; call after the commit.

        Never fails: whoever does not hear of it reads it a second later.
        """
        with contextlib.suppress(CohortLensError, TimeoutError):
            if self._reading is not None:
                # It may have begun before the commit.
                await asyncio.wait({self._reading})
            await asyncio.shield(self.joined())
        if self._redis is None:
            return
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_HINT_S):
                with translated():
                    await self._redis.publish(self._channel, b"1")

    async def turn(self, period_s: float) -> None:
        """Read once, then wait for the period or until another process tells of news."""
        self._news.clear()
        with contextlib.suppress(CohortLensError, TimeoutError):
            await asyncio.shield(self.joined())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), period_s)
            # What comes at once is read at once.
            await asyncio.sleep(_GATHER_S)

    async def listen(self) -> None:
        """Wake ``turn`` whenever another process tells of news; returns at once without Redis."""
        while self._redis is not None:
            with contextlib.suppress(RedisError, OSError):
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    while True:
                        if await pubsub.get_message(ignore_subscribe_messages=True, timeout=READING_S):
                            self._news.set()
            await asyncio.sleep(_AGAIN_S)

    async def close(self) -> None:
        """End the reading under way."""
        await end_tasks((self._reading,))

    def seen(self, task: asyncio.Task[None]) -> None:
        """Log why a task of this feed failed, whether anybody waits for it or not."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning(f"{self._name}_not_read", error=str(error) or type(error).__name__)

    async def _bounded(self) -> None:
        async with asyncio.timeout(READING_S):
            await self._read()
