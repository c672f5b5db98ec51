"""``cohortlens billing events | replay | reconcile`` as an operator types them."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from cohortlens.billing.payments.inbox_rows import InboxRows
from cohortlens.cli.main import main
from cohortlens.core.ids import PLATFORM_TENANT_ID, uuid7
from tests.fakes.scripted_provider import event
from tests.fixtures.crew import actions


@pytest.fixture
def run(postgres_urls, monkeypatch, tmp_path):
    """Run a command in a thread, as it makes an event loop of its own; answers exit code and output."""
    monkeypatch.setenv("COHORTLENS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COHORTLENS_JOBS_DATABASE_URL", postgres_urls.jobs)

    async def invoke(*arguments):
        done = await asyncio.to_thread(CliRunner().invoke, main, ["billing", *arguments])
        return done.exit_code, done.stdout

    return invoke


@pytest.fixture
async def dead(database, superuser, tenants):
    """A dead event of the first tenant's customer, beside one that waits."""
    await superuser.execute(
        "INSERT INTO billing_profiles (tenant_id, stripe_customer_id, livemode) VALUES ($1, 'cus_1', false)",
        tenants[0].tenant_id,
    )
    async with database.transaction() as tx:
        inbox = InboxRows(tx)
        await inbox.store(event("evt_waits", "invoice.paid", "in_2", "cus_2"))
        await inbox.store(event("evt_dead", "invoice.paid", "in_1"))
    await superuser.execute(
        "UPDATE stripe_events SET state = 'DEAD', ended_at = now(), attempts = 12, last_error = 'no reach'"
        " WHERE event_id = 'evt_dead'"
    )
    return "evt_dead"


async def test_dead_events_are_listed_and_one_is_followed_again(run, dead, superuser, tenants):
    code, text = await run("events", "--state", "dead")
    assert (code, dead in text, "no reach" in text, "evt_waits" in text) == (0, True, True, False)
    code, text = await run("events", "--json")
    listed = {one["event_id"]: one for one in json.loads(text)["data"]["events"]}
    assert listed.keys() == {dead, "evt_waits"}
    assert listed[dead]["tenant_id"] == str(tenants[0].tenant_id)
    assert (listed[dead]["next_try_at"], listed["evt_waits"]["tenant_id"]) == (None, None)

    code, text = await run("replay", dead, "--reason", "the key was of another account", "--json")
    again = json.loads(text)["data"]["event"]
    assert (code, again["state"], again["attempts"]) == (0, "PENDING", 0)
    told = [one[0] for one in await actions(superuser, PLATFORM_TENANT_ID)]
    assert told[-1] == "platform.billing.replayed"


async def test_a_tenant_is_compared_when_it_has_a_customer(run, dead, superuser, tenants):
    code, text = await run("reconcile", str(tenants[0].tenant_id), "--reason", "a call by phone", "--json")
    asked = json.loads(text)["data"]["event"]
    assert (code, asked["type"], asked["customer_id"]) == (0, "cohortlens.reconcile", "cus_1")
    assert await superuser.fetchval(
        "SELECT state FROM stripe_events WHERE event_id = $1", asked["event_id"]
    ) == ("PENDING")
    assert (await actions(superuser, tenants[0].tenant_id))[-1][0] == "platform.billing.reconciled"


@pytest.mark.parametrize(
    ("arguments", "reason", "expected"),
    [
        (("replay", "evt_nobody", "--reason", "x"), "EVENT_NOT_FOUND", 3),
        (("reconcile", str(uuid7()), "--reason", "x"), "TENANT_NOT_FOUND", 3),
        (("reconcile", "of nobody", "--reason", "x"), "", 2),
        (("replay", "evt_dead"), "", 2),
        (("events", "--state", "lost"), "", 2),
    ],
)
async def test_what_is_not_there_is_named(run, dead, arguments, reason, expected):
    code, text = await run(*arguments, "--json")
    assert code == expected
    assert reason in text


async def test_a_tenant_that_never_paid_has_nothing_to_compare(run, dead, tenants):
    code, text = await run("reconcile", str(tenants[1].tenant_id), "--reason", "x", "--json")
    assert code != 0
    assert "SUBSCRIPTION_INACTIVE" in text
