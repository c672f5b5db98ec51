"""One replica of the deployment ``prediction`` without Ray; run by the workers' Python.

``replica.py COUNT`` makes COUNT model versions of the usual size in the artifact store, serves both lanes,
registers in Redis, prints one line of JSON, and drains at SIGTERM. Settings as for ``python -m workers``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import numpy as np

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.asks import calibration_key
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import IntervalCalibration, ModelManifest
from cohortlens.core.config import read
from cohortlens.core.telemetry import configure_logging
from workers.config import WorkerConfig
from workers.deployments.prediction import PredictionReplica
from workers.runtime.bundle import Bundle, graph_file, trees_file
from workers.runtime.tree_arrays import TreeArrays

TARGET, HORIZON_DAYS = "spend", 30
TREES, LEAVES = 150, 15


def trees(seed: int) -> TreeArrays:
    """Full trees with random bounds, as many and as large as training makes them."""
    rng = np.random.default_rng(seed)
    inner, nodes = LEAVES - 1, 2 * LEAVES - 1
    is_inner = np.tile(np.arange(nodes) < inner, TREES)
    left = np.where(is_inner, np.tile(2 * np.arange(nodes) + 1, TREES), -1).astype(np.int32)
    right = np.where(is_inner, left + 1, -1).astype(np.int32)
    feature = rng.integers(len(SCHEMA.columns), size=nodes * TREES)
    bounds = rng.exponential(100.0, nodes * TREES).astype(np.float32).astype(np.float64)
    leaves = rng.normal(0.0, 0.01, nodes * TREES).astype(np.float32).astype(np.float64)
    return TreeArrays(
        base=np.array(3.0),
        features=np.array(len(SCHEMA.columns), np.int32),
        starts=np.arange(0, nodes * TREES + 1, nodes, dtype=np.int32),
        left=left,
        right=right,
        default=left,
        feature=np.where(is_inner, feature, -1).astype(np.int32),
        threshold=np.where(is_inner, bounds, 0.0),
        value=np.where(is_inner, 0.0, leaves),
        weight=np.ones(nodes * TREES),
    )


def made(store: LocalArtifactStore, seed: int) -> str:
    """Store a model version; returns its digest."""
    from workers.training.export import trees_graph  # noqa: PLC0415 - not in the memory of the replica

    grown = trees(seed)
    interval = IntervalCalibration(0.8, (10.0, 100.0), (0.5,) * 3, (0.5,) * 3, 1.0)
    manifest = ModelManifest(
        model="prediction",
        schema_hash=SCHEMA.hash,
        data_sha256="0" * 64,
        as_of="2026-01-31",
        currency="USD",
        seed=seed,
        code_version="0",
        targets=(TARGET,),
        horizons_days=(HORIZON_DAYS,),
        files={
            graph_file(TARGET): store.put_bytes(trees_graph(grown)),
            trees_file(TARGET): store.put_bytes(grown.to_npz()),
        },
        calibration={calibration_key(TARGET, HORIZON_DAYS): interval},
    )
    return store.put_bytes(manifest.to_json().encode())


async def serve(config: WorkerConfig, digests: list[str]) -> None:
    """Serve until SIGTERM, then drain."""
    store = LocalArtifactStore(config.artifacts)

    def load(digest: str) -> Bundle:
        bundle = Bundle.load(store, digest)
        bundle.warm()
        return bundle

    replica = PredictionReplica(f"bare-{os.getpid()}", config, load)
    await replica.open()
    record = replica.record()
    told = {
        "replica": record.replica,
        "frame_socket": record.frame_socket,
        "address": record.address,
        "digests": digests,
        "model_bytes": load(digests[0]).memory_bytes if digests else 0,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await replica.close()


def main() -> None:
    """Make the models in a process of their own, whose memory is not the replica's; then serve."""
    config = read(WorkerConfig, os.environ)
    configure_logging(config.log_level, config.log_format, sys.stderr)
    digests = []
    if sys.argv[1:] and int(sys.argv[1]):
        reader, writer = os.pipe()
        if os.fork() == 0:
            store = LocalArtifactStore(config.artifacts)
            os.write(writer, json.dumps([made(store, seed) for seed in range(int(sys.argv[1]))]).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as told:
            digests = json.loads(told.read())
        os.wait()
    asyncio.run(serve(config, digests))


if __name__ == "__main__":
    main()
