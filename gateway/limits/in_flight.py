"""How many calls of a kind are under way at once, over all processes: leases that lapse by themselves."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from cohortlens.core.ids import random_hex
from cohortlens.core.redis import RedisClient, translated
from cohortlens.core.telemetry import get_logger
from gateway.limits.store import BucketStore

# Expired leases are swept in the same call; the set lives as long as its last lease, by the clock of Redis.
_ACQUIRE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
local life = tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.max(life, redis.call('PTTL', KEYS[1])))
return 1
"""
_MARGIN_S = 5.0
_OWED_MAX = 10_000
_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """A call that is under way.

    Attributes:
        key: The set in Redis.
        name: Its member.
        is_local: Whether this process alone counts it.
    """

    key: str
    name: str
    is_local: bool


class InFlight:
    """Counts calls under way.

    Args:
        redis: Client of Redis with a short bound.
        store: Tells whether Redis answers.
        processes: Processes that share the limits while it does not.
        timeout_s: Longest wait for Redis.
    """

    def __init__(self, redis: RedisClient, store: BucketStore, processes: int, timeout_s: float) -> None:
        self._redis = redis
        self._acquire = redis.register_script(_ACQUIRE)
        self._store = store
        self._processes = processes
        self._timeout_s = timeout_s
        self._local: dict[str, int] = {}
        self._owed: list[Lease] = []

    async def enter(self, key: str, most: int, life_s: float) -> Lease | None:
        """Count one more call; None when ``most`` are under way.

        Args:
            key: Whose calls.
            most: Calls that may be under way at once.
            life_s: Seconds after which the call is over at the latest, also when its process is no more.
        """
        lease = Lease(key, random_hex(), is_local=False)
        if self._store.is_degraded:
            return self._enter_locally(lease, most)
        try:
            await self._pay()
            life_ms = math.ceil((life_s + _MARGIN_S) * 1000)
            async with asyncio.timeout(self._timeout_s):
                with translated():
                    is_in = await self._acquire(keys=[key], args=[most, lease.name, life_ms])
        except Exception as error:
            self._store.degrade(error)
            # It may have been counted all the same.
            self._owe(lease)
            return self._enter_locally(lease, most)
        return lease if is_in else None

    async def leave(self, lease: Lease) -> None:
        """A call is over."""
        if lease.is_local:
            left = self._local.get(lease.key, 0) - 1
            if left > 0:
                self._local[lease.key] = left
            else:
                self._local.pop(lease.key, None)
            return
        try:
            await self._remove(lease)
        except Exception as error:
            self._store.degrade(error)
            self._owe(lease)

    def _enter_locally(self, lease: Lease, most: int) -> Lease | None:
        under_way = self._local.get(lease.key, 0)
        if under_way >= max(1, most // self._processes):
            return None
        self._local[lease.key] = under_way + 1
        return Lease(lease.key, lease.name, is_local=True)

    def _owe(self, lease: Lease) -> None:
        """Take a lease back later: it would else count until it lapses."""
        if len(self._owed) < _OWED_MAX:
            self._owed.append(lease)

    async def _pay(self) -> None:
        while self._owed:
            lease = self._owed.pop()
            try:
                await self._remove(lease)
            except Exception:
                self._owe(lease)
                raise

    async def _remove(self, lease: Lease) -> None:
        async with asyncio.timeout(self._timeout_s):
            with translated():
                await self._redis.zrem(lease.key, lease.name)
