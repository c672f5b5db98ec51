"""Health: what counts as alive, ready, degraded and down."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.http import health
from gateway.http.headers import Head
from gateway.http.health import Check, Finding, HealthMonitor
from gateway.http.requests import Request

GET = Request("GET", "/", "", Head(), "")


class Probe:
    """A dependency under the test's control."""

    def __init__(self, finding=None):
        self.finding, self.error, self.hangs, self.asked = finding or Finding(), None, False, 0

    async def __call__(self):
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.finding


@pytest.fixture
def clock(monkeypatch):
    class Time:
        now = 1000.0

    monkeypatch.setattr(health.time, "monotonic", lambda: Time.now)
    return Time


@pytest.fixture
def parts(clock):
    postgres, workers = Probe(Finding(mode="embedded")), Probe(Finding(replicas={"prediction": 2}))
    checks = [
        Check("postgres", postgres, required=True, grace_s=5.0),
        Check("workers", workers),
    ]
    state = {"serving": True}
    return HealthMonitor(checks, lambda: state["serving"], "1.2.3"), postgres, workers, state


async def _read(answer):
    response = await answer
    return response.status, json.loads(response.body)


async def test_a_report_names_every_check_with_its_state(parts, clock):
    monitor, *_ = parts
    clock.now += 1.5
    status, body = await _read(monitor.report(GET))
    assert (status, body["status"], body["version"], body["uptimeS"]) == (200, "ok", "1.2.3", 1.5)
    assert body["checks"] == [
        {"name": "postgres", "status": "ok", "latencyMs": 0, "required": True, "mode": "embedded"},
        {"name": "workers", "status": "ok", "latencyMs": 0, "required": False, "replicas": {"prediction": 2}},
    ]


async def test_what_only_degrades_leaves_200_and_what_is_required_makes_503(parts, clock):
    monitor, postgres, workers, _ = parts
    workers.error = ConnectionError("10.1.2.3 refused")
    status, body = await _read(monitor.report(GET))
    assert (status, body["status"]) == (200, "degraded")
    assert "10.1.2.3" not in json.dumps(body)
    assert (await _read(monitor.readyz(GET)))[0] == 200
    clock.now += 3
    workers.error, workers.finding = None, Finding(degraded=True, replicas={"prediction": 0})
    assert (await _read(monitor.report(GET)))[1]["checks"][1]["status"] == "degraded"
    clock.now += 3
    postgres.error = ConnectionError("gone")
    status, body = await _read(monitor.report(GET))
    assert (status, body["status"]) == (503, "down")


async def test_ready_forgives_the_database_for_five_seconds_and_not_longer(parts, clock):
    monitor, postgres, _, _ = parts
    postgres.error = ConnectionError("gone")
    assert (await _read(monitor.readyz(GET)))[0] == 200
    clock.now += 4
    assert (await _read(monitor.readyz(GET)))[0] == 200
    clock.now += 2
    assert await _read(monitor.readyz(GET)) == (503, {"status": "not_ready", "missing": ["postgres"]})
    postgres.error = None
    clock.now += 3
    assert (await _read(monitor.readyz(GET)))[0] == 200


async def test_a_draining_process_is_not_ready_and_still_alive(parts):
    monitor, _, _, state = parts
    state["serving"] = False
    assert await _read(monitor.readyz(GET)) == (503, {"status": "not_ready", "missing": ["process"]})
    assert (await _read(monitor.livez(GET)))[0] == 200


async def test_alive_asks_no_dependency(parts):
    monitor, postgres, workers, _ = parts
    await monitor.livez(GET)
    assert (postgres.asked, workers.asked) == (0, 0)


async def test_checks_run_once_in_two_seconds_however_many_ask(parts, clock):
    monitor, postgres, _, _ = parts
    await asyncio.gather(*(monitor.report(GET) for _ in range(20)))
    assert postgres.asked == 1
    clock.now += 1.9
    await monitor.report(GET)
    assert postgres.asked == 1
    clock.now += 0.2
    await monitor.report(GET)
    assert postgres.asked == 2


async def test_a_check_that_hangs_is_degraded_and_holds_up_nothing_else(monkeypatch):
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)
    hanging, quick = Probe(), Probe()
    hanging.hangs = True
    monitor = HealthMonitor([Check("redis", hanging), Check("jobs", quick)], lambda: True, "1")
    async with asyncio.timeout(5):
        status, body = await _read(monitor.report(GET))
    assert status == 200
    assert [one["status"] for one in body["checks"]] == ["degraded", "ok"]
