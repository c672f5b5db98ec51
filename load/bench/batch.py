"""Batch prediction at size: ``make bench-batch [ROWS=1000000]`` (``python -m load.bench.batch ROWS``).

Starts a stack of its own (``--here`` takes the running one of the settings), makes ROWS synthetic customers
of the demo tenant, and prints:

1. scoring alone, Ray tasks from Parquet to Parquet, beside onnxruntime in one process with two threads on the
   same rows, taken in turns, as rows a second of wall time and of CPU time;
2. a batch into PostgreSQL, rows a second from request to end;
3. a batch during which the jobs process and then the workers' supervisor are killed with -9: how many
   customers were scored exactly once, more than once, never.

Exit code 0 when every customer was scored exactly once in both, 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa

from cohortlens.adapters.batch_scoring import GrpcBatchScorer
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.analytics.batches.files import InputWriter
from cohortlens.analytics.batches.models import SLICE_ROWS
from cohortlens.analytics.batches.ports import ScoringOrder
from cohortlens.cli.client import Client
from cohortlens.cli.local import data_dir
from cohortlens.cli.output import table
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.config import Url
from cohortlens.core.ids import uuid7
from cohortlens.core.redis import redis_client
from cohortlens.embedded import secrets, stack
from cohortlens.embedded.postgres import database_urls
from cohortlens.v1 import analytics_pb2, common_pb2, models_pb2
from load.bench import batch_customers
from load.bench.fault_stack import demo_client, started

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ROOT / ".venv-workers" / "bin" / "python"
HORIZON_DAYS = 90
TURNS = 3
GOAL_RATIO = 0.85
_CHUNKS = (4096, 50_000)
_KILL_JOBS_AT = 0.3
_FINAL = {common_pb2.WORK_STATE_SUCCEEDED, common_pb2.WORK_STATE_FAILED, common_pb2.WORK_STATE_CANCELLED}


@dataclass(frozen=True)
class Spent:
    """Seconds of wall and of CPU time."""

    wall_s: float
    cpu_s: float


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-batch")
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--here", action="store_true", help="use the running stack of the settings")
    given = parser.parse_args()
    with contextlib.nullcontext() if given.here else started(1), demo_client() as client:
        return _measure(client, given.rows)


def _measure(client: Client, rows: int) -> int:
    config = stack.load_config()
    services = {one.name: one for one in stack.status(config).services}
    urls = database_urls(secrets.load_or_create(data_dir()), services["postgres"].port)
    began = time.perf_counter()
    made = asyncio.run(batch_customers.make(urls.superuser, rows))
    _say(f"{rows:,} customers made in {time.perf_counter() - began:.1f} s")
    _scoring(client, made, Url(_redis(services["redis"].port)))
    fine = True
    for task in ("purchases", "spend"):
        batch, seconds, outages = _batch(client, task, made.tenant_id, kill=task == "spend")
        once, twice, never = asyncio.run(
            batch_customers.times_scored(urls.superuser, made.tenant_id, batch.batch)
        )
        told = "; ".join(outages) if outages else "nothing killed"
        _say(
            f"batch of {batch.rows:,} rows into PostgreSQL: {seconds:.1f} s, "
            f"{batch.rows / seconds:,.0f} rows/s ({told})"
        )
        _say(f"  customers scored exactly once {once:,}, more than once {twice:,}, never {never:,}")
        fine = fine and twice == 0 and never == 0 and once == batch.rows
    return 0 if fine else 1


def _scoring(client: Client, made: batch_customers.Customers, redis_url: Url) -> None:
    store = LocalArtifactStore(data_dir() / "artifacts")
    version = client.call(
        client.models.ListModelVersions, models_pb2.ListModelVersionsRequest(model="prediction")
    ).versions
    digest = next(one.artifact_digest for one in version if one.active)
    manifest = ModelManifest.from_json(store.read_verified(digest))
    graph = store.path(manifest.files["spend.onnx"])
    matrix = made.matrix.copy()
    matrix[:, SCHEMA.index("horizon")] = HORIZON_DAYS
    order = _order(store, made, manifest, digest)
    ours: list[Spent] = []
    reference: list[Spent] = []
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        np.save(f"{folder}/rows.npy", matrix)
        for _ in range(TURNS):
            reference.append(_onnx(graph, Path(folder) / "rows.npy"))
            # Both are timed with the model loaded: Ray ends idle processes after a second.
            asyncio.run(_scored(redis_url, replace(order, slices=order.slices[:4])))
            ours.append(asyncio.run(_scored(redis_url, order)))
    BatchFolder(store.root, order.tenant_id, order.batch_id).remove()
    rows = len(matrix)
    lines = []
    for name, spent in (("onnxruntime, 2 threads", reference), ("Ray tasks, Parquet to Parquet", ours)):
        best = Spent(min(one.wall_s for one in spent), min(one.cpu_s for one in spent))
        lines.append(
            [
                name,
                f"{best.wall_s:.2f}",
                f"{rows / best.wall_s:,.0f}",
                f"{best.cpu_s:.2f}",
                f"{rows / best.cpu_s:,.0f}",
            ]
        )
    _say(table(lines, ["scoring alone", "wall s", "rows/s", "CPU s", "rows/CPU s"], frozenset(range(1, 5))))
    wall = min(one.wall_s for one in reference) / min(one.wall_s for one in ours)
    cpu = min(one.cpu_s for one in reference) / min(one.cpu_s for one in ours)
    _say(f"Ray tasks reach {wall:.2f} of it by wall time, {cpu:.2f} by CPU time; goal {GOAL_RATIO}")


def _order(
    store: LocalArtifactStore, made: batch_customers.Customers, manifest: ModelManifest, digest: str
) -> ScoringOrder:
    """Write the rows as an input of a batch that only the benchmark knows."""
    batch_id = uuid7()
    folder = BatchFolder(store.root, made.tenant_id, batch_id)
    folder.make()
    writer = InputWriter(folder.input, frozen=False)
    for first in range(0, len(made.matrix), SLICE_ROWS):
        part = made.matrix[first : first + SLICE_ROWS]
        ids = pa.array([str(first + at) for at in range(len(part))])
        writer.write(ids, pa.py_buffer(np.ascontiguousarray(part, "<f4").tobytes()))
    writer.close()
    return ScoringOrder(
        tenant_id=made.tenant_id,
        batch_id=batch_id,
        input_id=batch_id,
        artifact_digest=digest,
        schema_hash=manifest.schema_hash,
        target="spend",
        horizon_days=HORIZON_DAYS,
        slices=range(len(writer.slices)),
    )


async def _scored(redis_url: Url, order: ScoringOrder) -> Spent:
    redis = redis_client(redis_url)
    directory = ReplicaDirectory(redis)
    try:
        scorer, cpu_s = GrpcBatchScorer(directory), 0.0
        await directory.acquire("batch", time.monotonic() + 60.0)
        began = time.perf_counter()
        async for one in scorer.score_slices(order):
            cpu_s += one.cpu_s
        return Spent(time.perf_counter() - began, cpu_s)
    finally:
        await directory.close()
        await redis.aclose()


def _onnx(graph: Path, rows: Path) -> Spent:
    script = ROOT / "load" / "bench" / "servers" / "batch_onnx.py"
    found = []
    for chunk in _CHUNKS:
        command = [str(WORKERS), str(script), str(graph), str(rows), "2", str(chunk)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        found.append(Spent(**json.loads(done.stdout)))
    return Spent(min(one.wall_s for one in found), min(one.cpu_s for one in found))


def _batch(
    client: Client, task: str, tenant_id: UUID, *, kill: bool
) -> tuple[analytics_pb2.BatchPrediction, float, list[str]]:
    """Run a batch, if wanted with kills on the way; gives it, the seconds, what was killed."""
    number = getattr(analytics_pb2, f"PREDICTION_TASK_{task.upper()}")
    request = analytics_pb2.PredictBatchRequest(task=number, horizon_days=HORIZON_DAYS, all_customers=True)
    began = time.perf_counter()
    batch = client.call(client.analytics.PredictBatch, request).batch
    killer = _Killer(BatchFolder(data_dir() / "artifacts", tenant_id, UUID(batch.batch))) if kill else None
    while batch.state not in _FINAL:
        time.sleep(0.02)
        wanted = analytics_pb2.GetBatchPredictionRequest(batch=batch.batch)
        batch = client.call(client.analytics.GetBatchPrediction, wanted).batch
        if killer is not None and batch.state not in _FINAL:
            killer.look(batch)
    seconds = time.perf_counter() - began
    if batch.state != common_pb2.WORK_STATE_SUCCEEDED:
        raise SystemExit(f"error {batch.error.reason}: {batch.error.message}")
    if killer is not None and len(killer.told) < 2:
        raise SystemExit("error ROWS_TOO_FEW: the batch ended before everything was killed; take more rows")
    return batch, seconds, killer.told if killer is not None else []


class _Killer:
    """Ends the jobs process in the middle of a batch, then the workers while they score what is left.

    Scoring is far ahead of storing, so the workers die when the first slice after the take-over appears.
    """

    def __init__(self, folder: BatchFolder) -> None:
        self._folder = folder
        self._jobs_died_at = 0.0
        self.told: list[str] = []

    def look(self, batch: analytics_pb2.BatchPrediction) -> None:
        if not self.told and batch.progress_ratio >= _KILL_JOBS_AT:
            _kill("jobs")
            self.told.append(f"kill -9 of jobs after {batch.rows_done:,} rows")
            self._jobs_died_at = max(self._written(), default=0.0)
        elif len(self.told) == 1 and max(self._written(), default=0.0) > self._jobs_died_at:
            _kill("workers")
            self.told.append(f"kill -9 of workers after {batch.rows_done:,} rows, while they scored")

    def _written(self) -> list[float]:
        found = []
        for path in self._folder.path.glob("scores-*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                found.append(path.stat().st_mtime)
        return found


def _kill(service: str) -> None:
    pid = next(one.pid for one in stack.status(stack.load_config()).services if one.name == service)
    if pid is None:
        raise SystemExit(f"error SERVICE_DOWN: {service} does not run")
    os.kill(pid, signal.SIGKILL)


def _redis(port: int) -> str:
    return f"redis://:{secrets.load_or_create(data_dir()).redis.reveal()}@127.0.0.1:{port}/0"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
