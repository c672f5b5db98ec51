"""A Valkey of its own for tests that stop it, gateways that limit over it, and processes that flood it."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cohortlens.core.db import Database
from cohortlens.core.redis import redis_client as connect
from cohortlens.identity.service import IdentityService
from tests.fixtures import servers
from tests.fixtures.gateways import running_gateways
from tests.fixtures.tenants import register
from tests.integration.identity.conftest import ISSUER, KEK, another_session, open_identity

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


@dataclass
class Place:
    """Gateways that limit, and what makes callers of them."""

    gateways: list
    identity: IdentityService
    db: Database

    @property
    def gateway(self):
        """The first of them."""
        return self.gateways[0]

    async def pair(self):
        """The tokens of a new session, of the owner of a tenant of its own."""
        tenant = await register(self.db, "somewhere")
        return await another_session(self.identity, tenant.tenant_id, tenant.user_id)


@asynccontextmanager
async def limiting_gateways(count, valkey, postgres_server, folder, limits):
    """Whole gateway processes over one Valkey and a database of their own, under the settings ``limits``."""
    urls = servers.fresh_database(postgres_server.urls)
    # Grants are the work of jobs; who calls comes in as the runtime role.
    db, jobs, redis = Database(urls.runtime, 4), Database(urls.jobs, 2), connect(valkey.url)
    identity = await open_identity(db, redis)
    try:
        async with running_gateways(
            count, database=urls.runtime, redis=valkey.url, kek=KEK, issuer=ISSUER, data_dir=folder, **limits
        ) as gateways:
            yield Place(gateways, identity, jobs)
    finally:
        await identity.close()
        await redis.aclose()
        await jobs.close()
        await db.close()


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
