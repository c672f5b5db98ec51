"""The identity service over real servers, and an owner who can log in."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cohortlens.core.db import Database
from cohortlens.core.redis import redis_client as connect
from cohortlens.identity.attempts import LoginLimits
from cohortlens.identity.models import TokenPair
from cohortlens.identity.service import IdentityService
from tests.fixtures.tenants import register

KEK = bytes(range(32))
ISSUER = "https://cohortlens.test"
PASSWORD = "a lantern under the bridge"


@dataclass(frozen=True)
class Owner:
    """A registered owner."""

    email: str
    password: str


async def open_identity(db: Database, redis, **options) -> IdentityService:
    options = {"kek": KEK, "issuer": ISSUER, "access_token_ttl_s": 600, **options}
    return await IdentityService.open(db, redis, **options)


@pytest.fixture
async def identity(database, redis_client):
    service = await open_identity(database, redis_client)
    yield service
    await service.close()


@pytest.fixture
async def another_process(postgres_urls, redis_url, identity):
    """A second service with its own pool and caches, as another process has."""
    db, redis = Database(postgres_urls.runtime, 4), connect(redis_url)
    service = await open_identity(db, redis)
    yield service
    await service.close()
    await redis.aclose()
    await db.close()


@pytest.fixture
async def owner(identity) -> Owner:
    await identity.register_tenant(
        display_name="Corner Shop",
        email="Owner@Shop.example",
        password=PASSWORD,
        accept_terms_version="2026-11",
    )
    return Owner("owner@shop.example", PASSWORD)


@pytest.fixture
async def session(identity, database) -> TokenPair:
    """An owner's session, opened as after a log-in."""
    tenant = await register(database, "corner")
    return await another_session(identity, tenant.tenant_id, tenant.user_id)


async def another_session(identity, tenant_id, user_id, **device) -> TokenPair:
    """One more session of a user."""
    device = {"device_name": "laptop", "address": "192.0.2.7", "user_agent": "tests", "amr": ("pwd",), **device}
    return await identity.sessions.open(tenant_id, user_id, **device)


@pytest.fixture
def lenient() -> LoginLimits:
    return LoginLimits(at_once=10_000, per_address=10_000)
