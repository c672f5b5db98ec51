"""Starts replicas without Ray, against a Valkey: what the soak and the tests of bad days drive."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from cohortlens.contracts.features import SCHEMA

ROOT = Path(__file__).resolve().parents[2]
TARGET, HORIZON_DAYS = "spend", 30
READY_S = 60.0


@dataclass(frozen=True)
class BareReplica:
    """A running replica.

    Attributes:
        process: Its process.
        replica: Its identifier.
        frame_socket: Path of its frame socket.
        address: ``host:port`` of its gRPC server.
        digests: Model versions in its store.
        model_bytes: Bytes that one of them counts in memory.
    """

    process: subprocess.Popen[str]
    replica: str
    frame_socket: str
    address: str
    digests: tuple[str, ...]
    model_bytes: int

    @property
    def usage(self) -> psutil.Process:
        """What it uses."""
        return psutil.Process(self.process.pid)


@contextlib.contextmanager
def bare_replica(data_dir: Path, redis_url: str, *, models: int, **settings: str) -> Iterator[BareReplica]:
    """A replica while the block runs.

    Args:
        data_dir: Folder of its artifacts and sockets; short, for the sockets' sake.
        redis_url: Where it registers.
        models: Model versions to make in its store; equal numbers make equal versions.
        settings: More settings, without prefix.

    Raises:
        SystemExit: It did not start; what it printed is in the message.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COHORTLENS_")}
    ours = {"DATA_DIR": str(data_dir), "REDIS_URL": redis_url} | settings
    environ |= {f"COHORTLENS_{name}": value for name, value in ours.items()}
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # As Ray's processes run: fewer arenas keep less of what was freed.
    environ["MALLOC_ARENA_MAX"] = "2"
    command = [
        str(ROOT / ".venv-workers/bin/python"),
        str(ROOT / "load/bench/servers/replica.py"),
        str(models),
    ]
    log = data_dir / "replica.log"
    with (
        log.open("a") as output,
        subprocess.Popen(
            command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=output, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], READY_S)
            line = process.stdout.readline() if readable else ""
            if not line:
                sys.exit(f"error REPLICA_NOT_READY: {log.read_text()[-2000:]}")
            told = json.loads(line)
            yield BareReplica(process, **told | {"digests": tuple(told["digests"])})
        finally:
            process.kill()


def feature_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows that such a model takes, float32 of shape (count, columns)."""
    rows = np.random.default_rng(seed).exponential(100.0, (count, len(SCHEMA.columns))).astype(np.float32)
    rows[:, SCHEMA.index("horizon")] = HORIZON_DAYS
    return rows
