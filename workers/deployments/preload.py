"""What a fresh replica loads before its first call: the models its deployment used lately.

Every replica tells, with its beat, when it used which model last (``cohortlens.contracts.recent_models``). A
new one reads that, loads what was used last first as far as its memory goes, and registers; what does not fit
into the bounded wait is loaded afterwards. Without Redis it registers empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from cohortlens.contracts.recent_models import AGE_S, MOST, key_of
from workers.runtime.cache import ModelCache

logger = logging.getLogger(__name__)

WAIT_S = 3.0
"""Longest that a registration waits for models."""

READ_S = 1.0
AGAIN_S = 2.0
"""Seconds after which the set is read once more: a promotion may have begun before this replica was seen."""

WINDOW_S = 3.0
"""A beat tells the uses of this long, so that one lost beat loses nothing."""


class Preload:
    """Reads and tells the models used lately.

    Args:
        deployment: The replica's deployment.
        models: Its models.
        budget_bytes: Bytes they may hold.
    """

    def __init__(self, deployment: str, models: ModelCache[Any], budget_bytes: int) -> None:
        self._key = key_of(deployment)
        self._models = models
        self._budget = budget_bytes
        self._task: asyncio.Task[None] | None = None

    async def run(self, redis: Redis, *, wait_s: float = WAIT_S, again_s: float = AGAIN_S) -> None:
        """Begin to load; return when the first pass is done, at the latest after ``wait_s``."""
        first = asyncio.Event()
        self._task = asyncio.create_task(self._passes(redis, first, again_s), name="preload")
        waiting = asyncio.create_task(first.wait())
        await asyncio.wait({waiting, self._task}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def stop(self) -> None:
        """Load no more."""
        while self._task is not None and not self._task.done():
            # redis-py can swallow a cancellation that meets it while it connects: ask until it is heard.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=0.2)

    def tell(self, pipe: Pipeline, everything: bool) -> None:
        """Add to a beat which models were used lately; of all in memory when ``everything``."""
        now = time.time()
        used = self._models.used_since(0.0 if everything else now - WINDOW_S)
        if used:
            pipe.zadd(self._key, used, gt=True)
            pipe.zremrangebyscore(self._key, "-inf", now - AGE_S)
            pipe.zremrangebyrank(self._key, 0, -MOST - 1)

    async def _passes(self, redis: Redis, first: asyncio.Event, again_s: float) -> None:
        try:
            await self._load_all(await self._read(redis))
        finally:
            first.set()
        await asyncio.sleep(again_s)
        await self._load_all(await self._read(redis))

    async def _read(self, redis: Redis) -> list[tuple[str, float]]:
        """Digests with the time of their last use, latest first."""
        try:
            async with asyncio.timeout(READ_S):
                found: list[Any] = await redis.zrange(self._key, 0, MOST - 1, desc=True, withscores=True)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("the models used lately cannot be read, starting without: %s", error)
            return []
        return [(str(digest, "ascii"), float(used_at)) for digest, used_at in found]

    async def _load_all(self, wanted: list[tuple[str, float]]) -> None:
        largest = 0
        for digest, used_at in wanted:
            held = self._models.memory_bytes
            if held + largest > self._budget:
                return
            try:
                await self._models.preload(digest, used_at)
            except Exception as error:  # one that is gone must not keep the others away
                logger.warning("model %s was not loaded ahead: %s", digest[:12], error)
            largest = max(largest, self._models.memory_bytes - held)
