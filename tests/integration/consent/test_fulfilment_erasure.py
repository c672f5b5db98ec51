"""Erasure of what fulfilment holds: credentials revoked, pins let go, wallets gone, what was paid stays paid."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from cohortlens.consent.fulfilment.personal_data import FulfilmentStore
from cohortlens.consent.fulfilment.service import Fulfilment
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.consent.wallets import purge_challenges
from cohortlens.core.personal_data import Subject
from cohortlens.core.sealing import Keyring
from cohortlens.core.tenant_keys import TenantKeys
from tests.fakes.web3 import FakeLedger, FakeWeb3
from tests.fixtures.fulfilments import ADDRESS, World
from tests.fixtures.people import traces


@pytest.fixture
def means(database):
    web3 = FakeWeb3()
    return Means(database, TenantKeys(Keyring(b"k" * 32)), web3, FakeLedger(web3), web3)  # type: ignore[arg-type]


@pytest.fixture
async def world(means, database, tenants):
    made = World(database, tenants[0].tenant_id, means.issuer, Fulfilment(means), means.keys)
    await made.tariff()
    return made


async def fulfilled(world):
    person = await world.person()
    await world.bind(person)
    await world.act(person, "rewards")
    event = await world.act(person, "data_sharing")
    await world.work()
    await world.settle()
    assert await world.states(event) == ("ISSUED", "FINAL", "PINNED")
    return Subject(person, None, "somebody"), event


async def test_an_export_shows_credentials_wallets_and_rewards(world, means):
    subject, event = await fulfilled(world)
    found = await FulfilmentStore(means).export(world.tenant_id, subject)
    assert found["wallets"][0]["address"] == ADDRESS
    assert [row["state"] for row in found["rewards"]] == ["FINAL"] * len(found["rewards"])
    assert str(event) in {row["event_id"] for row in found["consent_fulfilments"]}
    assert all(row["credential_json"] for row in found["verifiable_credentials"])


async def test_an_erasure_revokes_lets_go_and_forgets_and_takes_no_token_back(world, means, superuser):
    subject, event = await fulfilled(world)
    store = FulfilmentStore(means)
    assert await store.count(world.tenant_id, subject) > 0
    for _ in range(2):  # a second time changes nothing
        await store.erase(world.tenant_id, subject)
        assert await store.count(world.tenant_id, subject) == 0
    assert (await world.states(event))[0] == "REVOKED"
    assert (
        await superuser.fetchval("SELECT count(*) FROM verifiable_credentials WHERE revoked_at IS NULL") == 0
    )
    assert await superuser.fetchval("SELECT count(*) FROM receipt_pins WHERE unpinned_at IS NULL") == 0
    assert await superuser.fetchval("SELECT count(*) FROM wallets") == 0
    assert means.pinner.pins == {}
    assert (await means.ledger.balance("evm", ADDRESS)).balance_micro > 0
    assert "rewards" not in await traces(superuser, str(subject.identity_id))


async def test_steps_that_come_late_bring_nothing_back(world, means, superuser):
    subject, _ = await fulfilled(world)
    store = FulfilmentStore(means)
    await store.erase(world.tenant_id, subject)
    async with means.db.tenant_transaction(world.tenant_id) as tx:
        await tx.execute(
            text("UPDATE consent_identities SET erased_at = now(), customer_id = NULL WHERE id = :id"),
            {"id": subject.identity_id},
        )
    await world.work()
    await world.settle()
    assert await store.count(world.tenant_id, subject) == 0


async def test_challenges_that_were_over_a_day_ago_are_purged_for_all_tenants(world, database, superuser):
    person = await world.person()
    for days in (2, 3, 0):
        await superuser.execute(
            "INSERT INTO wallet_challenges (tenant_id, id, identity_id, chain, address, message, expires_at)"
            " VALUES ($1, app.uuid7(), $2, 'evm', $3, 'sign this', now() - make_interval(days => $4))",
            world.tenant_id, person, ADDRESS, days,
        )  # fmt: skip
    assert await purge_challenges(database, 1) == 2
    assert await superuser.fetchval("SELECT count(*) FROM wallet_challenges") == 1
