"""Which worker replicas live: read from Redis, remembered while Redis is away, corrected by what calls teach.

A replica announces itself under ``cl:replica:{deployment}:{replica}`` with a short life and says so on the
channel ``cl:replicas``. ``ReplicaDirectory`` keeps one ``Endpoint`` (a gRPC channel) for each.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from prometheus_client import Counter
from redis.exceptions import RedisError

from cohortlens.core.errors import CohortLensError, DeadlineExceeded, Unavailable
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.internal.v1.inference_pb2_grpc import InferenceServiceStub

KEY_PATTERN = "cl:replica:*"
CHANNEL = "cl:replicas"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_REFRESH_S = 1.0
_ABSENCE_GRACE_S = 3.0
_EJECT_FIRST_S, _EJECT_MOST_S = 0.2, 5.0
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    # Two clients of one process must not share a connection: closing one would cut the other's calls.
    ("grpc.use_local_subchannel_pool", 1),
)
EJECTIONS = Counter(
    "inference_ejections_total", "Replicas taken out after UNAVAILABLE", ("deployment",), registry=REGISTRY
)
_log = get_logger(__name__)


@dataclass(eq=False)
class Endpoint:
    """One replica and the channel to it.

    Attributes:
        deployment: Deployment it serves.
        replica: Its identifier.
        address: ``host:port``.
        channel: The gRPC channel.
        stub: The service on it.
        rows_in_flight: Rows that this process has under way there.
        failures: UNAVAILABLE answers in a row.
        ejected_until: Monotonic time before which it gets no calls.
    """

    deployment: str
    replica: str
    address: str
    channel: grpc.aio.Channel
    stub: InferenceServiceStub
    rows_in_flight: int = 0
    failures: int = 0
    ejected_until: float = 0.0
    probe: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """Whether calls may go there."""
        return self.probe is None


class ReplicaDirectory:
    """The live replicas of every deployment.

    Args:
        redis: A client of ``redis.asyncio``.
        refresh_s: Seconds between two looks when nobody announces a change.
        absence_grace_s: Seconds after an outage of Redis during which a missing key proves nothing.
    """

    def __init__(
        self, redis: Any, *, refresh_s: float = _REFRESH_S, absence_grace_s: float = _ABSENCE_GRACE_S
    ) -> None:
        self._redis = redis
        self._refresh_s = refresh_s
        self._absence_grace_s = absence_grace_s
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        # Asked for on every call; forgotten whenever an endpoint comes, goes, or changes its usability.
        self._live: dict[str, list[Endpoint]] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._trust_absence_at = 0.0
        self._closed = False

    def start(self) -> None:
        """Begin to watch; needs a running loop. Calling it again does nothing."""
        if self._watcher is None and not self._closed:
            self._watcher = asyncio.create_task(self._watch(), name="replica-watch")

    async def close(self) -> None:
        """Stop watching and close every channel."""
        self._closed = True
        pending = {task for task in (self._watcher, *self._tasks) if task is not None and not task.done()}
        while pending:
            # A Redis client can swallow a cancellation that comes while it connects: ask until it is heard.
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.2)
        for endpoint in list(self._endpoints.values()):
            await endpoint.channel.close()
        self._endpoints.clear()
        self._live.clear()

    def live(self, deployment: str) -> list[Endpoint]:
        """Usable endpoints of a deployment."""
        live = self._live.get(deployment)
        if live is None:
            found = [one for one in self._endpoints.values() if one.deployment == deployment and one.usable]
            live = self._live[deployment] = found
        return live

    def counts(self) -> dict[str, int]:
        """Usable endpoints by deployment."""
        counts: dict[str, int] = {}
        for endpoint in self._endpoints.values():
            counts[endpoint.deployment] = counts.get(endpoint.deployment, 0) + endpoint.usable
        return counts

    async def acquire(self, deployment: str, deadline: float, avoid: Endpoint | None = None) -> Endpoint:
        """The less loaded of two random live replicas; waits for one until the deadline.

        Args:
            deployment: Deployment wanted.
            deadline: Monotonic time.
            avoid: A replica that just failed; taken only when no other is live and it recovered.

        Raises:
            Unavailable: None came in time (``WORKERS_UNAVAILABLE``).
        """
        self.start()
        while True:
            self._changed.clear()
            live = self.live(deployment)
            others = [one for one in live if one is not avoid]
            candidates = others or live
            if candidates:
                pair = random.sample(candidates, 2) if len(candidates) > 1 else candidates
                return min(pair, key=lambda one: one.rows_in_flight)
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                raise workers_unavailable(deployment) from None

    def eject(self, endpoint: Endpoint) -> None:
        """Take a replica out after UNAVAILABLE; it returns when it can be connected to, after a back-off."""
        if endpoint.probe is not None or endpoint not in self._endpoints.values():
            return
        endpoint.failures += 1
        EJECTIONS.labels(endpoint.deployment).inc()
        pause = min(_EJECT_MOST_S, _EJECT_FIRST_S * 2 ** (endpoint.failures - 1))
        endpoint.ejected_until = time.monotonic() + pause
        endpoint.probe = self._spawn(self._recover(endpoint, pause))
        self._live.clear()
        _log.warning(
            "replica ejected",
            deployment=endpoint.deployment,
            replica=endpoint.replica,
            pause_s=pause,
        )

    async def _recover(self, endpoint: Endpoint, pause: float) -> None:
        await asyncio.sleep(pause)
        await endpoint.channel.channel_ready()
        endpoint.probe = None
        self._notify()

    async def _watch(self) -> None:
        pause = 0.1
        while not self._closed:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    while not self._closed:
                        await self._refresh()
                        pause = 0.1
                        await channel.get_message(ignore_subscribe_messages=True, timeout=self._refresh_s)
            except (RedisError, OSError, CohortLensError) as error:
                _log.warning("replicas cannot be read, keeping the last known", error=str(error))
                self._trust_absence_at = time.monotonic() + pause + self._absence_grace_s
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)

    async def _refresh(self) -> None:
        names = [name async for name in self._redis.scan_iter(match=KEY_PATTERN, count=1000)]
        texts = await self._redis.mget(names) if names else []
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for text in texts:
            record = _parse(text)
            if record is not None:
                found[record["deployment"], record["replica"], record["address"]] = record
        for key in found.keys() - self._endpoints.keys():
            self._add(*key)
        if time.monotonic() >= self._trust_absence_at:
            for key in self._endpoints.keys() - found.keys():
                self._drop(key)

    def _add(self, deployment: str, replica: str, address: str) -> None:
        channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._endpoints[deployment, replica, address] = Endpoint(
            deployment, replica, address, channel, InferenceServiceStub(channel)
        )
        _log.info("replica joined", deployment=deployment, replica=replica, address=address)
        self._notify()

    def _drop(self, key: tuple[str, str, str]) -> None:
        endpoint = self._endpoints.pop(key)
        _log.info("replica left", deployment=endpoint.deployment, replica=endpoint.replica)
        if endpoint.probe is not None:
            endpoint.probe.cancel()
        self._spawn(_retire(endpoint))
        self._notify()

    def _notify(self) -> None:
        self._live.clear()
        self._changed.set()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _retire(endpoint: Endpoint) -> None:
    """Close a channel once its calls have ended: a draining replica still answers what it took."""
    await endpoint.channel.close(grace=30.0)


def _parse(text: str | bytes | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        record = json.loads(text)
        named = {name: str(record[name]) for name in ("deployment", "replica", "address")}
    except (ValueError, KeyError, TypeError):
        _log.warning("a replica's registration cannot be read")
        return None
    return named if all(named.values()) else None


def workers_unavailable(deployment: str) -> Unavailable:
    """The error for a deployment without a live replica."""
    return Unavailable(
        f"No {deployment} worker answers at the moment; try again in a second.",
        reason="WORKERS_UNAVAILABLE",
        metadata={"deployment": deployment},
        retry_delay_s=1.0,
    )


def deadline_passed() -> DeadlineExceeded:
    """The error for work that the deadline cut off."""
    return DeadlineExceeded("the deadline passed before a worker answered")
