"""A whole gateway in the test's own process, over real servers, and a way into it."""

from __future__ import annotations

import base64
from pathlib import Path

import grpc
import pytest

from cohortlens.core.config import Secret, Url
from cohortlens.core.settings import CoreConfig
from gateway import composition
from gateway.config import GatewayConfig
from gateway.grpc.server import Gateway
from tests.fixtures.mailbox import Mailbox

LISTED_ORIGIN = "https://spa.example"


def core_config(folder: Path, database_url: str, redis_url: str) -> CoreConfig:
    return CoreConfig(
        data_dir=folder,
        database_url=Url(database_url),
        redis_url=Url(redis_url),
        kek=Secret(base64.b64encode(bytes(range(32))).decode()),
    )


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client):
    config = GatewayConfig(grpc_port=0, http_port=0, cors_origins=LISTED_ORIGIN)
    running = Gateway(config)
    await running.start()
    core = core_config(tmp_path, postgres_urls.runtime, redis_url)
    parts = await composition.compose(core, config)
    await running.open_doors(parts.chain, parts.http_app, parts.board)
    yield running
    await running.stop()
    await parts.close()


@pytest.fixture
async def channel(gateway):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as one:
        yield one


@pytest.fixture
def mailbox(superuser):
    return Mailbox(superuser, bytes(range(32)))
