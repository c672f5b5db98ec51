"""How a replica makes itself known: a key in Redis with a short life, refreshed by a beat.

Redis may be away for a while: the beat goes on and the key returns with it. Deregistration stops the beat
first, since a beat after the delete would revive a dead replica.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cohortlens.contracts.hosts import host_identity

logger = logging.getLogger(__name__)

TTL_MS = 3000
BEAT_S = 1.0
WRITE_S = 2.0
CHANNEL = "cl:replicas"
"""Channel on which every change is told; the message is the key."""


def redis_client(url: str) -> Redis:
    """A client that gives up soon instead of trying again; the beat tries again by itself.

    Args:
        url: Address of Redis, such as ``redis://127.0.0.1:6379/0``.
    """
    return Redis.from_url(
        url, socket_connect_timeout=1.0, socket_timeout=WRITE_S, retry=Retry(NoBackoff(), retries=0)
    )


def key_of(deployment: str, replica: str) -> str:
    """Redis key of a replica."""
    return f"cl:replica:{deployment}:{replica}"


@dataclass(frozen=True)
class ReplicaRecord:
    """What the control plane learns of a replica.

    Attributes:
        deployment: segmentation, prediction, explanation or training.
        replica: Identifier, unique among all replicas.
        address: ``host:port`` of its gRPC server.
        socket: Path of its Unix socket; empty when it has none.
        pid: Process id.
        started_at: Start, RFC 3339.
        loaded: Digests of the loaded model versions, least recently used first.
        rows_in_flight: Rows here at the same time, averaged over the last second, or now when that is more.
        queue_ms: Milliseconds that calls waited before they were worked on, averaged over the last second.
        frame_socket: Path of its frame socket; empty when it has none.
        host: Identity of its host.
        frame_faults: Connections to the frame socket closed for what they sent.
    """

    deployment: str
    replica: str
    address: str
    socket: str
    pid: int
    started_at: str
    loaded: tuple[str, ...] = ()
    rows_in_flight: int = 0
    queue_ms: float = 0.0
    frame_socket: str = ""
    host: str = field(default_factory=host_identity)
    frame_faults: int = 0


class Registration:
    """Keeps one record alive in Redis.

    Args:
        redis: Client; closed by ``stop``.
        record: Gives the record as it is now.
        beside: Adds what else each beat writes; told whether to write all of it, not only what is new.
    """

    def __init__(
        self,
        redis: Redis,
        record: Callable[[], ReplicaRecord],
        beside: Callable[[Pipeline, bool], None] | None = None,
    ) -> None:
        self._redis = redis
        self._record = record
        self._beside = beside
        self._changed = asyncio.Event()
        self._beat: asyncio.Task[None] | None = None
        self._ending = False

    @property
    def beating(self) -> bool:
        """Whether the beat goes on."""
        return self._beat is not None and not self._beat.done()

    def start(self) -> None:
        """Register and go on beating in the background."""
        self._changed.set()
        self._beat = asyncio.create_task(self._run(), name="registration")

    def changed(self) -> None:
        """Tell of a change at once instead of with the next beat."""
        self._changed.set()

    async def stop(self) -> None:
        """Stop the beat, delete the key, tell it, close the client."""
        self._ending = True
        self._changed.set()
        if self._beat is not None:
            # Not by cancelling: redis-py swallows a cancellation that meets it while it connects.
            await asyncio.wait({self._beat}, timeout=WRITE_S + BEAT_S)
        record = self._record()
        key = key_of(record.deployment, record.replica)
        try:
            async with asyncio.timeout(1):
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.delete(key)
                    pipe.publish(CHANNEL, key)
                    await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("deregistration failed, the key expires by itself: %s", error)
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _run(self) -> None:
        reachable = True
        while not self._ending:
            tell, written = self._changed.is_set(), False
            self._changed.clear()
            try:
                async with asyncio.timeout(WRITE_S):
                    await self._write(tell or not reachable)
                written = True
            except (RedisError, OSError, TimeoutError) as error:
                if reachable:
                    logger.warning("registration cannot reach Redis, trying on: %s", error)
            reachable = written
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._changed.wait()

    async def _write(self, tell: bool) -> None:
        record = self._record()
        key = key_of(record.deployment, record.replica)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(key, json.dumps(asdict(record), separators=(",", ":")), px=TTL_MS)
            if self._beside is not None:
                self._beside(pipe, tell)
            if tell:
                pipe.publish(CHANNEL, key)
            await pipe.execute()
