"""A whole gateway in the test's own process, over real servers, and a way into it."""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest

from cohortlens.core.config import Duration, Secret, Url
from cohortlens.core.settings import CoreConfig
from cohortlens.identity.accounts.passwords import PasswordHasher
from gateway import composition
from gateway.config import GatewayConfig
from gateway.grpc.server import Gateway
from tests.fixtures.mailbox import Mailbox
from tests.fixtures.tenants import register

LISTED_ORIGIN = "https://spa.example"
PASSWORD, WRONG = "three blind mice ran 42", "four blind mice ran 42"


def core_config(folder: Path, database_url: str, redis_url: str) -> CoreConfig:
    return CoreConfig(
        data_dir=folder,
        database_url=Url(database_url),
        redis_url=Url(redis_url),
        kek=Secret(base64.b64encode(bytes(range(32))).decode()),
    )


@asynccontextmanager
async def running_gateway(core: CoreConfig, config: GatewayConfig):
    """A whole gateway with its doors open."""
    running = Gateway(config)
    await running.start()
    parts = await composition.compose(core, config)
    await running.open_doors(parts.chain, parts.http_app, parts.board)
    try:
        yield running
    finally:
        await running.stop()
        await parts.close()


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client):
    config = GatewayConfig(grpc_port=0, http_port=0, cors_origins=LISTED_ORIGIN)
    async with running_gateway(core_config(tmp_path, postgres_urls.runtime, redis_url), config) as one:
        yield one


@pytest.fixture
async def channel(gateway):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as one:
        yield one


@pytest.fixture(scope="session")
def password_hash():
    """Of ``PASSWORD``; made once, since hashing is slow on purpose."""
    hasher = PasswordHasher()
    yield hasher._argon2.hash(PASSWORD)
    hasher.close()


@pytest.fixture
async def person(gateway, database, superuser, password_hash):
    """The owner of a tenant, who signs in with ``PASSWORD``."""
    found = await register(database, "north")
    await superuser.execute("UPDATE users SET password_hash = $1", password_hash)
    return found


@pytest.fixture
async def sidecar(database, postgres_urls, tmp_path):
    """A web3 sidecar with both embedded chains; a test that stops it must start it again."""
    from tests.fixtures.sidecars import Sidecar

    one = Sidecar(tmp_path / "web3", postgres_urls.web3)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def web3_gateway(sidecar, tmp_path, postgres_urls, redis_url, redis_client):
    """A gateway that calls the sidecar."""
    from tests.fixtures.sidecars import TOKEN

    core = core_config(tmp_path, postgres_urls.runtime, redis_url)
    core = replace(core, web3_address=sidecar.address, web3_token=Secret(TOKEN))
    # The sidecar turns in the same loop here and makes it late.
    config = GatewayConfig(grpc_port=0, http_port=0, loop_lag_max=Duration(60.0))
    async with running_gateway(core, config) as one:
        yield one


@pytest.fixture
async def open_shop(web3_gateway, sidecar, database, superuser, password_hash):
    """Opens tenants of a plan, each with its owner logged in."""
    from tests.fixtures.web3_doors import Shop, world_of

    async with AsyncExitStack() as opened:

        async def one(name, plan="enterprise"):
            person = await register(database, name, plan)
            await superuser.execute("UPDATE users SET password_hash = $1", password_hash)
            client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{web3_gateway.http_port}", timeout=20)
            await opened.enter_async_context(client)
            login = {"email": person.email, "password": PASSWORD}
            tokens = (await client.post("/api/v1/sessions", json=login)).json()["tokens"]
            client.headers["authorization"] = f"Bearer {tokens['accessToken']}"
            world, channel = world_of(database, person.tenant_id, sidecar)
            opened.push_async_callback(channel.close)
            return Shop(client, tokens["accessToken"], person.tenant_id, sidecar, world, database)

        yield one


@pytest.fixture
async def shop(open_shop):
    """A tenant with every feature."""
    return await open_shop("north")


@pytest.fixture
def mailbox(superuser):
    return Mailbox(superuser, bytes(range(32)))
