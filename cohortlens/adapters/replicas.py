"""Which worker replicas live: read from Redis, remembered while Redis is away, corrected by what calls teach.

A replica announces itself under ``cl:replica:{deployment}:{replica}`` with a short life and says so on the
channel ``cl:replicas``. ``ReplicaDirectory`` keeps one ``Endpoint`` for each and says which one takes a call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import grpc
from prometheus_client import Counter
from redis.exceptions import RedisError

from cohortlens.adapters import placement
from cohortlens.adapters.endpoints import Endpoint, Registered, registered
from cohortlens.adapters.lanes import OPTIONS, LaneFault
from cohortlens.adapters.messages import load_request
from cohortlens.contracts.frames import Method
from cohortlens.core.errors import CohortLensError, DeadlineExceeded, Unavailable
from cohortlens.core.redis import end_tasks
from cohortlens.core.telemetry import REGISTRY, get_logger

KEY_PATTERN = "cl:replica:*"
CHANNEL = "cl:replicas"
_REFRESH_S = 1.0
_ABSENCE_GRACE_S = 3.0
_EJECT_FIRST_S, _EJECT_MOST_S = 0.2, 5.0
_GUARD_S = 0.1
_RETIRE_S = 30.0
_LOAD_S = 60.0
_REMEMBERED_MODELS = 10_000
EJECTIONS = Counter(
    "inference_ejections_total", "Replicas taken out after UNAVAILABLE", ("deployment",), registry=REGISTRY
)
_log = get_logger(__name__)


def plain_channel(address: str) -> grpc.aio.Channel:
    """A channel without TLS, as to a replica on loopback."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)


