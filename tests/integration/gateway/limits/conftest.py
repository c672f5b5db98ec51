"""A Valkey of its own for tests that stop it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from cohortlens.core.redis import redis_client as connect

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    from cohortlens.embedded.redis import EmbeddedRedis

    server = EmbeddedRedis(tmp_path_factory.mktemp("valkey"), 0)
    server.url = server.start()
    server._requested_port = server.port
    yield server
    server.stop()


@pytest.fixture
async def valkey_client(valkey):
    client = connect(valkey.url)
    await client.flushdb()
    yield client
    await client.aclose()


async def flooded(url, *, processes, rate, burst, tasks, seconds, tenants, skews=(0,)):
    """What processes that flood report, each with a wall clock of its own; they begin together."""
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.gateway.limits.flooding"),
            *(str(one) for one in (url, rate, burst, tasks, seconds, ",".join(map(str, tenants)))),
            str(skews[at % len(skews)]),
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for at in range(processes)
    ]  # fmt: skip
    try:
        for one in started:
            assert (await one.stdout.readline()).strip() == b"ready"
        for one in started:
            one.stdin.write(b"\n")
        outputs = await asyncio.gather(*(one.communicate() for one in started))
    finally:
        for one in started:
            if one.returncode is None:
                one.kill()
                await one.wait()
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]
