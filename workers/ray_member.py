"""A further host of the worker side: a Ray node that joins the first host's and runs until a signal."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import IO, Any

from ray._private import node as ray_node
from ray._private.parameter import RayParams

from workers import ray_trims
from workers.config import WorkerConfig
from workers.ray_cluster import (
    KEPT_SESSIONS,
    LOCK_WAIT_S,
    ClusterFault,
    locked,
    private_folder,
    remove_sessions,
)
from workers.ray_leftovers import reap

logger = logging.getLogger(__name__)

WATCH_S = 1.0


class RayMember:
    """Joins the cluster of the first host.

    Used from the main thread: Ray's processes die with the thread that started them.

    Args:
        config: Settings, with ``ray_head``.
        announce: Takes one line of JSON when the host has joined.
    """

    def __init__(self, config: WorkerConfig, announce: Callable[[str], None]) -> None:
        self._config = config
        self._announce = announce
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._lock: IO[str] | None = None
        self._node: Any = None

    def run(self) -> int:
        """Join, serve, leave.

        Returns:
            Exit code: 0 after SIGTERM or SIGINT, 1 when Ray ended by itself.

        Raises:
            ClusterFault: The first host does not take this one in, or the folder is in use.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        try:
            self._join()
            self._announce(
                json.dumps(
                    {
                        "event": "ready",
                        "seconds": round(time.monotonic() - self._started, 2),
                        "node": self._config.bind,
                        "head": self._config.ray_head,
                    }
                )
            )
            return self._watch()
        finally:
            self._leave()

    def _join(self) -> None:
        config = self._config
        private_folder(config.ray_dir)
        private_folder(config.socket_dir)
        self._lock = locked(config.ray_dir / "lock", LOCK_WAIT_S)
        reap(config.ray_dir)
        remove_sessions(config.ray_dir, keep=KEPT_SESSIONS)
        ray_trims.trim()
        made: Any = RayParams
        params = made(
            gcs_address=config.ray_head,
            node_ip_address=config.bind,
            num_cpus=1,
            num_gpus=0,
            object_store_memory=config.object_memory,
            temp_dir=str(config.ray_dir),
            include_log_monitor=False,
        )
        try:
            self._node = ray_node.Node(params, head=False, shutdown_at_exit=False, spawn_reaper=True)
        except (RuntimeError, ConnectionError, TimeoutError) as error:
            raise ClusterFault(
                "RAY_HEAD_UNREACHABLE",
                f"{config.ray_head} does not take this host in: {error}; check that the first host runs, "
                "that COHORTLENS_RAY_TOKEN is the same there, and that this host reaches its port",
            ) from error

    def _watch(self) -> int:
        while not self._stop.wait(WATCH_S):
            dead = [str(name) for name, _ in self._node.dead_processes()]
            if dead:
                logger.error("Ray's %s died; stopping so that the launcher starts all anew", ", ".join(dead))
                return 1
        return 0

    def _leave(self) -> None:
        if self._node is not None:
            # The raylet tells the first host, and Serve drains and replaces what ran here.
            self._node.kill_all_processes(check_alive=False, allow_graceful=True)
        if self._lock is not None:
            reap(self._config.ray_dir)
            self._lock.close()

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()
