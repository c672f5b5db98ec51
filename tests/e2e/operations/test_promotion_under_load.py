"""Versions change while calls run: none fails, and every answer is that of the version it names."""

import asyncio
import json
import math
import threading
import time
from dataclasses import replace
from uuid import UUID

import pytest

from cohortlens.cli.errors import ApiError
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.registry.service import RegistryService
from cohortlens.v1 import analytics_pb2, auth_pb2, models_pb2
from tests.fakes.models import install
from tests.fixtures.waiting import eventually_blocking

SPEND = analytics_pb2.PREDICTION_TASK_SPEND
SWITCHES = 6
CALLERS, PACE_S = 4, 0.03  # together some 130 calls a second


def _promote(client, version):
    request = models_pb2.PromoteModelRequest(model="prediction", version=version, reason="a test")
    return client.call(client.models.PromoteModel, request).version


def _roll_back(client):
    request = models_pb2.RollbackModelRequest(model="prediction", reason="a test")
    return client.call(client.models.RollbackModel, request).version


def _active(client):
    request = models_pb2.GetModelVersionRequest(model="prediction")
    return client.call(client.models.GetModelVersion, request).version


def _swapped(manifest):
    """The same model with the graphs of its two targets changed over: sound, and with other answers."""
    other = {"purchases": "spend", "spend": "purchases"}
    files = {}
    for name in manifest.files:
        target, dot, rest = name.partition(".")
        files[name] = manifest.files[other.get(target, target) + dot + rest]
    return replace(manifest, files=files, seed=manifest.seed + 1)


def _register(stack, demo, *manifests):
    """Register versions as trainings would; returns their numbers."""
    password = json.loads((stack.data_dir / "secrets.json").read_text())["postgres_runtime"]
    port = stack.environ["COHORTLENS_POSTGRES_PORT"]
    tenant = TenantId(UUID(demo.call(demo.auth.GetMe, auth_pb2.GetMeRequest()).tenant))

    async def work():
        db = Database(f"postgresql://cl_app:{password}@127.0.0.1:{port}/cohortlens", 1)
        try:
            registry = RegistryService(db)
            return [(await install(registry, db, tenant, manifest))[0] for manifest in manifests]
        finally:
            await db.close()

    return asyncio.run(work())


@pytest.fixture(scope="module")
def versions(stack, demo):
    """The active version of the demo tenant, another sound one, and one whose files are not there."""
    first = _active(demo)
    store = LocalArtifactStore(stack.data_dir / "artifacts")
    manifest = ModelManifest.from_json(store.read_verified(first.artifact_digest))
    sound = _swapped(manifest)
    assert store.put_bytes(sound.to_json().encode()) == sound.digest
    missing = replace(sound, seed=sound.seed + 1)
    second, third = _register(stack, demo, sound, missing)
    _promote(demo, first.version)
    yield first.version, second, third
    _promote(demo, first.version)


@pytest.fixture(scope="module")
def ask(demo):
    """Predicts one vector; answers the version and the value."""
    features = demo.call(demo.analytics.GetFeatures, analytics_pb2.GetFeaturesRequest(customer="external:4"))
    request = analytics_pb2.PredictRequest(
        task=SPEND, vectors=[features.features], schema_hash=features.schema_hash, horizon_days=90
    )

    def one():
        (found,) = demo.call(demo.analytics.Predict, request).predictions
        return found.model_version, found.value

    return one


def _golden(demo, ask, version):
    """The value of a version, once every process has noticed that it serves."""
    _promote(demo, version)
    time.sleep(2.2)  # what a gateway remembers of the active version lives two seconds
    answers = {ask() for _ in range(4)}
    assert {number for number, _ in answers} == {version}
    (value,) = {value for _, value in answers}
    return value


class _Callers:
    """Threads that call until told to stop."""

    def __init__(self, ask):
        self.answers, self.faults = [], []
        self._ask, self._stop = ask, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self):
        while not self._stop.wait(PACE_S):
            try:
                self.answers.append(self._ask())
            except ApiError as fault:
                self.faults.append(fault)


def test_promotions_and_roll_backs_under_load_fail_no_call_and_mix_no_versions(demo, ask, versions):
    first, second, _ = versions
    golden = {version: _golden(demo, ask, version) for version in (second, first)}
    assert len(set(golden.values())) == 2
    with _Callers(ask) as callers:
        for turn in range(SWITCHES):
            changed = _promote(demo, second) if turn % 2 == 0 else _roll_back(demo)
            assert changed.version == (second if turn % 2 == 0 else first)
            time.sleep(0.7)
        time.sleep(2.2)
        seen = len(callers.answers)
        eventually_blocking(lambda: len(callers.answers) > seen)
    assert callers.faults == []
    # A row is summed alone or among others: the last bits may differ, the versions differ by far more.
    assert all(math.isclose(value, golden[version], rel_tol=1e-6) for version, value in callers.answers)
    assert {version for version, _ in callers.answers} == {first, second}
    assert callers.answers[-1][0] == _active(demo).version == first


def test_a_challenger_sees_calls_and_its_report_compares_it_with_the_active_version(
    demo, stranger, ask, versions
):
    first, second, _ = versions
    golden = {version: _golden(demo, ask, version) for version in (second, first)}
    missing = models_pb2.GetChallengerRequest(model="prediction")
    with pytest.raises(ApiError) as before:
        stranger.call(stranger.models.GetChallenger, missing)
    challenge = models_pb2.SetChallengerRequest(model="prediction", version=second, share_ratio=1.0)
    demo.call(demo.models.SetChallenger, challenge)
    time.sleep(2.2)
    for _ in range(20):
        assert ask() == (first, golden[first])

    def compared():
        reply = demo.call(demo.models.GetChallenger, missing)
        return [one for one in reply.comparisons if one.champion_version == first and one.rows >= 20]

    (line,) = eventually_blocking(compared, 30)
    assert (line.task, line.horizon_days) == (SPEND, 90)
    assert line.champion_mean == pytest.approx(golden[first], rel=1e-9)
    assert line.challenger_mean == pytest.approx(golden[second], rel=1e-9)
    assert line.timed_calls >= 1
    assert min(line.champion_ms, line.challenger_ms) > 0

    # Nobody else has a challenger by that, and promoting it ends the comparison.
    with pytest.raises(ApiError) as after:
        stranger.call(stranger.models.GetChallenger, missing)
    assert (after.value.code, after.value.message) == (before.value.code, before.value.message)
    _promote(demo, second)
    with pytest.raises(ApiError) as cleared:
        demo.call(demo.models.GetChallenger, missing)
    assert cleared.value.code == "NOT_FOUND"
    _promote(demo, first)


def test_a_version_that_the_workers_cannot_load_is_refused_and_the_active_one_goes_on(demo, ask, versions):
    first, _, missing = versions
    before = ask()
    with pytest.raises(ApiError) as refused:
        _promote(demo, missing)
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "VERSION_NOT_LOADABLE")
    assert refused.value.metadata["cause"] == "ARTIFACT_MISSING"
    assert "nothing changed" in refused.value.message
    assert _active(demo).version == first
    assert ask() == before
