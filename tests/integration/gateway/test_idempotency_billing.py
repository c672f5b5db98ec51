"""Keyed calls about payment, over the stand-in for Stripe: one effect there and here, whatever answer is lost."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from uuid import uuid4

import httpx
import pytest
from stripe import HTTPClient

from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.billing.payments.following import Following
from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from cohortlens.core.config import Secret, Url, read
from cohortlens.core.idempotency_keys import IdempotencyKeys
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Keyring, Sealer
from cohortlens.identity.service import IdentityService
from gateway.config import GatewayConfig
from load.bench.raised import RAISED
from tests.fixtures.crew import join
from tests.fixtures.fake_stripe import KEY, run_stand_in
from tests.fixtures.tenants import register
from tests.integration.gateway.conftest import core_config, running_gateway

KEK = bytes(range(32))
ISSUER = "http://127.0.0.1:8080"
CHECKOUT = {"plan": "professional", "interval": "BILLING_INTERVAL_MONTH"}
WHY = {"reason": "the owner paid and sees the old plan"}


@pytest.fixture(scope="module")
def stripe(tmp_path_factory):
    yield from run_stand_in(tmp_path_factory.mktemp("stripe") / "data")


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client, stripe, superuser):
    core = dataclasses.replace(
        core_config(tmp_path, postgres_urls.runtime, redis_url),
        public_url=Url(ISSUER),
        stripe_api_key=Secret(KEY),
        stripe_webhook_secrets=Secret("whsec_test"),
        stripe_api_base=Url(stripe.url),
    )
    provider = StripeProvider(StripeCalls(stripe.key, stripe.url))
    await CatalogueSync(database, provider).run()
    await provider.close()
    stripe.knob("clear")
    config = read(GatewayConfig, RAISED | {"COHORTLENS_GRPC_PORT": "0", "COHORTLENS_HTTP_PORT": "0"})
    async with running_gateway(core, config) as one:
        yield one
    await superuser.execute("UPDATE plan_prices SET stripe_price_id = NULL")


@pytest.fixture
async def client(gateway, database, redis_client):
    """A client of a signed-in person."""
    opened = []

    async def of(tenant_id, user_id, *amr):
        identity = await IdentityService.open(
            database, redis_client, kek=KEK, issuer=ISSUER, access_token_ttl_s=600
        )
        pair = await identity.sessions.open(
            tenant_id, user_id, device_name="", address="", user_agent="", amr=("pwd", *amr)
        )
        await identity.close()
        opened.append(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{gateway.http_port}",
                headers={"authorization": f"Bearer {pair.access_token}"},
                timeout=30,
            )
        )
        return opened[-1]

    yield of
    for one in opened:
        await one.aclose()


class Payer:
    """A tenant that pays at the stand-in, and what was done for it there and here."""

    def __init__(self, tenant, http, stripe, superuser, database):
        self.tenant, self.http, self.stripe = tenant, http, stripe
        self._superuser, self._database = superuser, database

    async def subscribed(self):
        page = (await self.http.post("/api/v1/subscription:checkout", json=CHECKOUT)).json()["url"]
        await asyncio.to_thread(self.stripe.pay, page)
        await self.follow()

    async def follow(self):
        """Let the inbox's worker do what was asked for, so that the next call sees what is so."""
        provider = StripeProvider(StripeCalls(self.stripe.key, self.stripe.url))
        worker = Following(self._database, provider, Sealer(Keyring(KEK), MAIL_PURPOSE), "worker-1")
        while (claim := await worker.claim()) is not None:
            await worker.work(claim)
        await provider.close()

    async def customer(self):
        return await self._superuser.fetchval(
            "SELECT stripe_customer_id FROM billing_profiles WHERE tenant_id = $1", self.tenant.tenant_id
        )

    async def done(self):
        """What was written: at the provider by its events and pages, here by the lines of the audit log."""
        customer = await self.customer()
        events = self.stripe.events(customer) if customer else []
        sessions = self.stripe.v1.checkout.sessions.list(params={"limit": 100}).data
        events += ["session" for one in sessions if customer and one.customer == customer]
        # Who asks is written for each attempt, before the provider is asked.
        rows = await self._superuser.fetch(
            "SELECT action FROM audit_log WHERE tenant_id = $1 AND outcome = 'OK'"
            " AND action LIKE 'billing.%' AND action NOT LIKE '%_asked'",
            self.tenant.tenant_id,
        )
        return Counter([*events, *(one["action"] for one in rows)])


@pytest.fixture
async def payer(client, database, stripe, superuser):
    """Makes tenants that pay."""

    async def new():
        tenant = await register(database, "payer", "basic")
        return Payer(tenant, await client(tenant.tenant_id, tenant.user_id), stripe, superuser, database)

    return new


async def lost(superuser, key, state):
    """Bring a key to where a crash leaves it: behind a COMMIT, or behind the provider alone."""
    await superuser.execute(
        "UPDATE idempotency_keys SET state = $2, answer_enc = NULL, locked_until = now() - interval '1 second'"
        " WHERE key = $1",
        key,
        state,
    )


