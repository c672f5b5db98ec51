"""``kill -9`` in the middle of a checkout or a change of plan: one customer, one page, and nothing unsaid."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.billing.models import Interval
from cohortlens.billing.payments.following import Following
from cohortlens.billing.payments.reconciling import Reconciling
from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from cohortlens.billing.subscriptions.living import ASKED
from cohortlens.billing.subscriptions.offers import Terms
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.billing.subscriptions.service import Subscriptions
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Keyring, Sealer
from tests.fixtures.fake_stripe import run_stand_in
from tests.fixtures.tenants import register

ROOT = Path(__file__).resolve().parents[4]
SEALER = Sealer(Keyring.parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", ""), MAIL_PURPOSE)
# After the customer was made, after it was stored, after the page was made, and before its address was committed.
POINTS = [
    "billing.customer_made",
    "billing.customer_stored",
    "billing.session_made",
    "billing.session_storing",
]


@pytest.fixture
def stripe(tmp_path):
    yield from run_stand_in(tmp_path / "data")


@pytest.fixture
async def provider(stripe, database):
    made = StripeProvider(StripeCalls(stripe.key, stripe.url))
    await CatalogueSync(database, made).run()
    yield made
    await made.close()
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


@pytest.fixture
def subscriptions(runtime, provider):
    return Subscriptions.over(runtime, provider, Terms("eur"), ReturnUrls("https://app.shop.example"))


@pytest.fixture
def killed(postgres_urls, stripe):
    """Lets a process buy or change a plan until it dies at a point."""

    async def at(point: str, tenant, act: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.fakes.buying_process",
            postgres_urls.runtime,
            stripe.url,
            stripe.key,
            str(tenant.tenant_id),
            str(tenant.user_id),
            point,
            act,
            cwd=ROOT,
        )
        try:
            assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL, point
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return at


async def test_the_click_after_a_kill_leads_to_one_page_of_one_customer(
    database, stripe, subscriptions, killed, superuser
):
    buyers = {point: await register(database, "buyer", "basic") for point in POINTS}
    await asyncio.gather(*(killed(point, tenant, "buy") for point, tenant in buyers.items()))
    assert await superuser.fetchval("SELECT count(*) FROM checkout_intents WHERE url IS NOT NULL") == 0

    pages = await asyncio.gather(
        *(
            subscriptions.checkout.create(tenant.context(), plan="professional", interval=Interval.MONTH)
            for tenant in buyers.values()
        )
    )

    once = {str(tenant.tenant_id): 1 for tenant in buyers.values()}
    assert Counter(one.metadata.tenant_id for one in stripe.v1.customers.list().data) == once
    sessions = stripe.v1.checkout.sessions.list().data
    assert Counter(one.client_reference_id for one in sessions) == once
    assert {one.url for one in sessions if one.status == "open"} == {page.url for page in pages}
    stored = await superuser.fetch("SELECT stripe_customer_id FROM billing_profiles")
    assert {row[0] for row in stored} == {one.customer for one in sessions}


async def test_a_change_whose_process_died_before_its_audit_row_is_in_the_audit_log(
    database, stripe, provider, subscriptions, killed, superuser
):
    tenant = await register(database, "changer", "basic")
    page = await subscriptions.checkout.create(tenant.context(), plan="professional", interval=Interval.MONTH)
    stripe.pay(page.url)
    await killed("billing.change_made", tenant, "change")

    following = Following(database, provider, SEALER, "worker")
    await Reconciling(database, provider, SEALER, following._rules.grace).list_missed()
    while (claim := await following.claim()) is not None:
        await following.work(claim)

    rows = await superuser.fetch(
        "SELECT actor, action, convert_from(canonical, 'UTF8') AS told FROM audit_log WHERE tenant_id = $1"
        " AND action LIKE 'billing.subscription%' ORDER BY seq",
        tenant.tenant_id,
    )
    asked, changed = [one for one in rows if one["action"] in {ASKED, "billing.subscription.changed"}]
    # Who asked for it, and then what came of it.
    assert str(tenant.user_id) in asked["actor"]
    assert "billing.subscription.plan_changed" in asked["told"]
    assert '"to":"enterprise"' in asked["told"].replace(" ", "")
    assert '"plan":"enterprise"' in changed["told"].replace(" ", "")
    assert "billing.subscription.plan_changed" not in {one["action"] for one in rows}
