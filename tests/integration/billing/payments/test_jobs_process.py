"""``kill -9`` of the process of jobs between the commit to the inbox and the applied event: the next one applies it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from cohortlens.core.outbox import Outbox
from cohortlens.identity.models import TENANT_DELETION
from tests.fakes.scripted_provider import event
from tests.fixtures.fake_stripe import fake_stripe  # noqa: F401 - a fixture
from tests.fixtures.tenants import register
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).resolve().parents[4]
KEK = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
async def payer(database, superuser, fake_stripe):  # noqa: F811
    """A tenant that subscribed to professional, of which nobody has told yet."""
    provider = StripeProvider(StripeCalls(fake_stripe.key, fake_stripe.url))
    await CatalogueSync(database, provider).run()
    price = await superuser.fetchval(
        "SELECT stripe_price_id FROM plan_prices WHERE plan_id = 'professional' AND interval = 'month'"
        " AND currency = 'EUR' AND NOT livemode"
    )
    tenant = await register(database, "payer", "basic")
    customer = fake_stripe.customer()
    bought = fake_stripe.v1.subscriptions.create(
        params={"customer": customer.id, "items": [{"price": price}]}
    )
    await superuser.execute(
        "INSERT INTO billing_profiles (tenant_id, stripe_customer_id, livemode) VALUES ($1, $2, false)",
        tenant.tenant_id,
        customer.id,
    )
    yield tenant, bought
    await provider.close()
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


@pytest.fixture
async def jobs(postgres_urls, redis_url, fake_stripe, tmp_path):  # noqa: F811
    """Starts ``python -m cohortlens.jobs``, to die at a point if one is named."""
    running = []

    async def start(point: str = "") -> asyncio.subprocess.Process:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COHORTLENS_")}
        environ |= {
            "COHORTLENS_ENV": "test",
            "COHORTLENS_FAILPOINT": point,
            "COHORTLENS_DATABASE_URL": postgres_urls.jobs,
            "COHORTLENS_REDIS_URL": redis_url,
            "COHORTLENS_KEK": KEK,
            "COHORTLENS_DATA_DIR": str(tmp_path / "jobs"),
            "COHORTLENS_OPS_PORT": "0",
            "COHORTLENS_STRIPE_API_KEY": fake_stripe.key,
            "COHORTLENS_STRIPE_API_BASE": fake_stripe.url,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cohortlens.jobs", cwd=ROOT, env=environ, stdout=asyncio.subprocess.DEVNULL
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_jobs_end_what_a_deleted_tenant_pays_for_and_delete_its_customer_before_its_rows(
    database,
    superuser,
    payer,
    jobs,
    fake_stripe,  # noqa: F811
):
    tenant, bought = payer
    await superuser.execute(
        "UPDATE tenants SET status = 'DELETING', erase_at = now() + interval '30 days' WHERE id = $1",
        tenant.tenant_id,
    )
    async with database.tenant_transaction(tenant.tenant_id) as tx:
        await Outbox(tx).record(TENANT_DELETION, f"tenant:{tenant.tenant_id}", {})
    process = await jobs()

    def is_canceled() -> bool:
        return fake_stripe.v1.subscriptions.retrieve(bought.id).status == "canceled"

    await eventually(is_canceled, 60.0, "the end of the subscription")
    process.kill()
    await process.wait()
    await superuser.execute("UPDATE tenants SET erase_at = now() WHERE id = $1", tenant.tenant_id)
    await jobs()

    async def is_erased() -> bool:
        status = "SELECT status FROM tenants WHERE id = $1"
        return await superuser.fetchval(status, tenant.tenant_id) == "ERASED"

    await eventually(is_erased, 60.0, "the erasure")
    assert fake_stripe.v1.customers.retrieve(bought.customer).deleted
    assert await superuser.fetchval("SELECT count(*) FROM billing_profiles") == 0


async def test_what_a_killed_process_had_claimed_is_applied_by_the_next_one(
    superuser, payer, deliver, events, jobs
):
    tenant, bought = payer
    await deliver(event("evt_told", "customer.subscription.created", bought.id, bought.customer))
    # The last moment before the commit; the others are in test_crashes.
    doomed = await jobs("billing.applying")
    assert await asyncio.wait_for(doomed.wait(), 60) == -signal.SIGKILL
    assert (await events())["evt_told"]["state"] == "PENDING"
    assert await superuser.fetchval("SELECT count(*) FROM subscriptions") == 0
    # A minute later: the lease of the dead is over.
    await superuser.execute("UPDATE stripe_syncs SET until = now()")
    await superuser.execute("UPDATE stripe_events SET next_try_at = now() WHERE state = 'PENDING'")

    await jobs()

    async def is_applied() -> bool:
        plan = "SELECT base_plan FROM entitlements WHERE tenant_id = $1"
        return await superuser.fetchval(plan, tenant.tenant_id) == "professional"

    await eventually(is_applied, 60.0, "the plan that was paid")
    assert (await events())["evt_told"]["state"] == "DONE"
