"""The stand-in as a process: what it refuses, and that nothing it answered is lost."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from cohortlens.embedded.ports import accepts, free_port
from tests.fixtures.fake_stripe import FakeStripe, settings
from tests.fixtures.waiting import eventually_blocking


@contextmanager
def _running(folder, port, **more):
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COHORTLENS_")}
    command = [sys.executable, "-m", "cohortlens.embedded.stripe"]
    process = subprocess.Popen(
        command, env=environ | settings(folder, port, **more), stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"COHORTLENS_ENV": "production"}, "never runs in production"),
        ({"COHORTLENS_STRIPE_API_KEY": "sk_live_0123456789"}, "sk_test_ only"),
        ({"COHORTLENS_STRIPE_API_KEY": ""}, "sk_test_ only"),
    ],
)
def test_it_does_not_start_where_money_is_real(tmp_path, more, reason):
    with _running(tmp_path / "data", free_port(), **more) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 5
    assert reason in said
    assert "sk_live_0123456789" not in said
    assert not (tmp_path / "data").exists()


def test_killed_while_it_works_it_keeps_all_that_it_answered(tmp_path, endpoint):
    folder, port = tmp_path / "data", free_port()
    more = {"COHORTLENS_STRIPE_WEBHOOK_SECRETS": "whsec_of_the_stack", "COHORTLENS_HTTP_PORT": "1"}
    fake = FakeStripe(f"http://127.0.0.1:{port}")
    with _running(folder, port, **more) as process:
        eventually_blocking(lambda: accepts(port), 20.0)
        fake.knob("retry", first=0.1, longest=0.2)
        subscription = fake.subscription()
        made = [fake.v1.customers.create(params={"name": str(n)}).id for n in range(20)]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with _running(folder, port, **more) as process:
        eventually_blocking(lambda: accepts(port), 20.0)
        kept = [one.id for one in fake.v1.customers.list(params={"limit": 100}).data]
        assert kept[:20] == made[::-1]
        assert fake.v1.subscriptions.retrieve(subscription.id).status == "active"
        [stack] = fake.v1.webhook_endpoints.list().data
        assert stack.url == "http://127.0.0.1:1/billing/stripe/webhook"
        pending = fake.look()["deliveries"]["pending"]
        assert pending >= 20, "nobody took them yet"
        fake.v1.webhook_endpoints.update(stack.id, params={"url": endpoint.url})
        eventually_blocking(lambda: fake.look()["deliveries"]["pending"] == 0, 20.0)
        came = {one.event["data"]["object"]["id"] for one in endpoint.received}
        assert set(made) <= came, "what waited for the endpoint came to its new address"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    state = folder / "stripe" / "state.db"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.joinpath("stripe").stat().st_mode) == 0o700


def test_it_listens_on_this_machine_only(tmp_path):
    port = free_port()
    with _running(tmp_path / "data", port):
        eventually_blocking(lambda: accepts(port), 20.0)
        table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening
