"""The life of the local Ray: one per data folder, nothing left of an earlier one, gone within seconds."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import stat
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

import ray
from ray import serve

from workers import ray_trims
from workers.app import DEPLOYMENTS, targets
from workers.batch_task import BATCH_RESOURCE
from workers.config import WorkerConfig
from workers.ray_leftovers import reap
from workers.training_task import TRAINING_RESOURCE

logger = logging.getLogger(__name__)

LOCK_WAIT_S = 5.0
SERVE_STOP_S = 7.0
KEPT_SESSIONS = 1


class ClusterFault(Exception):
    """Ray cannot be started here; the message says why and what to do.

    Attributes:
        reason: Reason in upper snake case.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RayCluster:
    """Ray and the Serve applications on it.

    Used from the main thread: Ray's processes die with the thread that started them.

    Args:
        config: Settings.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._lock: IO[str] | None = None

    def start(self) -> None:
        """Start Ray and deploy; returns when every deployment runs.

        Raises:
            ClusterFault: Another supervisor works in the folder, or the folder is not ours.
            RuntimeError: A deployment cannot start.
        """
        config = self._config
        for folder in (config.ray_dir, config.socket_dir):
            if folder.parent != config.data_dir.absolute():
                # Below the temporary folder anybody could have put something there before us.
                private_folder(folder.parent)
            private_folder(folder)
        self._lock = locked(config.ray_dir / "lock", LOCK_WAIT_S)
        left = reap(config.ray_dir)
        if left:
            logger.warning("ended processes that an earlier start left behind: %s", left)
        remove_sessions(config.ray_dir, keep=KEPT_SESSIONS)
        ray_trims.trim()
        # Ray tells at each start that a later release drops pydantic 1; the lock file pins this one.
        warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        ray.init(
            address="local",
            # Ray starts as many processes at once as it counts processors; trainings are limited apart.
            num_cpus=len(DEPLOYMENTS) + config.training_slots,
            resources={TRAINING_RESOURCE: config.training_slots, BATCH_RESOURCE: config.batch_slots_count},
            num_gpus=0,
            include_dashboard=False,
            object_store_memory=config.object_memory,
            log_to_driver=False,
            configure_logging=False,
            runtime_env={"worker_process_setup_hook": "workers.pandas_import.hide_pandas"},
            _node_ip_address=config.bind,
            _temp_dir=str(config.ray_dir),
        )
        for number, handler in handlers.items():
            # Ray's own would abort the process in the middle of a deployment and leave its processes behind.
            signal.signal(number, handler)
        serve.start(proxy_location="Disabled")
        serve.run_many(targets(config))

    def dead(self) -> list[str]:
        """Names of Ray's own processes that died; without them nothing works any more."""
        return ray_trims.dead_processes()

    def stop(self) -> None:
        """Drain the replicas, stop Ray, end whatever is left. Calling it again does nothing."""
        if self._lock is None:
            return
        if ray.is_initialized():
            if not self.dead():
                _bounded(serve.shutdown, SERVE_STOP_S)
            ray.shutdown()
        reap(self._config.ray_dir)
        self._lock.close()
        self._lock = None


def private_folder(path: Path) -> None:
    """Make a folder that only this user may enter, or check that it is one.

    Raises:
        ClusterFault: ``FOLDER_UNSAFE``: somebody else owns it, or it is no folder.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ClusterFault("FOLDER_UNSAFE", f"{path} is not a folder of this user; remove it")
    path.chmod(0o700)


def locked(path: Path, wait_s: float) -> IO[str]:
    """Hold the lock of a folder until the file is closed or the process dies, whichever comes first.

    Raises:
        ClusterFault: ``WORKERS_RUNNING``: another process holds it after ``wait_s`` seconds.
    """
    file = path.open("a+", encoding="utf-8")
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                holder = file.read().strip()
                file.close()
                raise ClusterFault(
                    "WORKERS_RUNNING",
                    f"process {holder or 'unknown'} already runs the workers of this folder; stop it first",
                ) from None
            time.sleep(0.1)
        else:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file


def remove_sessions(folder: Path, *, keep: int) -> None:
    """Remove the logs and sockets of earlier Ray sessions, the newest ``keep`` excepted."""
    sessions = sorted(path for path in folder.glob("session_2*") if path.is_dir() and not path.is_symlink())
    for path in sessions[: max(0, len(sessions) - keep)]:
        shutil.rmtree(path, ignore_errors=True)


def _bounded(work: Callable[[], None], seconds: float) -> None:
    def run() -> None:
        try:
            work()
        except Exception as error:
            logger.warning("Serve did not stop cleanly: %s", error)

    thread = threading.Thread(target=run, name="serve-stop", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        logger.warning("Serve did not stop in %s s; its processes are ended", seconds)
