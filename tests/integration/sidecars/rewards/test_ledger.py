"""The rewards ledger on a real journal: every id once, over all chains, tenants and sidecars."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest

from cohortlens.core import clock
from cohortlens.core.errors import InvalidArgument
from sidecars.web3.rewards import ledger as ledgers
from sidecars.web3.rewards.area import RewardsArea
from sidecars.web3.rewards.chain import ChainUnavailable, Delivery, WalletAddressInvalid
from sidecars.web3.rewards.errors import (
    RewardAlreadySent,
    RewardAmountInvalid,
    RewardConflict,
    RewardLimitExceeded,
    RewardNotClaimable,
    RewardNotFound,
)
from sidecars.web3.rewards.follower import Follower
from sidecars.web3.rewards.ledger import RewardItem, RewardLedger
from tests.fakes.chains import FakeChain
from tests.fixtures.waiting import eventually

NORTH, SOUTH = uuid4(), uuid4()
LIMIT = 10_000_000


def rid(name):
    return hashlib.sha256(name.encode()).digest()


def item(name, chain="evm", to="ADDR-1", amount=1_000_000, delivery=Delivery.MINT):
    return RewardItem(rid(name), chain, to, amount, delivery)


@pytest.fixture
def chains(journal):
    return {
        "evm": FakeChain("evm", journal),
        "solana": FakeChain("solana", journal, frozenset({Delivery.MINT})),
    }


@pytest.fixture
def ledger(journal, chains):
    return RewardLedger(journal, chains, LIMIT, lambda _name: None)


async def submit(ledger, *items, tenant=NORTH, operation=None):
    def encode(rewards):
        return ",".join(f"{one.recipient}:{one.state}" for one in rewards).encode()

    digest = hashlib.sha256(repr(items).encode()).digest()
    return await ledger.submit(tenant, operation or uuid4(), digest, items, encode)


async def test_rewards_are_accepted_in_the_canonical_spelling_and_the_order_asked(ledger):
    answer = await submit(ledger, item("b"), item("a", to="addr-2", delivery=Delivery.VOUCHER))
    assert answer == b"addr-1:OWED,addr-2:CLAIMABLE"


@pytest.mark.parametrize(
    "other",
    [
        item("a", amount=1_000_001),
        item("a", to="addr-2"),
        item("a", chain="solana"),
        item("a", delivery=Delivery.VOUCHER),
    ],
)
async def test_an_id_stands_for_one_chain_recipient_amount_and_delivery(ledger, other):
    await submit(ledger, item("a"))
    await submit(ledger, item("a"))
    with pytest.raises(RewardConflict):
        await submit(ledger, item("new"), other)
    with pytest.raises(RewardNotFound):
        await ledger.states(NORTH, [rid("new")])


async def test_an_id_of_another_tenant_is_refused_and_told_nothing_about(ledger):
    await submit(ledger, item("a"))
    with pytest.raises(RewardConflict):
        await submit(ledger, item("a"), tenant=SOUTH)
    with pytest.raises(RewardNotFound):
        await ledger.states(SOUTH, [rid("a")])
    with pytest.raises(RewardNotFound):
        await ledger.cancel(SOUTH, rid("a"))
    assert (await ledger.states(NORTH, [rid("a"), rid("unknown")]))[0].state == "OWED"


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (item("a", amount=0), RewardAmountInvalid),
        (item("a", amount=1_000_000_001), RewardAmountInvalid),
        (item("a", to="nobody"), WalletAddressInvalid),
        (item("a", chain="bitcoin"), InvalidArgument),
        (item("a", chain="solana", delivery=Delivery.EPOCH), InvalidArgument),
        (RewardItem(b"short", "evm", "addr-1", 1, Delivery.MINT), InvalidArgument),
    ],
)
async def test_a_fault_in_one_item_refuses_all_of_them(ledger, bad, fault):
    with pytest.raises(fault):
        await submit(ledger, item("good"), bad)
    with pytest.raises(RewardNotFound):
        await ledger.states(NORTH, [rid("good")])


async def test_the_limit_of_a_day_holds_when_many_ask_at_once_and_counts_replays_once(ledger):
    asked = [submit(ledger, item(f"r{n}", amount=3_000_000)) for n in range(6)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    accepted = [n for n, one in enumerate(answers) if isinstance(one, bytes)]
    assert len(accepted) == 3
    assert all(isinstance(one, RewardLimitExceeded) for one in answers if not isinstance(one, bytes))
    await submit(ledger, item(f"r{accepted[0]}", amount=3_000_000))
    assert await submit(ledger, item("other", amount=9_000_000), tenant=SOUTH)
    await ledger.cancel(NORTH, rid(f"r{accepted[0]}"))
    await submit(ledger, item("again", amount=4_000_000))


async def test_what_is_owed_or_claimable_can_be_cancelled_and_what_is_signed_cannot(ledger, chains, journal):
    await submit(ledger, item("owed"), item("claimable", delivery=Delivery.VOUCHER), item("sent"))
    assert (await ledger.cancel(NORTH, rid("owed"))).state == "CANCELLED"
    assert (await ledger.cancel(NORTH, rid("owed"))).state == "CANCELLED"
    assert (await ledger.cancel(NORTH, rid("claimable"))).state == "CANCELLED"
    await Follower(chains["evm"], journal).turn()
    assert list(chains["evm"].minted) == [rid("sent")]
    with pytest.raises(RewardAlreadySent):
        await ledger.cancel(NORTH, rid("sent"))


async def test_vouchers_and_epochs_are_for_rewards_of_their_delivery_on_a_chain_that_has_them(ledger):
    await submit(
        ledger, item("mint"), item("voucher", delivery=Delivery.VOUCHER), item("sol", chain="solana")
    )
    for name in ("mint", "sol"):
        with pytest.raises(RewardNotClaimable):
            await ledger.voucher(NORTH, rid(name), 0)
    with pytest.raises(RewardNotClaimable):
        await ledger.publish_epoch(NORTH, [rid("voucher")])
    with pytest.raises(RewardNotFound):
        await ledger.publish_epoch(NORTH, [rid("nobody's")])
    with pytest.raises(InvalidArgument):
        await ledger.publish_epoch(NORTH, [])


async def test_two_followers_mint_each_of_120_rewards_once_in_batches_of_fifty(journal, chains):
    roomy = RewardLedger(journal, chains, 10**12, lambda _name: None)
    await submit(roomy, *(item(f"r{n}") for n in range(120)))
    chain = chains["evm"]
    await asyncio.gather(Follower(chain, journal).turn(), Follower(chain, journal).turn())
    await Follower(chain, journal).turn()
    assert len(chain.minted) == 120
    assert max(chain.batches) == 50
    assert {one.state for one in await roomy.states(NORTH, [rid(f"r{n}") for n in range(120)])} == {"FINAL"}


async def test_rewards_wait_while_their_chain_is_down_and_are_paid_when_it_is_back(journal, chains):
    area = RewardsArea(journal, list(chains.values()), LIMIT)
    chains["evm"].is_down = True
    work = asyncio.create_task(area.run())
    try:
        await submit(area.ledger, item("a"), item("b", chain="solana"))
        await eventually(lambda: rid("b") in chains["solana"].minted)
        assert chains["evm"].minted == {}
        assert [one.status for one in await area.health()] == ["down", "ok"]
        chains["evm"].is_down = False
        await eventually(lambda: rid("a") in chains["evm"].minted)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_a_balance_is_answered_for_ten_minutes_after_the_chain_said_it(ledger, chains, monkeypatch):
    assert not (await ledger.balance("evm", "addr-1")).is_stale
    chains["evm"].is_down = True
    assert (await ledger.balance("evm", "ADDR-1")).is_stale
    with pytest.raises(ChainUnavailable):
        await ledger.balance("evm", "addr-2")
    later = clock.now() + ledgers.STALE_FOR + timedelta(seconds=1)
    monkeypatch.setattr(ledgers.clock, "now", lambda: later)
    with pytest.raises(ChainUnavailable):
        await ledger.balance("evm", "addr-1")


async def test_a_reward_keeps_its_recipient_and_amount_whatever_writes_it(ledger, journal):
    await submit(ledger, item("a"))
    with pytest.raises(Exception, match="a reward keeps its chain, recipient and amount"):
        async with journal.transaction(NORTH) as tx:
            await tx.execute("UPDATE reward_tx SET amount_micro = 2 WHERE reward_id = $1", rid("a"))