async def nothing(payer):
    return


async def subscribed(payer):
    await payer.subscribed()


async def ending(payer):
    await payer.subscribed()
    assert (await payer.http.post("/api/v1/subscription:cancel", json={})).status_code == 200
    await payer.follow()


CALLS = [
    (nothing, "checkout", CHECKOUT, "POST /v1/checkout/sessions"),
    (subscribed, "portal", {}, "POST /v1/billing_portal/sessions"),
    (subscribed, "changePlan", {"plan": "enterprise"}, "POST /v1/subscriptions/*"),
    (
        subscribed,
        "changePlan",
        {"plan": "basic", "effective": "PLAN_CHANGE_EFFECTIVE_PERIOD_END"},
        "POST /v1/subscription_schedules",
    ),
    (subscribed, "cancel", {}, "POST /v1/subscriptions/*"),
    (subscribed, "cancel", {"atPeriodEnd": False}, "DELETE /v1/subscriptions/*"),
    (ending, "resume", {}, "POST /v1/subscriptions/*"),
]
"""What comes before, the call, and the request whose answer is lost."""


async def test_whichever_answer_is_lost_a_call_has_one_effect_at_the_provider_and_here(
    payer, superuser, stripe, monkeypatch
):
    monkeypatch.setattr(HTTPClient, "INITIAL_DELAY", 0.01)  # between the tries of the SDK
    for prepare, verb, body, request in CALLS:
        case, path = f"{verb} {body}", f"/api/v1/subscription:{verb}"
        once = await _lost_behind_the_commit(await payer(), prepare, path, body, superuser, case)
        there = await payer()
        await prepare(there)
        before, key = await there.done(), {"idempotency-key": str(uuid4())}
        method, route = request.split()
        with monkeypatch.context() as dying:
            dying.setattr(IdempotencyKeys, "give_back", _not_given_back)
            stripe.knob("requests", match=route, method=method, cut=True, after=True, times=3)
            first = await there.http.post(path, json=body, headers=key)
            stripe.knob("clear")
        await lost(superuser, key["idempotency-key"], "IN_PROGRESS")
        again, third = [await there.http.post(path, json=body, headers=key) for _ in range(2)]
        assert (first.status_code, again.status_code) == (503, 200), (case, first.text, again.text)
        assert await there.done() - before == once, case
        assert (third.text, third.headers["idempotent-replayed"]) == (again.text, "true"), case


async def _lost_behind_the_commit(here, prepare, path, body, superuser, case):
    """One call whose answer is lost and repeated; what it did."""
    await prepare(here)
    before, key = await here.done(), {"idempotency-key": str(uuid4())}
    first = await here.http.post(path, json=body, headers=key)
    once = await here.done() - before
    await lost(superuser, key["idempotency-key"], "COMMITTED")
    again, third = [await here.http.post(path, json=body, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200), (case, first.text, again.text)
    assert once
    assert await here.done() - before == once, case
    assert again.json() == first.json(), case
    assert (third.text, third.headers["idempotent-replayed"]) == (again.text, "true"), case
    return once


async def _not_given_back(self, claim, *, is_wrong=False):
    """The process is gone before it could."""
    return False


async def test_what_the_staff_ask_for_is_done_once(client, payer, database, superuser):
    payer = await payer()
    await payer.subscribed()
    staff = await join(database, PLATFORM_TENANT_ID, "platform")
    http = await client(PLATFORM_TENANT_ID, staff.user_id, "otp")
    tenant = payer.tenant.tenant_id
    asked = await http.post(f"/api/v1/platform/tenants/{tenant}/subscription:reconcile", json=WHY)
    event = asked.json()["event"]["event"]
    await payer.follow()
    for method, path, body in (
        ("POST", f"/api/v1/platform/billing/events/{event}:replay", WHY),
        ("POST", f"/api/v1/platform/tenants/{tenant}/subscription:reconcile", WHY),
        (
            "PATCH",
            f"/api/v1/platform/tenants/{tenant}/entitlement",
            WHY | {"granted": {"plan": "enterprise"}},
        ),
    ):
        key = {"idempotency-key": str(uuid4())}
        first = await http.request(method, path, json=body, headers=key)
        assert first.status_code == 200, first.text
        once = await _staff_effects(superuser)
        await lost(superuser, key["idempotency-key"], "COMMITTED")
        again = await http.request(method, path, json=body, headers=key)
        assert (again.status_code, again.json()) == (200, first.json()), path
        assert await _staff_effects(superuser) == once
        await payer.follow()


async def _staff_effects(superuser):
    return (
        await superuser.fetch("SELECT tenant_id, version, override FROM entitlements ORDER BY 1"),
        await superuser.fetch("SELECT event_id, state, attempts FROM stripe_events ORDER BY 1"),
        await superuser.fetch("SELECT action FROM audit_log ORDER BY tenant_id, seq"),
    )
