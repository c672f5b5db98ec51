"""What jobs find out for everyone, kept in Redis for as long as it is true; the gateway's health reads it."""

from __future__ import annotations

import json
from typing import Any

from cohortlens.core.redis import RedisClient, key, translated

LIFE_S = 180.0


async def publish(redis: RedisClient, name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Replace a finding; it ends by itself when nobody repeats it.

    Args:
        redis: Redis.
        name: Such as ``outbox``.
        found: JSON values.

    Returns:
        What was found before, empty when nothing was.

    Raises:
        Unavailable: REDIS_UNAVAILABLE.
    """
    with translated():
        before = await redis.get(_key(name))
        await redis.set(_key(name), json.dumps(found), px=int(LIFE_S * 1000))
    return dict(json.loads(before)) if before else {}


async def read(redis: RedisClient, name: str) -> dict[str, Any]:
    """The last finding, empty when there is none or it is over.

    Raises:
        Unavailable: REDIS_UNAVAILABLE.
    """
    with translated():
        found = await redis.get(_key(name))
    return dict(json.loads(found)) if found else {}


def _key(name: str) -> str:
    return key("jobs", "found", name)
