"""The settings of the worker side, and the environment that Ray needs to stay small and on loopback."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cohortlens.core.config import Duration, SettingsInvalid, setting
from workers.cluster_config import ClusterConfig

SOCKET_PATH_LIMIT = 107
"""Bytes that the kernel allows for the path of a Unix socket."""

_LONGEST_RAY_SOCKET = "/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store_00"


@dataclass(frozen=True)
class WorkerConfig(ClusterConfig):
    """How much the workers may use, beside what every process reads."""

    replicas: int = setting("REPLICAS", 1, "replicas of each worker deployment; the least, when they scale")
    replicas_max: int | None = setting(
        "REPLICAS_MAX", None, "most replicas of each worker deployment; above REPLICAS they follow their load"
    )
    scale_target_busy: float = setting(
        "SCALE_TARGET_BUSY", 0.7, "share of a core that a replica should use at most when replicas scale"
    )
    scale_target_rows: int = setting(
        "SCALE_TARGET_ROWS", 2048, "rows in flight that a replica should have at most when replicas scale"
    )
    scale_target_queue: Duration = setting(
        "SCALE_TARGET_QUEUE", Duration(0.02), "time a call should wait at most when replicas scale"
    )
    scale_up_delay: Duration = setting(
        "SCALE_UP_DELAY", Duration(5), "time a replica must be missing before it is started"
    )
    scale_down_delay: Duration = setting(
        "SCALE_DOWN_DELAY", Duration(60), "time a replica must be one too many before it is stopped"
    )
    bind: str = setting(
        "WORKER_BIND", "127.0.0.1", "address replicas listen on; one of another host's needs WORKER_TLS_*"
    )
    model_memory: int = setting(
        "WORKER_MODEL_MEMORY", 256 * 2**20, "bytes of models that one replica keeps in memory"
    )
    object_memory: int = setting("WORKER_OBJECT_MEMORY", 100 * 2**20, "bytes of Ray's object store")
    training_slots: int = setting("TRAINING_SLOTS", 1, "models that may be trained at the same time")
    sequence_cell: str = setting(
        "SEQUENCE_CELL",
        "gru",
        "net on weekly sequences that each training of predictions tries; none saves its time",
        choices=("gru", "lstm", "transformer", "none"),
    )
    sequence_head: str = setting(
        "SEQUENCE_HEAD",
        "tweedie",
        "how that net learns money: tweedie, or lognormal for a zero-inflated log-normal",
        choices=("tweedie", "lognormal"),
    )
    batch_slots: int | None = setting(
        "BATCH_SLOTS", None, "slices of batch predictions scored at once; one per processor when unset"
    )

    @property
    def batch_slots_count(self) -> int:
        """Slices of batch predictions that are scored at the same time."""
        return len(os.sched_getaffinity(0)) if self.batch_slots is None else self.batch_slots

    @property
    def replicas_most(self) -> int:
        """Most replicas of a deployment; the least and the most are equal unless they scale."""
        return self.replicas if self.replicas_max is None else self.replicas_max

    @property
    def scales(self) -> bool:
        """Whether the number of replicas follows their load."""
        return self.replicas_most > self.replicas

    @property
    def ray_dir(self) -> Path:
        """Folder of Ray's sessions: in the data folder, or in a temporary one when its sockets do not fit."""
        return self._short("ray", _LONGEST_RAY_SOCKET)

    @property
    def socket_dir(self) -> Path:
        """Folder of the replicas' Unix sockets, short enough for the kernel."""
        return self._short("replicas", "/" + "x" * 24)

    def _short(self, name: str, longest: str) -> Path:
        inside = self.data_dir.absolute() / name
        if len(os.fsencode(str(inside) + longest)) <= SOCKET_PATH_LIMIT:
            return inside
        mark = hashlib.sha256(os.fsencode(str(self.data_dir.absolute()))).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"cl-{os.getuid()}-{mark}" / name

    def _listen_faults(self) -> list[str]:
        named = f"COHORTLENS_WORKER_BIND={self.bind}"
        try:
            address = ipaddress.ip_address(self.bind)
        except ValueError:
            return [f"{named}: expected the IP address of an interface of this host"]
        if address.is_unspecified:
            return [f"{named}: expected one interface, since the address is told to callers"]
        try:
            tls = self.worker_tls()
        except SettingsInvalid as invalid:
            return invalid.faults
        if tls is None and not address.is_loopback:
            return [f"{named}: is not loopback; set COHORTLENS_WORKER_TLS_CA, _CERT and _KEY as well"]
        return []

    def faults(self) -> list[str]:
        """What cannot work, one sentence each; empty when all is well."""
        found = []
        if not self.redis_url:
            found.append(
                "COHORTLENS_REDIS_URL='': expected the URL of Redis, such as redis://127.0.0.1:6379/0"
            )
        for name, value, least in (
            ("REPLICAS", self.replicas, 1),
            ("WORKER_MODEL_MEMORY", self.model_memory, 2**20),
            ("WORKER_OBJECT_MEMORY", self.object_memory, 80 * 2**20),
            ("TRAINING_SLOTS", self.training_slots, 1),
            ("BATCH_SLOTS", self.batch_slots_count, 1),
            ("REPLICAS_MAX", self.replicas_most, self.replicas),
            ("SCALE_TARGET_ROWS", self.scale_target_rows, 1),
        ):
            if value < least:
                found.append(f"COHORTLENS_{name}={value}: expected at least {least}")
        found += self._listen_faults() + self.cluster_faults(self.bind)
        for name, share in (
            ("SCALE_TARGET_BUSY", self.scale_target_busy),
            ("SCALE_TARGET_QUEUE", self.scale_target_queue),
        ):
            if share <= 0:
                found.append(f"COHORTLENS_{name}={share:g}: expected more than 0")
        return found


def ray_environment(token: str, *, spans_hosts: bool = False, port: int = 0) -> dict[str, str]:
    """Variables that every Ray process of the worker side must see before ray is imported.

    Args:
        token: Secret that Ray's processes show one another.
        spans_hosts: Whether other hosts belong to the worker side.
        port: Port on which they are taken in; 0 for any free one.
    """
    # The second form confines Ray's own listeners to loopback together with the node address.
    where = {"RAY_GCS_SERVER_PORT": str(port)} if spans_hosts else {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return where | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # No process waits idle for work: replicas are started once, a training brings its own.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_enable_worker_prestart": "0",
        "RAY_num_workers_soft_limit": "0",
        # grpc.aio knows one event loop per process; with this the replica's own server shares Serve's loop.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "PYTHONWARNINGS": "ignore::FutureWarning",
        "MALLOC_ARENA_MAX": "2",
        # Replicas that scale tell their load this often; Serve's own 10 s would let a queue grow.
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    }
