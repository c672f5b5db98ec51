"""Redis or Valkey: one way to connect, the keys' prefix, and the translation of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import redis.asyncio as aioredis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cohortlens.core.errors import Unavailable

PREFIX = "cl:"
RedisClient: TypeAlias = aioredis.Redis
_HEARD_S = 0.05
_FAULTS = (
    exceptions.ConnectionError,  # also: still loading its data, wrong password
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
)


def redis_client(url: str, *, timeout_s: float = 1.0, max_connections: int = 64) -> RedisClient:
    """A client whose every command ends within about ``timeout_s``; connects at first use.

    Args:
        url: ``redis://:password@host:port/0``.
        timeout_s: Bound of a connection attempt and of an answer.
        max_connections: Size of the pool; a caller waits up to ``timeout_s`` for one.
    """
    pool = aioredis.BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1),  # a connection that died while idle is replaced once, without waiting
        decode_responses=False,
    )
    return aioredis.Redis.from_pool(pool)


def key(*parts: object) -> str:
    """A key name: ``cl:`` and the parts joined by colons."""
    return PREFIX + ":".join(str(part) for part in parts)


async def end_tasks(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Cancel tasks that use a client, and return once they have ended; None and ended ones are passed over.

    A client can swallow a cancellation that comes while it connects, so it is repeated until it is heard.
    """
    pending = {task for task in tasks if task is not None and not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_HEARD_S)


@contextmanager
def translated() -> Iterator[None]:
    """Turn a failure to reach Redis into an error of the domain.

    Raises:
        Unavailable: REDIS_UNAVAILABLE.
    """
    try:
        yield
    except (*_FAULTS, OSError) as error:
        raise Unavailable(
            "Redis cannot be reached; try again", reason="REDIS_UNAVAILABLE", retry_delay_s=1.0
        ) from error
