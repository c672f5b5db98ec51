"""A gateway that dies between the commit of a grant and its answer: one act, and one of all that follows."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.fixtures.gateways import running_gateways
from tests.fixtures.sidecars import TOKEN
from tests.fixtures.tenants import register
from tests.fixtures.waiting import eventually
from tests.fixtures.web3_doors import NOTICE, Shop, world_of
from tests.integration.gateway.conftest import PASSWORD

DEATH = {"COHORTLENS_ENV": "test", "COHORTLENS_FAILPOINT": "idempotency.answered"}


@pytest.fixture
async def world(database, sidecar):
    """The work of jobs for a tenant."""
    tenant = await register(database, "north")
    made, channel = world_of(database, tenant.tenant_id, sidecar)
    yield made, tenant
    await channel.close()


async def test_a_grant_whose_answer_was_lost_leads_to_each_thing_once(
    world, sidecar, postgres_urls, redis_url, superuser, password_hash, tmp_path
):
    jobs, tenant = world
    await superuser.execute("UPDATE users SET password_hash = $1", password_hash)
    settings = {
        "database": postgres_urls.runtime,
        "redis": redis_url,
        "kek": bytes(range(32)),
        "issuer": "https://cohortlens.local",
        "data_dir": tmp_path,
        "COHORTLENS_WEB3_ADDRESS": sidecar.address,
        "COHORTLENS_WEB3_TOKEN": TOKEN,
    }
    key = {"idempotency-key": str(uuid4())}

    async with running_gateways(1, **settings, **DEATH) as [dying]:
        shop = await opened(dying, tenant, jobs, sidecar)
        asked = await asking(shop)
        with pytest.raises(httpx.TransportError):
            await shop.post("consents", asked, **key)
        assert await dying.process.wait() == -9
    assert await superuser.fetchval("SELECT count(*) FROM consent_events") == 1

    async with running_gateways(1, **settings) as [living]:
        shop = await opened(living, tenant, jobs, sidecar)

        async def is_answered():
            # The key stays taken until the dead call's deadline and five seconds have passed.
            return (await shop.http.post("/api/v1/consents", json=asked, headers=key)).status_code == 200

        await eventually(is_answered, 30.0, "the answer to the repeated grant")
        [given] = (await shop.post("consents", asked, **key))["consents"]
        await shop.until(given["consentEvent"], credential="ISSUED", reward="SKIPPED", pin="PINNED")

    for table in ("consent_events", "verifiable_credentials", "consent_fulfilments", "receipt_pins"):
        assert await superuser.fetchval(f"SELECT count(*) FROM {table}") == 1, table


async def opened(gateway, tenant, jobs, sidecar):
    """The tenant's owner at a gateway."""
    login = {"email": tenant.email, "password": PASSWORD}
    tokens = (await gateway.http.post("/api/v1/sessions", json=login)).json()["tokens"]
    gateway.http.headers["authorization"] = f"Bearer {tokens['accessToken']}"
    return Shop(gateway.http, tokens["accessToken"], tenant.tenant_id, sidecar, jobs, jobs.db)


async def asking(shop):
    """The body of a grant."""
    notice = (await shop.post("notices", NOTICE))["notice"]["notice"]
    return {
        "customer": "external:ann",
        "purposes": [{"purpose": "data_sharing"}],
        "notice": notice,
        "method": "COLLECTION_METHOD_FORM",
    }
