"""Offers, agreements, questions and settlement over a real database: what two sides may do, and what is booked."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from cohortlens.consent.fulfilment.models import REWARD_OF_SETTLEMENT, reward_id_of
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.personal_data import Subject
from cohortlens.marketplace.personal_data import MarketStore
from sidecars.web3.pinning.privacy import check_public
from tests.fixtures.consents import decide
from tests.fixtures.tenants import register
from tests.integration.marketplace.asking import BY_COUNTRY, refused
from tests.integration.marketplace.crew import spec


async def test_terms_permit_what_every_contributor_allows_and_prohibit_the_rest(market):
    await decide(market.db, market.seller.tenant_id, ["c1", "c2"], "GIVEN", "marketing")
    offer = await market.offered()

    terms = json.loads(offer.terms)
    assert terms["permission"][0]["constraint"][0]["rightOperand"] == [
        "data_sharing",
        "profiling",
        "rewards",
    ]
    assert {"action": "reidentify"} in terms["prohibition"]
    refusal = terms["prohibition"][-1]["constraint"][0]["rightOperand"]
    assert "marketing" in refusal
    draft = await market.use.offers.create(market.seller.context(), spec(purposes=("marketing",)))
    assert (
        await refused(market.use.offers.publish(market.seller.context(), draft.id)) == "PURPOSE_NOT_PERMITTED"
    )


async def test_an_offer_needs_a_hundred_contributors_and_suspends_itself_below(market):
    offer = await market.offered()
    seller = market.seller.tenant_id
    await decide(market.db, seller, [f"c{n}" for n in range(1, 31)], "WITHDRAWN", "data_sharing")
    await market.use.upkeep.run()
    assert (await market.use.offers.get(market.seller.context(), offer.id)).state == "PUBLISHED"

    await decide(market.db, seller, ["c31"], "WITHDRAWN", "data_sharing")
    await market.use.upkeep.run()

    assert (await market.use.offers.get(market.seller.context(), offer.id)).state == "SUSPENDED"
    assert await refused(market.use.offers.get(market.buyer.context(), offer.id)) == "RESOURCE_NOT_FOUND"
    assert await refused(market.use.offers.publish(market.seller.context(), offer.id)) == "OFFER_TOO_SMALL"


async def test_a_draft_is_its_sellers_alone_and_versions_never_change(market):
    draft = await market.use.offers.create(market.seller.context(), spec())
    assert await refused(market.use.offers.get(market.buyer.context(), draft.id)) == "RESOURCE_NOT_FOUND"
    first = await market.use.offers.publish(market.seller.context(), draft.id)
    changed = replace(spec(), title="Another title")
    stale = market.use.offers.update(market.seller.context(), draft.id, changed, "1")
    assert await refused(stale) == "ETAG_MISMATCH"
    await market.use.offers.update(market.seller.context(), draft.id, changed, str(first.etag))

    seen = await market.use.offers.get(market.buyer.context(), draft.id)

    assert (seen.version, seen.spec.title) == (1, "How our customers buy")
    await market.use.offers.publish(market.seller.context(), draft.id)
    seen = await market.use.offers.get(market.buyer.context(), draft.id)
    assert (seen.version, seen.spec.title) == (2, "Another title")


async def test_what_cannot_be_sold_or_bought_is_refused_with_its_reason(market):
    offer = await market.offered()
    access, seller, buyer = market.use.access, market.seller.context(), market.buyer.context()

    assert await refused(access.request(seller, offer.id, 1, "data_sharing")) == "OFFER_OWN_TENANT"
    assert await refused(access.request(buyer, offer.id, 1, "marketing")) == "PURPOSE_NOT_PERMITTED"
    assert await refused(access.request(buyer, offer.id, 2, "data_sharing")) == "ETAG_MISMATCH"
    assert await refused(access.request(buyer, uuid7(), 1, "data_sharing")) == "RESOURCE_NOT_FOUND"
    asked = await market.requested(offer)
    assert await refused(access.request(buyer, offer.id, 1, "data_sharing")) == "RESOURCE_EXISTS"
    assert await refused(access.approve(buyer, asked.id)) == "RESOURCE_NOT_FOUND"
    run = market.use.queries.run(buyer, asked.id, BY_COUNTRY)
    assert await refused(run) == "AGREEMENT_NOT_ACTIVE"
    await access.reject(seller, asked.id, "no")
    assert await refused(access.approve(seller, asked.id)) == "STATE_TRANSITION_INVALID"
    await market.use.offers.withdraw(seller, offer.id)
    assert await refused(access.request(buyer, offer.id, 1, "data_sharing")) == "OFFER_WITHDRAWN"
    paid = await market.use.offers.create(seller, spec(price_minor=100))
    assert await refused(market.use.offers.publish(seller, paid.id)) == "OFFER_INVALID"


async def test_a_stranger_sees_nothing_of_an_agreement(market):
    agreement = await market.agreed(await market.offered())
    stranger = (await register(market.db, "west")).context()

    for work in (
        market.use.access.get(stranger, agreement.id),
        market.use.access.terminate(stranger, agreement.id, ""),
        market.use.queries.run(stranger, agreement.id, BY_COUNTRY),
        market.use.queries.page(stranger, agreement.id, None, 10),
        market.use.queries.budgets(stranger, agreement.id),
        market.use.settlements.get(stranger, agreement.id),
    ):
        assert await refused(work) == "RESOURCE_NOT_FOUND"
    assert await market.use.access.page(stranger, None, None, 10) == []


async def test_an_incentive_needs_somebody_who_can_be_owed_it(market):
    await market.all(
        "UPDATE consent_identities SET customer_id = NULL WHERE tenant_id = app.tid() RETURNING 1"
    )
    await market.all("UPDATE purpose_heads SET mechanism = 'OPT_OUT' WHERE tenant_id = app.tid() RETURNING 1")
    draft = await market.use.offers.create(market.seller.context(), spec(incentive_micro=1_000_000))

    assert await refused(market.use.offers.publish(market.seller.context(), draft.id)) == "OFFER_INVALID"


async def test_a_free_agreement_is_settled_to_the_last_micro_token_each_step_once(market):
    wallets = [await market.wallet(f"c{n}", n) for n in (1, 2)]
    agreement = await market.agreed(await market.offered(incentive_micro=2_000_007))
    market.web3.lost = {"issue": 1, "pin": 1}

    failed = await market.work(twice=True)

    assert failed.count("WEB3_UNAVAILABLE") == 2
    found = await market.use.access.get(market.buyer.context(), agreement.id)
    assert found.state == "FINALIZED"
    assert [(move.state, move.actor) for move in found.moves] == [
        ("REQUESTED", "BUYER"),
        ("OFFERED", "SELLER"),
        ("ACCEPTED", "BUYER"),
        ("AGREED", "PLATFORM"),
        ("VERIFIED", "PLATFORM"),
        ("FINALIZED", "PLATFORM"),
    ]
    report = await market.use.settlements.get(market.seller.context(), agreement.id)
    amounts = {one.account: (one.amount, one.entries) for one in report.accounts}
    assert amounts == {"INCENTIVE": (-2_000_007, 1), "CONTRIBUTOR": (2_000_007, 130)}
    assert report.rewards == {"HELD": 128, "OWED": 2}
    assert report.accrued_micro == 0
    assert len(market.web3.issued) == len(market.web3.pins) == 1
    assert {order.amount_micro for order in market.web3.paid.values()} <= {15_384, 15_385}
    rows = await market.all("SELECT reward_id, source_id, identity_id FROM rewards WHERE kind = 2")
    assert len(rows) == 130
    for row in rows:
        source = UUID(int=row.source_id.int)
        made = reward_id_of(market.seller.tenant_id, REWARD_OF_SETTLEMENT, source)
        assert bytes(row.reward_id) == made
    assert {UUID(int=row.identity_id.int) for row in rows} >= set(wallets)
    buyers = await market.use.settlements.get(market.buyer.context(), agreement.id)
    assert (buyers.accounts, buyers.rewards, buyers.accrued_micro) == ([], {}, 0)


async def test_shares_too_small_to_be_sent_accrue_until_they_are_worth_a_reward(market):
    offer = await market.offered(incentive_micro=130 * 6_000)
    agreement = await market.agreed(offer)
    await market.work()
    report = await market.use.settlements.get(market.seller.context(), agreement.id)
    assert (report.rewards, report.accrued_micro) == ({}, 130 * 6_000)

    other = await register(market.db, "east")
    await decide(market.db, market.seller.tenant_id, ["c1"], "WITHDRAWN", "data_sharing")
    await decide(market.db, market.seller.tenant_id, ["c2"], "WITHDRAWN", "rewards")
    await market.agreed(offer, other)
    await market.work()

    rewards = await market.all("SELECT amount_micro FROM rewards WHERE kind = 2")
    # One withdrew the sharing, so it accrues no more; one does not allow rewards, so its shares wait.
    assert len(rewards) == 128
    second = [-(-130 * 6_000 // 129), 130 * 6_000 // 129]
    assert {row.amount_micro for row in rewards} <= {6_000 + share for share in second}
    unpaid = await market.all("SELECT count(*) AS found FROM market_shares WHERE paid_by IS NULL")
    assert unpaid[0].found == 3


async def test_entries_that_do_not_balance_are_refused_by_the_database(market):
    await market.agreed(await market.offered())
    await market.work()
    [settlement] = await market.all("SELECT id FROM market_settlements")
    insert = (
        "INSERT INTO market_entries (id, settlement_id, account, currency, amount) "
        "VALUES (:id, :settlement, 'SELLER', 'EUR', 1)"
    )
    with pytest.raises(Exception, match="could not be committed"):
        async with market.db.tenant_transaction(market.seller.tenant_id) as tx:
            await tx.execute(text(insert), {"id": uuid7(), "settlement": settlement.id})
    assert await market.all("SELECT 1 FROM market_entries") == []


async def test_ending_an_agreement_revokes_its_credential_and_stops_answers(market):
    agreement = await market.agreed(await market.offered())
    await market.work()

    await market.use.access.terminate(market.buyer.context(), agreement.id, "enough")
    await market.work(twice=True)

    assert list(market.web3.revoked.values()) == ["AGREEMENT_TERMINATED"]
    run = market.use.queries.run(market.buyer.context(), agreement.id, BY_COUNTRY)
    assert await refused(run) == "AGREEMENT_NOT_ACTIVE"
    again = market.use.access.terminate(market.seller.context(), agreement.id, "")
    assert await refused(again) == "STATE_TRANSITION_INVALID"


async def test_an_agreement_that_ends_while_its_credential_is_issued_leaves_none_valid(market):
    agreement = await market.agreed(await market.offered())

    async def end():
        await market.use.access.terminate(market.seller.context(), agreement.id, "sold elsewhere")

    market.web3.during = {"issue": end}
    await market.work()

    assert len(market.web3.issued) == len(market.web3.revoked) == 1
    assert market.web3.pins == {}


async def test_what_is_pinned_has_the_closed_form_and_names_neither_side(market):
    await market.agreed(await market.offered(incentive_micro=1_300_000))
    await market.work()
    [row] = await market.all("SELECT body FROM market_settlements")
    words = json.loads(row.body)

    signed = {
        **words,
        "issuer": "did:key:z6MkFake",
        "proof": {
            "type": "DataIntegrityProof",
            "cryptosuite": "eddsa-jcs-2022",
            "verificationMethod": "did:key:z6MkFake#z6MkFake",
            "proofPurpose": "assertionMethod",
            "proofValue": "z" + "2" * 70,
        },
    }
    check_public("OFFER_TERMS", json.dumps(signed).encode())
    for tenant in (market.seller, market.buyer):
        assert str(tenant.tenant_id) not in row.body.decode()


async def test_both_sides_find_an_approval_in_their_own_audit_log(market):
    agreement = await market.agreed(await market.offered())
    for side in (market.seller, market.buyer):
        rows = await market.all(
            "SELECT 1 FROM audit_log WHERE action = 'marketplace.access.approved' AND resource = :of",
            side,
            of=f"agreements/{agreement.id}",
        )
        assert len(rows) == 1


async def test_an_erasure_keeps_the_books_and_forgets_whose_shares_they_are(market):
    person = await market.wallet("c1", 1)
    await market.agreed(await market.offered(incentive_micro=1_300_000))
    await market.work()
    store, subject = MarketStore(market.db), Subject(person, None, "c1")
    assert len((await store.export(market.seller.tenant_id, subject))["market_shares"]) == 1

    await store.erase(market.seller.tenant_id, subject)
    await store.erase(market.seller.tenant_id, subject)

    assert await store.count(market.seller.tenant_id, subject) == 0
    [total] = await market.all("SELECT sum(amount) AS total, count(*) AS found FROM market_entries")
    assert (total.total, total.found) == (0, 131)


async def test_a_sidecar_that_is_away_delays_the_settlement_and_not_the_answers(market):
    agreement = await market.agreed(await market.offered())
    market.web3.faults = {"issue": [Unavailable("away", reason="WEB3_UNAVAILABLE")]}

    answered = await market.use.queries.run(market.buyer.context(), agreement.id, BY_COUNTRY)
    failed = await market.work()

    assert answered.answer is not None
    assert failed == ["WEB3_UNAVAILABLE"]
    assert (await market.use.access.get(market.buyer.context(), agreement.id)).state == "FINALIZED"
