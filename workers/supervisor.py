"""The supervisor of the worker side: Ray below it, ``TrainingService`` in it, its own record in Redis."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

from redis.asyncio import Redis
from redis.exceptions import RedisError

from cohortlens.core import clock
from workers.app import DEPLOYMENTS
from workers.batch_task import RayBatchScoring
from workers.config import WorkerConfig
from workers.deployments.batch_scoring import BatchScoringServer
from workers.deployments.listening import Listen
from workers.deployments.registration import Registration, ReplicaRecord, key_of, redis_client
from workers.deployments.training import serve_training
from workers.ray_cluster import RayCluster
from workers.training_task import RayTraining

logger = logging.getLogger(__name__)

WATCH_S = 1.0
READY_END_S = 1.0


class Stopped(BaseException):
    """A signal asked to stop while Ray was starting."""


class Supervisor:
    """Runs the worker side until a signal or the end of Ray.

    Args:
        config: Settings.
        announce: Takes one line of JSON when everything is ready.
    """

    def __init__(self, config: WorkerConfig, announce: Callable[[str], None]) -> None:
        self._config = config
        self._announce = announce
        self._cluster = RayCluster(config)
        self._started = time.monotonic()

    def run(self) -> int:
        """Start, serve, stop.

        Returns:
            Exit code: 0 after SIGTERM or SIGINT, 1 when Ray ended by itself.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        try:
            self._cluster.start()
            return asyncio.run(self._serve())
        except (Stopped, SystemExit):
            return 0
        finally:
            # A second signal must not leave half of Ray behind.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            self._cluster.stop()

    async def _serve(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        training = RayTraining(self._config.artifacts, self._config.sequence_cell, self._config.sequence_head)
        listen = Listen(self._config.bind, self._config.worker_tls())
        service, server = await serve_training(training.run, listen)
        replica = f"training-{os.getpid()}"
        started_at = clock.now().isoformat()
        registration = Registration(
            redis_client(str(self._config.redis_url)),
            lambda: ReplicaRecord(
                deployment="training",
                replica=replica,
                address=server.address,
                socket="",
                pid=os.getpid(),
                started_at=started_at,
                rows_in_flight=service.under_way,
            ),
        )
        registration.start()
        scoring = RayBatchScoring(self._config.artifacts, self._config.batch_slots_count)
        batches = BatchScoringServer(str(self._config.redis_url), scoring.run, listen)
        await batches.start()
        ready = asyncio.create_task(self._tell_ready(server.address, stop))
        try:
            return await self._watch(stop)
        finally:
            stop.set()
            await batches.stop()
            await registration.stop()
            await server.stop(0)
            await asyncio.wait({ready}, timeout=READY_END_S)

    async def _watch(self, stop: asyncio.Event) -> int:
        while True:
            try:
                async with asyncio.timeout(WATCH_S):
                    await stop.wait()
            except TimeoutError:
                dead = self._cluster.dead()
                if dead:
                    logger.error(
                        "Ray's %s died; stopping so that the launcher starts all anew", ", ".join(dead)
                    )
                    return 1
            else:
                return 0

    async def _tell_ready(self, training: str, stop: asyncio.Event) -> None:
        names = [kind.deployment for kind in DEPLOYMENTS]
        redis = redis_client(str(self._config.redis_url))
        try:
            found = await _registered(redis)
            while not all(found[name] >= self._config.replicas for name in names):
                if stop.is_set():
                    return
                await asyncio.sleep(0.2)
                found = await _registered(redis)
        finally:
            await redis.aclose()
        seconds = round(time.monotonic() - self._started, 2)
        line = {
            "event": "ready",
            "seconds": seconds,
            "deployments": {name: found[name] for name in names},
            "replicas": {"least": self._config.replicas, "most": self._config.replicas_most},
            "training": training,
        }
        self._announce(json.dumps(line))


async def _registered(redis: Redis) -> Counter[str]:
    found: Counter[str] = Counter()
    try:
        async for key in redis.scan_iter(match=key_of("*", "*"), count=1000):
            found[key.decode().split(":")[2]] += 1
    except (RedisError, OSError) as error:
        logger.debug("Redis does not answer yet: %s", error)
    return found


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped
