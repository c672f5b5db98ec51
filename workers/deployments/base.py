"""The life of a replica: open its server, register, prove its health, drain.

Knows nothing of Ray, so that a test can run it in its own process; ``workers.app`` hangs it into Serve.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable
from typing import ClassVar

import grpc.aio

from cohortlens.core import clock
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as pb_grpc
from workers.config import WorkerConfig
from workers.deployments.frames import FrameServer
from workers.deployments.inference import Inference, Model
from workers.deployments.listening import Listen
from workers.deployments.preload import Preload
from workers.deployments.registration import Registration, ReplicaRecord, redis_client
from workers.deployments.server import GrpcServer, socket_path
from workers.deployments.service import InferenceService
from workers.runtime.cache import ModelCache

logger = logging.getLogger(__name__)

LEAVE_S = 0.5
"""Seconds between deregistration and the end of the server, so that callers learn of it."""

GRACE_S = 4.0
"""Seconds that calls under way may take after that."""

HEALTH_TIMEOUT_S = 3.0


class Unhealthy(Exception):
    """The replica cannot do its work; Serve replaces it."""


class Replica:
    """One replica; subclasses say what it serves.

    Args:
        replica: Identifier, unique among all replicas.
        config: Settings.
        load: Loads and warms a model version by its digest; runs in a thread.
    """

    deployment: ClassVar[str]
    kind: ClassVar[str]
    methods: ClassVar[frozenset[str]]

    def __init__(self, replica: str, config: WorkerConfig, load: Callable[[str], Model]) -> None:
        self._replica = replica
        self._config = config
        self._models: ModelCache[Model] = ModelCache(load, config.model_memory, self._changed)
        self.inference = Inference(
            self.deployment, replica, kind=self.kind, methods=self.methods, models=self._models
        )
        service, sockets = InferenceService(self.inference), config.socket_dir
        self._server = GrpcServer(
            lambda server: pb_grpc.add_InferenceServiceServicer_to_server(service, server),
            socket_path(sockets, self.deployment),
            Listen(config.bind, config.worker_tls()),
        )
        self._frames = FrameServer(self.inference, socket_path(sockets, self.deployment, "frames"))
        self._preload = Preload(self.deployment, self._models, config.model_memory)
        self._registration: Registration | None = None
        self._channel: grpc.aio.Channel | None = None
        self._warming: asyncio.Task[None] | None = None
        self._started_at = clock.now().isoformat()

    @property
    def address(self) -> str:
        """``host:port`` of its server."""
        return self._server.address

    @property
    def opened(self) -> bool:
        """Whether it serves."""
        return self._registration is not None

    async def open(self) -> None:
        """Serve, load what was used lately, then register; slow imports go on in a thread meanwhile."""
        self._warming = asyncio.create_task(asyncio.to_thread(self.warm), name="warm")
        await self._server.start()
        await self._frames.start()
        # Not the port: with TLS it lets only callers in.
        self._channel = grpc.aio.insecure_channel(f"unix:{self._server.socket}")
        redis = redis_client(str(self._config.redis_url))
        await self._preload.run(redis)
        self._registration = Registration(redis, self.record, self._preload.tell)
        self._registration.start()

    def warm(self) -> None:
        """Import what the first call would otherwise wait for; runs in a thread."""

    async def check(self) -> None:
        """A real call through the replica's own server.

        Raises:
            Unhealthy: It does not answer in time, or it no longer registers.
        """
        if self._channel is None or self._registration is None:
            raise Unhealthy("the replica is not open")
        if not self._registration.beating:
            raise Unhealthy("the registration no longer beats")
        if self._warming is not None and self._warming.done() and (error := self._warming.exception()):
            raise Unhealthy(f"what it needs cannot be imported: {error}")
        stub = pb_grpc.InferenceServiceStub(self._channel)
        try:
            await stub.GetStatus(pb.GetStatusRequest(), timeout=HEALTH_TIMEOUT_S)
        except grpc.aio.AioRpcError as fault:
            raise Unhealthy(f"its own server answers {fault.code().name}: {fault.details()}") from fault

    async def close(self, *, leave_s: float = LEAVE_S, grace_s: float = GRACE_S) -> None:
        """Deregister, wait until callers have learnt of it, let calls under way end, close the server."""
        await self._preload.stop()
        if self._registration is not None:
            await self._registration.stop()
            await asyncio.sleep(leave_s)
        if self._channel is not None:
            await self._channel.close()
        await asyncio.gather(self._server.stop(grace_s), self._frames.stop(grace_s))
        self._registration = self._channel = None

    def record(self) -> ReplicaRecord:
        """What the control plane learns of the replica."""
        load = self.inference.meter.load()
        return ReplicaRecord(
            deployment=self.deployment,
            replica=self._replica,
            address=self._server.address,
            socket=self._server.socket,
            pid=os.getpid(),
            started_at=self._started_at,
            loaded=tuple(self._models.loaded),
            rows_in_flight=math.ceil(round(load.rows_in_flight, 3)),
            queue_ms=round(load.queue_ms, 3),
            frame_socket=str(self._frames.path),
            frame_faults=self._frames.faults,
        )

    def _changed(self) -> None:
        if self._registration is not None:
            self._registration.changed()
