"""Replicas that follow their load: a second one comes, takes calls, and leaves without one that failed."""

from __future__ import annotations

import asyncio
import csv
import gzip
import time
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis

from cohortlens.adapters.inference import GrpcInferenceClient
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.purchase_days import purchase_days
from tests.fixtures.waiting import eventually
from tests.integration.workers.conftest import ROOT, Workers

CDNOW = ROOT / "cohortlens" / "data" / "cdnow_sample.csv.gz"
AS_OF = date(1998, 6, 30)
BOUND_S = 45
CALLERS = 4
ROWS = 1000


@pytest.fixture
def side(valkey, short_tmp):
    """A worker side whose deployments may have a second replica."""
    made = Workers(
        short_tmp / "scaling",
        valkey.url.removesuffix("/0") + "/2",
        {
            "COHORTLENS_REPLICAS_MAX": "2",
            # Four calls of 1,000 rows are always under way: the load is above the target from the first report on.
            "COHORTLENS_SCALE_TARGET_ROWS": str(ROWS),
            "COHORTLENS_SCALE_UP_DELAY": "500ms",
            "COHORTLENS_SCALE_DOWN_DELAY": "1s",
        },
    )
    made.start()
    made.await_ready()
    yield made
    made.clear()


def test_a_second_replica_comes_with_the_load_and_leaves_with_it_and_no_call_fails(side):
    assert side.ready["replicas"] == {"least": 1, "most": 2}
    digest = side.train(model="segmentation", **order(side))[-1].result.artifact_digest

    answered, failed = asyncio.run(load_and_watch(side, digest))

    assert failed == []
    assert answered > CALLERS


async def load_and_watch(side, digest):
    """Call until a second replica is there and takes calls; one caller goes on until it has left again."""
    redis = Redis.from_url(side.redis_url)
    directory = ReplicaDirectory(redis)
    client = GrpcInferenceClient(directory)
    rows = np.zeros((ROWS, len(SCHEMA.names)), dtype=np.float32)
    failed, answered = [], 0
    quiet, stop = asyncio.Event(), asyncio.Event()

    async def call(tenant, count):
        nonlocal answered
        try:
            await client.score(
                "segmentation",
                digest,
                SCHEMA.hash,
                "",
                rows[:count],
                deadline=time.monotonic() + 10,
                tenant=tenant,
            )
            answered += 1
        except Exception as error:
            failed.append(error)

    async def heavy(tenant):
        while not quiet.is_set():
            await call(tenant, ROWS)

    async def light():
        while not stop.is_set():
            await call("light", 1)
            await asyncio.sleep(0.02)

    def both_work():
        working = [one for one in side.records("segmentation") if digest in one["loaded"]]
        return len(working) == len(directory.live("segmentation")) == 2

    def one_has_left():
        return len(side.records("segmentation")) == len(directory.live("segmentation")) == 1

    callers = [asyncio.create_task(heavy(f"tenant-{number}")) for number in range(CALLERS)]
    callers.append(asyncio.create_task(light()))
    directory.start()
    try:
        await eventually(both_work, seconds=BOUND_S)
        quiet.set()
        await eventually(one_has_left, seconds=BOUND_S)
    finally:
        quiet.set()
        stop.set()
        await asyncio.gather(*callers)
        await client.close()
        await redis.aclose()
    return answered, failed


def order(side):
    with gzip.open(CDNOW, "rt") as file:
        bought = list(csv.DictReader(file))
    number = {name: index for index, name in enumerate(sorted({row["customer_id"] for row in bought}))}
    days = purchase_days(
        [number[row["customer_id"]] for row in bought],
        [(date.fromisoformat(row["date"]) - date(1970, 1, 1)).days for row in bought],
        [float(row["amount"]) for row in bought],
        items=[float(row["quantity"]) for row in bought],
    )
    path = side.data_dir / "days.parquet"
    pq.write_table(pa.table(days.columns()), path)
    snapshot = LocalArtifactStore(side.data_dir / "artifacts").put_bytes(path.read_bytes())
    return {"snapshot_digest": snapshot, "as_of": AS_OF.isoformat(), "currency": "USD", "seed": 7}