class ReplicaDirectory:
    """The live replicas of every deployment.

    Args:
        redis: A client of ``redis.asyncio``.
        open_channel: Opens a gRPC channel to an address.
        refresh_s: Seconds between two looks when nobody announces a change.
        absence_grace_s: Seconds after an outage of Redis during which a missing key proves nothing.
    """

    def __init__(
        self,
        redis: Any,
        *,
        open_channel: Callable[[str], grpc.aio.Channel] = plain_channel,
        refresh_s: float = _REFRESH_S,
        absence_grace_s: float = _ABSENCE_GRACE_S,
    ) -> None:
        self._redis = redis
        self._open_channel = open_channel
        self._refresh_s = refresh_s
        self._absence_grace_s = absence_grace_s
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        # Asked for on every call; forgotten whenever an endpoint comes, goes, or changes its usability.
        self._live: dict[str, list[Endpoint]] = {}
        self._owners: dict[tuple[str, str], list[Endpoint]] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._guard: asyncio.Task[None] | None = None
        self._elsewhere: set[str] = set()
        self._trust_absence_at = 0.0
        self._closed = False

    def start(self) -> None:
        """Begin to watch; needs a running loop. Calling it again does nothing."""
        if self._watcher is None and not self._closed:
            self._watcher = asyncio.create_task(self._watch(), name="replica-watch")
            self._guard = asyncio.create_task(self._guard_calls(), name="replica-guard")

    async def close(self) -> None:
        """Stop watching and close every lane."""
        self._closed = True
        await end_tasks((self._watcher, self._guard, *self._tasks))
        for endpoint in list(self._endpoints.values()):
            await endpoint.close()
        self._endpoints.clear()
        self._notify()

    def live(self, deployment: str) -> list[Endpoint]:
        """Usable endpoints of a deployment."""
        live = self._live.get(deployment)
        if live is None:
            found = [one for one in self._endpoints.values() if one.deployment == deployment and one.usable]
            live = self._live[deployment] = found
        return live

    def owners(self, deployment: str, model: str) -> list[Endpoint]:
        """The usable endpoints that keep a model warm; see ``placement``."""
        found = self._owners.get((deployment, model))
        if found is None:
            if len(self._owners) >= _REMEMBERED_MODELS:
                self._owners.clear()
            found = self._owners[deployment, model] = placement.owners(self.live(deployment), model)
        return found

    def counts(self) -> dict[str, int]:
        """Usable endpoints by deployment."""
        counts: dict[str, int] = {}
        for endpoint in self._endpoints.values():
            counts[endpoint.deployment] = counts.get(endpoint.deployment, 0) + endpoint.usable
        return counts

    async def acquire(
        self,
        deployment: str,
        deadline: float,
        avoid: Collection[Endpoint] = (),
        *,
        model: str = "",
        rows: int = 1,
    ) -> Endpoint:
        """The replica for a call, as ``placement`` says; waits for one until the deadline.

        Args:
            deployment: Deployment wanted.
            deadline: Monotonic time.
            avoid: Replicas that failed the call; taken only when no other is live and they recovered.
            model: Digest of the model version the call needs; empty when it needs none.
            rows: Rows of the call.

        Raises:
            Unavailable: None came in time, or the directory was closed (``WORKERS_UNAVAILABLE``).
        """
        self.start()
        while not self._closed:
            self._changed.clear()
            live = self.live(deployment)
            if avoid:
                live = [one for one in live if one not in avoid] or live
            if live:
                owners = placement.owners(live, model) if avoid else self.owners(deployment, model)
                endpoint = placement.choose(live, owners, model, rows)
                if endpoint.rows_in_flight and model in endpoint.loaded:
                    self._second_copy(owners, model)
                return endpoint
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                break
        raise workers_unavailable(deployment)

    def _second_copy(self, owners: list[Endpoint], model: str) -> None:
        """The only replica that holds a model is busy: load it at its other owner as well."""
        for endpoint in owners:
            if model not in endpoint.loaded and model not in endpoint.loading:
                endpoint.loading.add(model)
                self._spawn(_load(endpoint, model))

    def eject(self, endpoint: Endpoint, why: str = "") -> None:
        """Take a replica out after UNAVAILABLE; it returns when it answers again, after a back-off.

        Args:
            endpoint: The replica.
            why: What it or the transport said, for the log.
        """
        if endpoint.probe is not None or endpoint not in self._endpoints.values():
            return
        endpoint.failures += 1
        EJECTIONS.labels(endpoint.deployment).inc()
        pause = min(_EJECT_MOST_S, _EJECT_FIRST_S * 2 ** min(endpoint.failures - 1, 10))
        endpoint.probe = self._spawn(self._recover(endpoint, pause))
        self._forget_choices()
        _log.warning(
            "replica ejected",
            deployment=endpoint.deployment,
            replica=endpoint.replica,
            pause_s=pause,
            why=why,
        )

    async def _recover(self, endpoint: Endpoint, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            await endpoint.connect_frames()
            if await endpoint.answers():
                break
            await endpoint.reopen()
            pause = min(_EJECT_MOST_S, 2 * pause)
        self._admit(endpoint)

    async def _join(self, endpoint: Endpoint) -> None:
        await endpoint.connect_frames()
        self._admit(endpoint)

    def _admit(self, endpoint: Endpoint) -> None:
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

    async def _guard_calls(self) -> None:
        """Free the calls that a hanging replica holds, when another one can take them."""
        while not self._closed:
            await asyncio.sleep(_GUARD_S)
            for endpoint in list(self._endpoints.values()):
                if endpoint.is_silent and len(self.live(endpoint.deployment)) > 1:
                    endpoint.asked = True
                    self._spawn(self._examine(endpoint))

    async def _examine(self, endpoint: Endpoint) -> None:
        last = endpoint.answered_at
        try:
            if await endpoint.answers() or endpoint.answered_at > last:
                return
            # Several may be asked at once, as when the machine stalls: the last one keeps its calls.
            if len(self.live(endpoint.deployment)) > 1:
                self.eject(endpoint, "it answers neither calls nor questions")
                endpoint.abort()
        finally:
            endpoint.asked = False

    async def _refresh(self) -> None:
        names = [name async for name in self._redis.scan_iter(match=KEY_PATTERN, count=1000)]
        texts = await self._redis.mget(names) if names else []
        found = {
            one.key: one for one in map(registered, texts) if one is not None and self._is_reachable(one)
        }
        for key, record in found.items():
            endpoint = self._endpoints.get(key)
            if endpoint is None:
                self._add(record)
            else:
                endpoint.loaded = set(record.loaded)
                if endpoint.frames_due:
                    self._spawn(endpoint.connect_frames())
        if time.monotonic() >= self._trust_absence_at:
            for key in self._endpoints.keys() - found.keys():
                self._drop(key)

    def _is_reachable(self, record: Registered) -> bool:
        if not record.is_reachable and record.replica not in self._elsewhere:
            self._elsewhere.add(record.replica)
            _log.error(
                "a replica of another host tells an address of loopback; set COHORTLENS_WORKER_BIND there",
                deployment=record.deployment,
                replica=record.replica,
                address=record.address,
            )
        return record.is_reachable

    def _add(self, record: Registered) -> None:
        endpoint = self._endpoints[record.key] = Endpoint(record, self._open_channel)
        _log.info(
            "replica joined",
            deployment=endpoint.deployment,
            replica=endpoint.replica,
            address=endpoint.address,
        )
        if endpoint.has_frame_socket:
            endpoint.probe = self._spawn(self._join(endpoint))
        else:
            self._notify()

    def _drop(self, key: tuple[str, str, str]) -> None:
        endpoint = self._endpoints.pop(key)
        _log.info("replica left", deployment=endpoint.deployment, replica=endpoint.replica)
        if endpoint.probe is not None:
            endpoint.probe.cancel()
        self._spawn(endpoint.retire(_RETIRE_S))
        self._notify()

    def _notify(self) -> None:
        self._forget_choices()
        self._changed.set()

    def _forget_choices(self) -> None:
        self._live.clear()
        self._owners.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _load(endpoint: Endpoint, model: str) -> None:
    try:
        await endpoint.lane.call(Method.LOAD_MODEL, load_request(model), _LOAD_S)
    except LaneFault as fault:
        _log.warning(
            "a model was not loaded at its second replica",
            deployment=endpoint.deployment,
            replica=endpoint.replica,
            error=str(fault),
        )
    else:
        endpoint.loaded.add(model)
    finally:
        endpoint.loading.discard(model)


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
