"""Which sessions were ended: Redis answers every process within 2 s, PostgreSQL is the truth behind it.

Redis holds a key per session ended while its access tokens can still live. A Redis that came up empty, or was
out of reach, is filled from PostgreSQL before its silence is trusted.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from cohortlens.core.db import Database
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import SessionId
from cohortlens.core.redis import RedisClient, key, translated
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.repository import SessionLookups

KNOWN_S = 2.0
_LOADED = key("revocations", "loaded")
_LOADED_LIFE_S = 3600
_AVOID_S = 1.0
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
        self._load_lock = asyncio.Lock()
        self._suspect = False
        self._avoid_until = float("-inf")

    async def is_revoked(self, session_id: SessionId) -> bool:
        """Whether the session was ended, as known at most 2 s ago.

        Raises:
            Unavailable: Neither Redis nor PostgreSQL answers.
        """
        known = self._known.get(session_id)
        if known is not None and (known[0] or time.monotonic() - known[1] < KNOWN_S):
            return known[0]
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
            with translated():
                await self._redis.set(key("revoked", session_id), b"1", ex=self._life_s)
        except Unavailable:
            # The row in PostgreSQL stands; the next process that reaches Redis fills it from there.
            self._distrust()

    async def _ask(self, session_id: SessionId) -> bool:
        asked_at = time.monotonic()
        revoked = await self._in_redis(session_id)
        if revoked is None:
            async with self._db.transaction() as tx:
                revoked = await SessionLookups(tx).is_dead(session_id)
        self._remember(session_id, revoked=revoked, at=asked_at)
        return revoked

    async def _in_redis(self, session_id: SessionId) -> bool | None:
        if time.monotonic() < self._avoid_until:
            return None
        try:
            with translated():
                loaded, revoked = await self._redis.mget(_LOADED, key("revoked", session_id))
                if revoked is None and (loaded is None or self._suspect):
                    await self._load()
                    revoked = await self._redis.get(key("revoked", session_id))
        except Unavailable:
            self._distrust()
            return None
        return revoked is not None

    async def _load(self) -> None:
        async with self._load_lock:
            if not self._suspect and await self._redis.exists(_LOADED):
                return
            async with self._db.transaction() as tx:
                ended = await SessionLookups(tx).revoked_since(self._life_s)
            pipeline = self._redis.pipeline(transaction=True)
            for session_id in ended:
                pipeline.set(key("revoked", session_id), b"1", ex=self._life_s)
            pipeline.set(_LOADED, b"1", ex=_LOADED_LIFE_S)
            await pipeline.execute()
            self._suspect = False
            _LOG.info("revocations_loaded", count=len(ended))

    def _distrust(self) -> None:
        if not self._suspect:
            _LOG.warning("revocations_asked_of_postgres")
        self._suspect = True
        self._avoid_until = time.monotonic() + _AVOID_S

    def _remember(self, session_id: SessionId, *, revoked: bool, at: float | None = None) -> None:
        # A question that was under way while the session ended must not bring it back.
        revoked = revoked or self._known.get(session_id, (False, 0.0))[0]
        self._known[session_id] = (revoked, time.monotonic() if at is None else at)
        self._known.move_to_end(session_id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
