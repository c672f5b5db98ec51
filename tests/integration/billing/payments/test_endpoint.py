"""The endpoint of a real gateway over a real PostgreSQL: what is hostile, and what comes while there is no database."""

from __future__ import annotations

import asyncio
import json
import signal

import asyncpg
import pytest

from cohortlens.billing.payments.models import SubscriptionStatus
from gateway.http.webhooks import PATH
from tests.fakes.scripted_provider import State, invoice, subscription
from tests.fixtures.gateways import running_gateways
from tests.fixtures.hostile_webhooks import GOOD, OLD_SECRET, SECRET, hostile, signed
from tests.fixtures.waiting import eventually

KEK, ISSUER = b"k" * 32, "https://auth.shop.example"


@pytest.fixture
async def post(database, postgres_urls, redis_url, tmp_path):
    """Sends a notification to a gateway; answers status and reason."""
    settings = {
        "COHORTLENS_STRIPE_API_KEY": "sk_test_of_this_installation",
        "COHORTLENS_STRIPE_WEBHOOK_SECRETS": f"{SECRET},{OLD_SECRET}",
        "COHORTLENS_STRIPE_ACCOUNT": "acct_1",
        # Nothing of this reaches the provider.
        "COHORTLENS_STRIPE_API_BASE": "http://127.0.0.1:1",
    }
    async with running_gateways(
        1,
        database=postgres_urls.runtime,
        redis=redis_url,
        kek=KEK,
        issuer=ISSUER,
        data_dir=tmp_path,
        **settings,
    ) as [gateway]:

        async def send(body: bytes, signature: str | None) -> tuple[int, str]:
            headers = {} if signature is None else {"stripe-signature": signature}
            answer = await gateway.http.post(PATH, content=body, headers=headers)
            refused = json.loads(answer.content).get("details")
            return answer.status_code, refused[0]["reason"] if refused else ""

        yield send


async def test_hostile_notifications_leave_no_row_and_one_without_a_database_comes_again(
    post, postgres_server, postgres_urls, superuser, shop, provider, work
):
    sent = hostile()
    answers = {name: await post(*one) for name, one in sent.items()}
    assert {status for status, _ in answers.values()} == {400}, answers
    assert len(answers) > 20
    assert await superuser.fetchval("SELECT count(*) FROM stripe_events") == 0

    provider.state = State((subscription(SubscriptionStatus.ACTIVE),), (invoice("in_1"),))
    await asyncio.to_thread(postgres_server.server.stop, (signal.SIGINT, 5.0), (signal.SIGQUIT, 1.0))
    try:
        assert await post(GOOD, signed(GOOD)) == (503, "INBOX_UNAVAILABLE")
    finally:
        await asyncio.to_thread(postgres_server.start)

    async def is_taken() -> bool:
        return (await post(GOOD, signed(GOOD)))[0] == 200

    await eventually(is_taken, 30.0, "the notification that was sent again")
    assert await post(GOOD, signed(GOOD, OLD_SECRET)) == (200, "")
    await work()
    again = await asyncpg.connect(postgres_urls.superuser)
    try:
        stored = await again.fetch("SELECT event_id, state FROM stripe_events")
        assert [tuple(row) for row in stored] == [("evt_1", "DONE")]
        plan = "SELECT base_plan FROM entitlements WHERE tenant_id = $1"
        assert await again.fetchval(plan, shop.tenant_id) == "professional"
    finally:
        await again.close()
