"""A tenant that pays as ``cus_1``, a catalogue that knows prices, a provider in memory, and the inbox's worker."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from cohortlens.billing.payments.following import Following, Rules
from cohortlens.billing.payments.inbox_rows import InboxRows
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Keyring, Sealer
from tests.fakes.scripted_provider import ENT, PRO, ScriptedProvider
from tests.fixtures.tenants import register

KEYS = Keyring.parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "")


@pytest.fixture
async def prices(database):
    """The catalogue's prices are known to the provider."""
    async with database.transaction() as tx:
        for plan, price in (("professional", PRO), ("enterprise", ENT)):
            await tx.execute(
                text(
                    "UPDATE plan_prices SET stripe_price_id = :price WHERE plan_id = :plan"
                    " AND interval = 'month' AND currency = 'EUR' AND NOT livemode"
                ),
                {"plan": plan, "price": price},
            )
    yield
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


@pytest.fixture
async def shop(database, superuser, prices):
    """A tenant without a plan of its own that pays as ``cus_1``."""
    tenant = await register(database, "shop", "basic")
    await superuser.execute(
        "INSERT INTO billing_profiles (tenant_id, stripe_customer_id, livemode) VALUES ($1, 'cus_1', false)",
        tenant.tenant_id,
    )
    return tenant


@pytest.fixture
def provider():
    return ScriptedProvider()


@pytest.fixture
def sealer():
    return Sealer(KEYS, MAIL_PURPOSE)


@pytest.fixture
def following(database, provider, sealer):
    return Following(database, provider, sealer, "worker-1")


@pytest.fixture
def deliver(runtime):
    """Stores events as the endpoint does, in the role of the gateway."""

    async def stored(*events):
        async with runtime.transaction() as tx:
            return [await InboxRows(tx).store(one) for one in events]

    return stored


@pytest.fixture
def work(following):
    """Follows everything that is due."""

    async def until_empty(worker: Following = following) -> int:
        count = 0
        while (claim := await worker.claim()) is not None:
            await worker.work(claim)
            count += 1
        return count

    return until_empty


@pytest.fixture
def seen(superuser, shop):
    """What is stored about the tenant, without numbers of fetches and times of writing."""

    async def now():
        subscription = await superuser.fetchrow(
            "SELECT to_jsonb(s) - '{fetch_no,updated_at,tenant_id,raw}'::text[] FROM subscriptions s"
            " WHERE tenant_id = $1",
            shop.tenant_id,
        )
        invoices = await superuser.fetch(
            "SELECT to_jsonb(i) - '{fetch_no,updated_at,tenant_id}'::text[] AS invoice FROM invoices i"
            " WHERE tenant_id = $1 ORDER BY stripe_invoice_id",
            shop.tenant_id,
        )
        entitlement = await superuser.fetchrow(
            "SELECT plan_id, access, anchor, base_plan, base_access FROM entitlements WHERE tenant_id = $1",
            shop.tenant_id,
        )
        return {
            "subscription": json.loads(subscription[0]) if subscription else None,
            "invoices": [json.loads(row["invoice"]) for row in invoices],
            "plan": entitlement["base_plan"],
            "access": entitlement["base_access"],
            "anchor": entitlement["anchor"],
        }

    return now


@pytest.fixture
def events(superuser):
    """State, attempts and error of each event."""

    async def now():
        rows = await superuser.fetch(
            "SELECT event_id, state, attempts, last_error, customer_id FROM stripe_events"
        )
        return {row["event_id"]: row for row in rows}

    return now


@pytest.fixture
def mails(superuser, shop):
    """Templates of the mails that wait, of the tenant."""

    async def now():
        rows = await superuser.fetch(
            "SELECT template FROM mails WHERE tenant_id = $1 ORDER BY created_at", shop.tenant_id
        )
        return [row["template"] for row in rows]

    return now


def rules(**changes) -> Rules:
    return Rules(**{"grace": timedelta(days=7), **changes})
