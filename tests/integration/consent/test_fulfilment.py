"""Fulfilment over a real database: each step once, whatever is lost, repeated or crossed by a withdrawal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from cohortlens.consent.fulfilment.service import Fulfilment
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.consent.tariffs import Rate
from cohortlens.core import outbox
from cohortlens.core.errors import InvalidArgument, Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Wanted
from cohortlens.core.sealing import Keyring
from cohortlens.core.tenant_keys import TenantKeys
from tests.fakes.web3 import FakeLedger, FakeWeb3
from tests.fixtures.fulfilments import ADDRESS, World


@pytest.fixture
async def world(database, tenants):
    """A tenant that pays in tokens."""
    web3, keys = FakeWeb3(), TenantKeys(Keyring(b"k" * 32))
    means = Means(database, keys, web3, FakeLedger(web3), web3)  # type: ignore[arg-type]
    made = World(database, tenants[0].tenant_id, web3, Fulfilment(means), keys)
    await made.tariff()
    return made


async def consenting(world: World, purpose: str = "data_sharing") -> tuple[UUID, UUID]:
    """A person with a wallet who allows rewards and then ``purpose``; answers person and event."""
    person = await world.person()
    await world.bind(person)
    await world.act(person, "rewards")
    return person, await world.act(person, purpose)


async def test_a_consent_gets_one_credential_one_reward_and_one_pin(world):
    person, event = await consenting(world)

    assert await world.work() == []
    assert await world.states(event) == ("ISSUED", "OWED", "PENDING")
    await world.settle()

    assert await world.states(event) == ("ISSUED", "FINAL", "PINNED")
    assert (await world.web3.balance("evm", ADDRESS)).balance_micro == 10_000_000
    [current] = await world.all(
        f"SELECT * FROM receipt_pins WHERE superseded_by IS NULL AND event_id = '{event}'"
    )
    words = json.loads(current.body)
    assert words["reward"] == "paid"
    assert words["state"] == "active"
    [linked] = await world.all(
        "SELECT verifiable_credential_id FROM user_consents WHERE purpose_key = 'data_sharing'"
    )
    assert linked[0] == (await world.of(event)).credential_id
    assert str(person) not in current.body.decode()
    assert str(event) not in current.body.decode()


async def test_every_step_run_twice_has_its_effect_once(world):
    _, event = await consenting(world)

    await world.work(twice=True)
    await world.settle()
    await world.settle()

    assert await world.states(event) == ("ISSUED", "FINAL", "PINNED")
    assert len(world.web3.issued) == 2
    assert len(world.web3.paid) == 1
    assert len(await world.all("SELECT 1 FROM verifiable_credentials")) == 2


@pytest.mark.parametrize("method", ["issue", "submit", "pin"])
async def test_an_answer_that_is_lost_after_its_effect_leads_to_the_same_effect(world, method):
    _, event = await consenting(world)
    world.web3.lost = {method: 2}

    first = await world.work()
    await world.settle()

    assert first.count("WEB3_UNAVAILABLE") + (method == "pin") >= 1
    assert await world.states(event) == ("ISSUED", "FINAL", "PINNED")
    assert len(world.web3.issued) == 2
    assert len(world.web3.paid) == 1


async def test_a_failing_step_shows_why_and_goes_on_later(world):
    _, event = await consenting(world)
    world.web3.faults["chains"] = [Unavailable("down", reason="CHAIN_UNAVAILABLE") for _ in range(3)]

    assert await world.work() == ["CHAIN_UNAVAILABLE"] * 3
    await world.settle()

    assert await world.states(event) == ("ISSUED", "FINAL", "PINNED")


async def test_claims_that_are_refused_end_the_step_at_the_first_attempt(world):
    _, event = await consenting(world)
    fault = InvalidArgument("no", reason="CLAIMS_INVALID")
    world.web3.faults["issue"] = [fault, fault]

    assert await world.work() == []

    assert await world.states(event) == ("FAILED", "SKIPPED", "SKIPPED")
    assert (await world.of(event)).last_reason == "CLAIMS_INVALID"


async def test_a_withdrawal_revokes_the_credential_and_cancels_what_was_not_signed(world):
    person, event = await consenting(world)
    await world.work()
    await world.act(person, "data_sharing", "WITHDRAWN")

    await world.work()

    found = await world.of(event)
    assert await world.states(event) == ("REVOKED", "CANCELLED", "PINNED")
    assert world.web3.revoked[found.credential_id] == "CONSENT_WITHDRAWN"
    [pin] = await world.all(
        f"SELECT body FROM receipt_pins WHERE superseded_by IS NULL AND event_id = '{event}'"
    )
    assert json.loads(pin.body)["reward"] == "cancelled"
    assert json.loads(pin.body)["state"] == "ended"
    assert (await world.all("SELECT sum(reserved_micro) FROM reward_budgets"))[0][0] == 0


async def test_a_reward_that_the_sidecar_cancelled_by_itself_gives_its_part_of_the_budget_back(world):
    _person, event = await consenting(world)
    await world.work()
    reserved = "SELECT sum(reserved_micro) FROM reward_budgets"
    assert (await world.all(reserved))[0][0] > 0

    world.web3.settle("CANCELLED")
    await world.settle()

    assert (await world.states(event))[1] == "CANCELLED"
    assert (await world.all(reserved))[0][0] == 0


async def test_a_reward_that_was_signed_completes_after_the_withdrawal(world):
    person, event = await consenting(world)
    await world.work()
    world.web3.settle("SENT")
    await world.act(person, "data_sharing", "WITHDRAWN")
    await world.work()
    await world.settle()

    assert await world.states(event) == ("REVOKED", "FINAL", "PINNED")


async def test_a_withdrawal_before_the_first_step_leaves_nothing_at_the_sidecar(world):
    person, event = await consenting(world)
    events = await outbox.claim(world.db, "worker", [Wanted("consent.event.recorded", 1)])
    await world.fulfilment.follow(events[0])
    await outbox.settle(world.db, events[0])
    await world.act(person, "data_sharing", "WITHDRAWN")
    await world.act(person, "rewards", "WITHDRAWN")

    await world.work()

    assert world.web3.issued == {}
    assert world.web3.paid == {}
    assert await world.of(event) is None


@pytest.mark.parametrize("method", ["issue", "submit"])
async def test_a_withdrawal_in_the_middle_of_a_step_wins_in_the_end(world, method):
    person, event = await consenting(world)
    withdrawn = False

    async def withdraw() -> None:
        nonlocal withdrawn
        withdrawn = True
        act = await world.act(person, "data_sharing", "WITHDRAWN")
        await world.fulfilment.follow(await event_of(world, act))
        # Its own key lets the end overtake: it runs while the step still waits for its answer.
        for one in await outbox.claim(world.db, "other", [Wanted("fulfilment.end", 5)]):
            await world.fulfilment.end(one)
            await outbox.settle(world.db, one)

    if method == "issue":
        world.web3.faults["issue"] = []
    await world.act(person, "rewards", "GIVEN")
    # The consent to rewards is fulfilled first, then the one that is crossed.
    world.web3.during[method] = withdraw
    await world.work()
    await world.settle()

    found = await world.of(event)
    assert withdrawn
    if found is not None and found.credential_id is not None:
        assert world.web3.revoked[found.credential_id]
        assert found.credential_state == "REVOKED"
    assert all(state == "CANCELLED" for state in world.web3.states.values())
    assert await world.fulfilment.sweep() == 0


async def event_of(world: World, event: UUID) -> Any:
    """The outbox event of an act, as a worker gets it."""
    return outbox.Event(
        world.tenant_id,
        uuid7(),
        "consent.event.recorded",
        "k",
        {"event_id": str(event)},
        1,
        "w",
        1,  # type: ignore[arg-type]
    )


async def test_a_renewed_consent_gets_a_new_credential_and_no_second_reward(world):
    person, first = await consenting(world)
    await world.work()
    await world.settle()
    second = await world.act(person, "data_sharing", "REAFFIRMED")
    await world.work()
    await world.settle()

    assert (await world.of(first)).credential_state == "REVOKED"
    assert (await world.of(first)).end_reason == "CONSENT_RENEWED"
    assert await world.states(second) == ("ISSUED", "SKIPPED", "PINNED")
    assert (await world.of(second)).last_reason == "REWARD_ALREADY_EARNED"


async def test_nobody_earns_by_giving_and_withdrawing_in_turns(world):
    person, _ = await consenting(world)
    for _ in range(3):
        await world.work()
        await world.settle()
        await world.act(person, "data_sharing", "WITHDRAWN")
        await world.work()
        await world.act(person, "data_sharing")
    await world.work()
    await world.settle()

    assert (await world.web3.balance("evm", ADDRESS)).balance_micro == 10_000_000


async def test_without_a_wallet_the_reward_is_held_and_a_wallet_releases_it(world):
    person = await world.person()
    await world.act(person, "rewards")
    event = await world.act(person, "profiling")
    await world.work()
    assert await world.states(event) == ("ISSUED", "HELD", "PINNED")
    assert (await world.of(event)).last_reason == "WALLET_MISSING"

    await world.bind(person)
    await world.work()
    await world.settle()

    assert await world.states(event) == ("ISSUED", "FINAL", "PINNED")
    assert (await world.web3.balance("evm", ADDRESS)).balance_micro == 2_000_000


async def test_a_month_pays_no_more_than_its_budget(world):
    await world.tariff(monthly_budget_micro=25_000_000)
    events = [(await consenting_with(world, number))[1] for number in range(4)]
    await world.work()
    await world.settle()

    states = [(await world.of(event)).reward_state for event in events]
    assert sorted(states) == ["FINAL", "FINAL", "HELD", "HELD"]
    held = [
        (await world.of(event)).last_reason
        for event, state in zip(events, states, strict=True)
        if state == "HELD"
    ]
    assert held == ["REWARD_BUDGET_EXCEEDED"] * 2


async def consenting_with(world: World, number: int) -> tuple[UUID, UUID]:
    person = await world.person()
    await world.bind(person, address=f"0x{number:040x}")
    await world.act(person, "rewards")
    return person, await world.act(person, "data_sharing")


async def test_a_purpose_is_paid_on_the_chain_that_its_tariff_names(world):
    await world.tariff(rates={"data_sharing": Rate(7, "solana")})
    person = await world.person()
    await world.bind(person)
    await world.bind(person, "solana", "So1" + "1" * 40)
    await world.act(person, "rewards")
    await world.act(person, "data_sharing")
    await world.act(person, "profiling")
    await world.work()

    assert {(one.chain, one.amount_micro) for one in world.web3.paid.values()} == {
        ("solana", 7),
        ("evm", 2_000_000),
    }


async def test_without_consent_to_rewards_nothing_is_owed(world):
    person = await world.person()
    await world.bind(person)
    event = await world.act(person, "data_sharing")
    await world.work()

    assert await world.states(event) == ("ISSUED", "SKIPPED", "PINNED")
    assert (await world.of(event)).last_reason == "REWARD_NOT_CONSENTED"
    assert world.web3.paid == {}


async def test_a_consent_of_an_imported_file_leads_to_nothing(world):
    person = await world.person()
    event = await world.act(person, "data_sharing", method="IMPORT")
    await world.work()

    assert await world.of(event) is None
    assert world.web3.issued == {}


async def test_the_sweep_ends_what_a_lost_event_left_going_on(world):
    person, event = await consenting(world)
    await world.work()
    await world.settle()
    await world.act(person, "data_sharing", "WITHDRAWN")
    async with world.db.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    [lost] = await outbox.claim(world.db, "worker", [Wanted("consent.event.recorded", 1)])
    await outbox.settle(world.db, lost)

    assert await world.fulfilment.sweep() == 1
    await world.work()

    assert await world.states(event) == ("REVOKED", "FINAL", "PINNED")
    assert await world.fulfilment.sweep() == 0


async def test_a_reward_that_the_sidecar_forgot_is_handed_over_again(world):
    _, event = await consenting(world)
    await world.work()
    world.web3.paid.clear()
    world.web3.states.clear()
    await world.poll()
    await world.settle()

    assert (await world.of(event)).reward_state == "FINAL"
    assert len(world.web3.paid) == 1


async def test_chain_recipient_and_amount_of_a_reward_that_is_owed_never_change(world):
    await consenting(world)
    await world.work()
    for change in ("amount_micro = amount_micro + 1", "recipient = 'else'", "chain = 'solana'"):
        with pytest.raises(Exception, match="never change"):
            async with world.db.tenant_transaction(world.tenant_id) as tx:
                await tx.execute(text(f"UPDATE rewards SET {change}"))


async def test_a_reward_that_takes_longer_than_a_day_is_pinned_as_pending_and_then_as_paid(world):
    _, event = await consenting(world)
    await world.work()
    assert (await world.of(event)).pin_wanted == 0
    async with world.db.tenant_transaction(world.tenant_id) as tx:
        await tx.execute(text("UPDATE rewards SET created_at = created_at - interval '25 hours'"))
    await world.poll()
    await world.work()
    [first] = await world.all(f"SELECT body FROM receipt_pins WHERE event_id = '{event}'")
    assert json.loads(first.body)["reward"] == "pending"
    await world.settle()

    rows = await world.all(
        f"SELECT body, cid, superseded_by FROM receipt_pins WHERE event_id = '{event}' ORDER BY revision"
    )
    assert [json.loads(row.body)["reward"] for row in rows] == ["pending", "paid"]
    assert rows[0].superseded_by == rows[1].cid
    assert rows[1].superseded_by is None


async def test_a_credential_ends_with_its_consent_and_after_a_year_at_most(world):
    _, event = await consenting(world)
    await world.work()
    issued = world.web3.issued[event]

    assert issued.valid_until <= datetime.now(UTC) + timedelta(days=365)
    assert set(json.loads(issued.credential_json)["claims"]) == {
        "purpose",
        "purposeVersion",
        "activities",
        "grantedAt",
        "recordCommitment",
    }
