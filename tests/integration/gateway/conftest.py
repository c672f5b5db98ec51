"""A whole gateway in the test's own process, over real servers, and a way into it."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from cohortlens.core.config import Secret, Url
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
def mailbox(superuser):
    return Mailbox(superuser, bytes(range(32)))
