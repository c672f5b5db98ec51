"""Which sessions were ended: Redis answers every process within 2 s, PostgreSQL is the truth behind it.

Redis holds a key per session ended while its access tokens can still live. A Redis that came up empty, or was
out of reach, is filled from PostgreSQL before its silence is trusted.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any
from uuid import uuid4

from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.ids import SessionId
from cohortlens.core.redis import RedisClient, key, translated
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.repository import SessionLookups

KNOWN_S = 2.0
_LOADED = key("revocations", "loaded")
_LOADED_LIFE_S = 3600
_FILLING_LIFE_S = 60
_AVOID_S = 1.0
_PATIENCE_S = 0.25
_REMEMBERED = 50_000
_LOG = get_logger(__name__)


class Revocations:
    """What this process knows of ended sessions; an answer is at most 2 s old.

    Args:
        db: Database as the runtime role.
        redis: Client of Redis.
        life_s: Seconds for which a revocation matters: the life of an access token and its leeway.
    """

    def __init__(self, db: Database, redis: RedisClient, life_s: int) -> None:
        self._db = db
        self._redis = redis
        self._life_s = life_s + 60
        self._known: OrderedDict[SessionId, tuple[bool, float]] = OrderedDict()
        self._asking: dict[SessionId, asyncio.Task[bool]] = {}
        self._filling: asyncio.Task[None] | None = None
        self._suspect = False
        self._doubts = 0
        self._avoid_until = float("-inf")

    def known(self, session_id: SessionId) -> bool | None:
        """Whether the session was ended, as known at most 2 s ago; None when that has to be asked."""
        known = self._known.get(session_id)
        if known is not None and (known[0] or time.monotonic() - known[1] < KNOWN_S):
            return known[0]
        return None

    async def is_revoked(self, session_id: SessionId) -> bool:
        """Whether the session was ended, as known at most 2 s ago.

        Raises:
            Unavailable: Neither Redis nor PostgreSQL answers.
        """
        known = self.known(session_id)
        if known is not None:
            return known
        task = self._asking.get(session_id)
        if task is None:
            task = asyncio.create_task(self._ask(session_id))
            self._asking[session_id] = task
            task.add_done_callback(lambda _: self._asking.pop(session_id, None))
        # Many requests of a session share one question; one that goes away does not take it from the others.
        return await asyncio.shield(task)

    async def revoke(self, session_id: SessionId) -> None:
        """Let every process know that a session was ended; call after the commit that ended it."""
        self._remember(session_id, revoked=True)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                with translated():
                    await self._redis.set(key("revoked", session_id), b"1", ex=self._life_s)
        except (Unavailable, TimeoutError):
            # The row in PostgreSQL stands; the next process that reaches Redis fills it from there.
            self._distrust()

    async def close(self) -> None:
        """End the filling of Redis and the questions under way; call before the clients are closed."""
        under_way: list[asyncio.Task[Any]] = [*self._asking.values()]
        if self._filling is not None:
            under_way.append(self._filling)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _ask(self, session_id: SessionId) -> bool:
        asked_at = time.monotonic()
        revoked = await self._in_redis(session_id)
        if revoked is None:
            async with self._db.transaction() as tx:
                revoked = await SessionLookups(tx).is_dead(session_id)
        self._remember(session_id, revoked=revoked, at=asked_at)
        return revoked

    async def _in_redis(self, session_id: SessionId) -> bool | None:
        """What Redis says; None when it cannot be trusted or does not say it soon."""
        if self._suspect:
            self._fill_later()
            return None
        try:
            # A Redis that hangs would hold every call of the session for the timeout of its client.
            async with asyncio.timeout(_PATIENCE_S):
                with translated():
                    loaded, revoked = await self._redis.mget(_LOADED, key("revoked", session_id))
        except (Unavailable, TimeoutError):
            self._distrust()
            return None
        if revoked is None and loaded is None:
            self._fill_later()
            return None
        return revoked is not None

    def _fill_later(self) -> None:
        """Fill Redis from PostgreSQL beside the calls, which ask PostgreSQL themselves until that is done."""
        if self._filling is None and time.monotonic() >= self._avoid_until:
            self._filling = asyncio.create_task(self._fill())
            self._filling.add_done_callback(self._filled)

    def _filled(self, _task: asyncio.Task[None]) -> None:
        self._filling = None

    async def _fill(self) -> None:
        try:
            await self._load()
        except CohortLensError as error:
            self._distrust()
            _LOG.info("revocations_not_loaded", reason=error.reason)

    async def _load(self) -> None:
        doubts = self._doubts
        filling = key("revocations", "filling", uuid4())
        with translated():
            if not self._suspect and await self._redis.exists(_LOADED):
                return
            await self._redis.set(filling, b"1", ex=_FILLING_LIFE_S)
            async with self._redis.pipeline(transaction=True) as pipeline:
                try:
                    count = await self._load_watched(pipeline, filling)
                except WatchError:
                    # Redis was emptied meanwhile, and with it what was ended since the reading.
                    _LOG.info("revocations_not_loaded", reason="REDIS_EMPTIED")
                    return
        # What could not be written since the reading is not in it.
        self._suspect = self._doubts != doubts
        _LOG.info("revocations_loaded", count=count)

    async def _load_watched(self, pipeline: Pipeline, filling: str) -> int:
        """Write what PostgreSQL knows, only if Redis still holds all it held before PostgreSQL was read."""
        await pipeline.watch(filling)
        if not await pipeline.exists(filling):
            raise WatchError("emptied before the reading")
        async with self._db.transaction() as tx:
            ended = await SessionLookups(tx).revoked_since(self._life_s)
        pipeline.multi()  # type: ignore[no-untyped-call]
        for session_id in ended:
            pipeline.set(key("revoked", session_id), b"1", ex=self._life_s)
        pipeline.set(_LOADED, b"1", ex=_LOADED_LIFE_S)
        pipeline.delete(filling)
        await pipeline.execute()
        return len(ended)

    def _distrust(self) -> None:
        if not self._suspect:
            _LOG.warning("revocations_asked_of_postgres")
        self._suspect = True
        self._doubts += 1
        self._avoid_until = time.monotonic() + _AVOID_S

    def _remember(self, session_id: SessionId, *, revoked: bool, at: float | None = None) -> None:
        # A question that was under way while the session ended must not bring it back.
        revoked = revoked or self._known.get(session_id, (False, 0.0))[0]
        self._known[session_id] = (revoked, time.monotonic() if at is None else at)
        self._known.move_to_end(session_id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
