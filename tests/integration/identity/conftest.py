"""The identity service over real servers, and an owner who can log in."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from sqlalchemy import event

from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import uuid7
from cohortlens.core.redis import redis_client as connect
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.accounts.attempts import LoginLimits
from cohortlens.identity.accounts.service import People
from cohortlens.identity.models import TokenPair, normal_email
from cohortlens.identity.oauth.service import OAuth
from cohortlens.identity.programs.service import Programs
from cohortlens.identity.service import IdentityService
from cohortlens.identity.sessions.opening import Device, Opened
from tests.fixtures.mailbox import Mailbox
from tests.fixtures.tenants import register

KEK = bytes(range(32))
ISSUER = "https://cohortlens.test"
PASSWORD = "a lantern under the bridge"


@dataclass(frozen=True)
class Owner:
    """A registered owner."""

    email: str
    password: str
    opened: Opened


async def open_identity(db: Database, redis, **options) -> IdentityService:
    options = {"kek": KEK, "issuer": ISSUER, "access_token_ttl_s": 600, **options}
    return await IdentityService.open(db, redis, **options)


@pytest.fixture
async def identity(runtime, redis_client):
    service = await open_identity(runtime, redis_client)
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
async def oauth(runtime, identity):
    """The authorisation server."""
    programs = Programs(runtime, identity.revocations, is_live=False)
    yield OAuth(runtime, identity, programs.account_verifier, ISSUER)
    await programs.close()


@pytest.fixture
def people(identity, runtime) -> People:
    """What people who log in need."""
    return People(runtime, KEK, TenantKeys(KEK), identity)


@pytest.fixture
def mailbox(superuser) -> Mailbox:
    return Mailbox(superuser, KEK)


@pytest.fixture
async def owner(people, mailbox) -> Owner:
    """An owner who registered and confirmed the address."""
    return await registered(people, mailbox, "Owner@Shop.example", "Corner Shop")


async def registered(people: People, mailbox: Mailbox, email: str, name: str = "Shop") -> Owner:
    """Register and use the mailed link, from an address of its own."""
    ctx = anonymous("198.51.100.1")
    await people.registration.register(
        ctx, display_name=name, email=email, password=PASSWORD, accept_terms_version="2026-11"
    )
    mail = await mailbox.newest(normal_email(email))
    assert mail.template == "verify_email"
    opened = await people.registration.verify(ctx, mail.values["token"], Device())
    return Owner(normal_email(email), PASSWORD, opened)


def anonymous(address: str = "192.0.2.7") -> RequestContext:
    """A request of somebody who has not logged in."""
    return RequestContext(str(uuid7()), None, time.monotonic() + 30, address)


@pytest.fixture
async def session(identity, database) -> TokenPair:
    """An owner's session, opened as after a log-in."""
    tenant = await register(database, "corner")
    return await another_session(identity, tenant.tenant_id, tenant.user_id)


async def another_session(identity, tenant_id, user_id, **device) -> TokenPair:
    """One more session of a user."""
    device = {
        "device_name": "laptop",
        "address": "192.0.2.7",
        "user_agent": "tests",
        "amr": ("pwd",),
        **device,
    }
    return await identity.sessions.open(tenant_id, user_id, **device)


@pytest.fixture
def lenient() -> LoginLimits:
    return LoginLimits(at_once=10_000, per_address=10_000)


@pytest.fixture
def statements(runtime, database, monkeypatch):
    """Every statement that goes to PostgreSQL, transactions included, without its values."""
    seen: list[str] = []

    @event.listens_for(runtime._engine.sync_engine, "before_cursor_execute")
    @event.listens_for(database._engine.sync_engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    begun = Database._opened

    async def opened(self, begin):
        seen.append(begin.split("'")[0])
        return await begun(self, begin)

    monkeypatch.setattr(Database, "_opened", opened)
    return seen
