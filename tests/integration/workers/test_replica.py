"""One worker side as users run it: trained on a real shop's orders, asked over its sockets, broken and healed."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohortlens.adapters import messages
from cohortlens.adapters.frame_lane import FrameLane
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.frames import Method
from cohortlens.contracts.hosts import host_identity
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.contracts.purchase_days import purchase_days
from cohortlens.internal.v1 import inference_pb2 as pb
from tests.fixtures.waiting import eventually_blocking as eventually
from tests.integration.workers.conftest import ROOT
from workers.deployments import codec
from workers.runtime.bundle import Bundle

CDNOW = ROOT / "cohortlens" / "data" / "cdnow_sample.csv.gz"
AS_OF = date(1998, 6, 30)
EPOCH = date(1970, 1, 1)
TARGETS = ("purchases", "spend")


@pytest.fixture(scope="module")
def days():
    """Every third customer: still enough for the whole line-up, and trained in half the time of all."""
    with gzip.open(CDNOW, "rt") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["customer_id"] for row in rows})[::3]
    number = {name: index for index, name in enumerate(names)}
    rows = [row for row in rows if row["customer_id"] in number]
    return purchase_days(
        [number[row["customer_id"]] for row in rows],
        [(date.fromisoformat(row["date"]) - EPOCH).days for row in rows],
        [float(row["amount"]) for row in rows],
        items=[float(row["quantity"]) for row in rows],
    )


@pytest.fixture(scope="module")
def store(workers):
    return LocalArtifactStore(workers.data_dir / "artifacts")


@pytest.fixture(scope="module")
def snapshot(days, store, tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshot") / "days.parquet"
    pq.write_table(pa.table(days.columns()), path)
    return store.put_bytes(path.read_bytes())


@pytest.fixture(scope="module")
def order(snapshot):
    return {"snapshot_digest": snapshot, "as_of": AS_OF.isoformat(), "currency": "USD", "seed": 7}


@pytest.fixture(scope="module")
def trained(workers, order):
    """Answers of both trainings by model."""
    return {model: workers.train(model=model, **order) for model in ("segmentation", "prediction")}


@pytest.fixture(scope="module")
def digests(trained):
    return {model: answers[-1].result.artifact_digest for model, answers in trained.items()}


@pytest.fixture(scope="module")
def rows(days, trained):
    """Features of 300 customers at the shortest horizon of the prediction."""
    features = featurize(days, (AS_OF - EPOCH).days, int(days.customer.max()) + 1)[:300].copy()
    manifest = ModelManifest.from_json(trained["prediction"][-1].result.manifest_json)
    features[:, SCHEMA.index("horizon")] = manifest.horizons_days[0]
    return features


def score(stub, digest, rows, target=""):
    answer = stub.Score(
        pb.ScoreRequest(
            artifact_digest=digest, schema_hash=SCHEMA.hash, target=target, features=codec.matrix(rows)
        ),
        timeout=30,
    )
    return {column.name: np.frombuffer(column.values) for column in answer.columns}


def explain(stub, digest, rows, target):
    return stub.Explain(
        pb.ExplainRequest(
            artifact_digest=digest,
            schema_hash=SCHEMA.hash,
            target=target,
            method="shap",
            features=codec.matrix(rows),
        ),
        timeout=60,
    )


def test_every_deployment_registers_with_an_address_of_loopback_and_a_socket(workers):
    assert workers.ready["event"] == "ready"
    assert workers.ready["deployments"] == {"segmentation": 1, "prediction": 1, "explanation": 1}
    for name in workers.ready["deployments"]:
        record = workers.replica(name)
        assert record["address"].startswith("127.0.0.1:")
        assert Path(record["socket"]).is_socket()
        assert len(record["socket"]) < 107


def test_trainings_tell_their_progress_and_end_with_a_stored_version(trained, store, snapshot):
    for model, answers in trained.items():
        assert not answers[-1].HasField("failure"), answers[-1]
        assert answers[0].stage == "queued"
        shares = [answer.progress_ratio for answer in answers]
        assert shares == sorted(shares)
        result = answers[-1].result
        manifest = ModelManifest.from_json(store.read_verified(result.artifact_digest))
        assert manifest.model == model
        assert manifest.data_sha256 == snapshot
        assert manifest.to_json() == result.manifest_json
        assert result.cpu_s > 0.1


def test_equal_orders_give_the_same_version(workers, order, digests):
    [*_, last] = workers.train(model="segmentation", **order)

    assert last.result.artifact_digest == digests["segmentation"]


def test_the_process_of_a_finished_training_is_gone(workers, trained):
    eventually(lambda: not training_processes(workers))


@pytest.mark.parametrize("target", TARGETS)
def test_a_live_replica_scores_as_the_artifact_does_offline(workers, store, digests, rows, target):
    offline = Bundle.load(store, digests["prediction"]).score(target, rows)

    for unix in (False, True):
        with workers.stub("prediction", unix=unix) as stub:
            live = score(stub, digests["prediction"], rows, target)
        for name, values in offline.items():
            np.testing.assert_array_equal(live[name], values)
    assert (live["lower"] <= live["value"]).all()
    assert (live["value"] <= live["upper"]).all()


@pytest.mark.parametrize("count", [1, 300])
def test_frames_give_what_grpc_gives(workers, digests, rows, count):
    record = workers.replica("prediction")
    assert record["host"] == host_identity()
    parts = messages.score_request(digests["prediction"], SCHEMA.hash, "spend", rows[:count])

    async def framed():
        lane = await FrameLane.connect(record["frame_socket"], record["replica"], 5.0)
        answer = await lane.call(Method.SCORE, parts, 30.0)
        lane.close()
        return messages.scores_of(answer, count)

    found = asyncio.run(framed())
    with workers.stub("prediction") as stub:
        expected = score(stub, digests["prediction"], rows[:count], "spend")
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_every_row_gets_one_of_the_named_segments(workers, trained, digests, rows):
    manifest = ModelManifest.from_json(trained["segmentation"][-1].result.manifest_json)
    plain = rows.copy()
    plain[:, SCHEMA.index("horizon")] = 0

    with workers.stub("segmentation") as stub:
        result = score(stub, digests["segmentation"], plain)

    assert set(result["segment"]) <= set(range(len(manifest.segments)))
    assert len(set(result["segment"])) > 1
    assert (result["distance"] >= 0).all()


@pytest.mark.parametrize("target", TARGETS)
def test_base_and_contributions_add_up_to_the_prediction(workers, digests, rows, target):
    with workers.stub("explanation") as stub:
        answer = explain(stub, digests["prediction"], rows[:50], target)
    with workers.stub("prediction") as stub:
        values = score(stub, digests["prediction"], rows[:50], target)["value"]

    contributions = np.frombuffer(answer.contributions).reshape(50, -1)
    sums = answer.base_value + contributions.sum(axis=1)
    # Double precision, a few hundred trees.
    np.testing.assert_allclose(sums, np.frombuffer(answer.explained), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.frombuffer(answer.values), values)
    # What the trees imitate is a blend: they come close to it, and the rest is told.
    assert np.abs(np.log(values) - sums).mean() < 0.5
    assert np.abs(contributions).max() > 0.01


def test_a_line_of_a_replica_repeats_with_its_seed(workers, digests, rows):
    request = pb.ExplainRequest(
        artifact_digest=digests["prediction"],
        schema_hash=SCHEMA.hash,
        target="spend",
        features=codec.matrix(rows[:2]),
        method="lime",
        seeds=[1, 2],
    )
    with workers.stub("explanation") as stub:
        once, again = (stub.Explain(request, timeout=60) for _ in range(2))
    assert once == again
    shares = np.frombuffer(once.contributions).reshape(2, -1).sum(axis=1)
    np.testing.assert_allclose(
        np.frombuffer(once.bases) + shares, np.frombuffer(once.explained), rtol=0, atol=1e-9
    )


def test_a_model_is_loaded_ahead_once_and_named_in_the_record(workers, digests):
    with workers.stub("explanation") as stub:
        stub.LoadModel(pb.LoadModelRequest(artifact_digest=digests["prediction"]), timeout=60)
        again = stub.LoadModel(pb.LoadModelRequest(artifact_digest=digests["prediction"]), timeout=60)

    assert again.load_ms == 0.0
    eventually(lambda: digests["prediction"] in workers.replica("explanation")["loaded"])


def test_wrong_calls_are_refused_with_a_reason_that_survives_the_wire(workers, digests, rows):
    digest, horizon = digests["prediction"], SCHEMA.index("horizon")
    odd = rows[:1].copy()
    odd[0, horizon] = 731
    cases = {
        "ARTIFACT_MISSING": ("0" * 64, rows[:1], "spend", grpc.StatusCode.NOT_FOUND),
        "MODEL_KIND_MISMATCH": (
            digests["segmentation"],
            rows[:1],
            "spend",
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
        "TARGET_UNSUPPORTED": (digest, rows[:1], "weather", grpc.StatusCode.INVALID_ARGUMENT),
        "HORIZON_UNSUPPORTED": (digest, odd, "spend", grpc.StatusCode.INVALID_ARGUMENT),
        "FEATURE_SCHEMA_MISMATCH": (digest, rows[:1, :-1], "spend", grpc.StatusCode.INVALID_ARGUMENT),
    }
    with workers.stub("prediction") as stub:
        for reason, (artifact, matrix, target, code) in cases.items():
            with pytest.raises(grpc.RpcError) as caught:
                score(stub, artifact, matrix, target)
            assert caught.value.code() is code
            assert caught.value.details().startswith(f"{reason}: ")


def test_a_damaged_model_file_is_refused_and_the_replica_serves_on(workers, store, digests, rows):
    manifest = ModelManifest.from_json(store.read_verified(digests["prediction"]))
    copy = {"seed": 99}
    damaged = store.put_bytes(b"no graph")
    files = manifest.files | {name: damaged for name in manifest.files if name.endswith(".onnx")}
    forged = ModelManifest(**(vars(manifest) | copy | {"files": files}))
    digest = store.put_bytes(forged.to_json().encode())
    blob = store.path(damaged)
    blob.chmod(0o644)
    blob.write_bytes(b"other bytes")

    with workers.stub("prediction") as stub:
        with pytest.raises(grpc.RpcError) as caught:
            score(stub, digest, rows[:1], "spend")
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert caught.value.details().startswith("ARTIFACT_CORRUPT: ")
        assert len(score(stub, digests["prediction"], rows[:1], "spend")["value"]) == 1


def test_no_live_replica_holds_rust_after_it_has_answered(workers, digests, rows):
    with workers.stub("prediction") as stub:
        score(stub, digests["prediction"], rows, "spend")
    with workers.stub("explanation") as stub:
        explain(stub, digests["prediction"], rows[:2], "spend")
    for name in workers.ready["deployments"]:
        with workers.stub(name) as stub:
            status = stub.GetStatus(pb.GetStatusRequest(probe_rust=True), timeout=60)
        assert list(status.rust_files) == []
        assert status.probed_files > 100
        assert (status.deployment, status.pid) == (name, workers.replica(name)["pid"])


def test_every_listener_of_the_worker_side_is_on_loopback(workers):
    found = [address for pid in [workers.process.pid, *workers.processes()] for address in listeners(pid)]

    assert len(found) >= 8  # three replicas, the training, and Ray's own
    assert {address for address in found if not address.startswith("127.")} == set()


def test_a_snapshot_that_is_not_there_fails_with_its_reason(workers, order):
    [*_, last] = workers.train(model="prediction", **(order | {"snapshot_digest": "0" * 64}))

    assert last.failure.reason == "ARTIFACT_MISSING"


def test_a_training_process_killed_midway_is_told_as_a_crash_and_the_next_one_works(workers, order):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(workers.train, model="prediction", **order)
        [pid] = eventually(lambda: training_processes(workers))
        os.kill(pid, signal.SIGKILL)
        [*_, last] = running.result(60)

    assert last.failure.reason == "TRAINING_CRASHED"
    assert workers.train(model="segmentation", **order)[-1].HasField("result")


def test_a_caller_that_goes_away_takes_its_training_with_it(workers, order):
    with workers.stub("training") as stub:
        call = stub.Train(pb.TrainRequest(model="prediction", **order), timeout=120)
        next(call)
        eventually(lambda: training_processes(workers))
        call.cancel()

        eventually(lambda: not training_processes(workers))


@pytest.mark.parametrize("deployment", ["prediction", "explanation"])
def test_a_replica_killed_is_replaced_and_serves_the_same_model(workers, digests, rows, deployment):
    killed = workers.replica(deployment)
    with workers.stub(deployment) as stub:
        before = score(stub, digests["prediction"], rows[:3], "spend")

    os.kill(killed["pid"], signal.SIGKILL)

    def warm_again():
        """Holds the model before anybody has called it."""
        fresh = [record for record in workers.records(deployment) if record["pid"] != killed["pid"]]
        return any(digests["prediction"] in record["loaded"] for record in fresh)

    eventually(lambda: [r for r in workers.records(deployment) if r["pid"] != killed["pid"]], seconds=15)
    eventually(warm_again, seconds=30)
    eventually(lambda: all(r["pid"] != killed["pid"] for r in workers.records(deployment)))

    with workers.stub(deployment) as stub:
        after = score(stub, digests["prediction"], rows[:3], "spend")
    np.testing.assert_array_equal(after["value"], before["value"])


def training_processes(workers) -> list[int]:
    """Processes of Ray that run a training now."""
    found = []
    for pid in workers.processes():
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"train:" in title or b"::events" in title:
            found.append(pid)
    return found


def listeners(pid: int) -> list[str]:
    """Addresses on which a process listens, IPv4 in dots, IPv6 mapped to it where possible."""
    sockets = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(fd.readlink()))
        except OSError:
            continue
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in sockets:
                found.append(_address(parts[1].partition(":")[0]))
    return found


def _address(text: str) -> str:
    words = [bytes.fromhex(text[i : i + 8]) for i in range(0, len(text), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    raw = b"".join(words)
    if raw[:12] in (bytes(10) + b"\xff\xff", b""):
        raw = raw[12:]
    return ".".join(map(str, raw)) if len(raw) == 4 else raw.hex(":")
