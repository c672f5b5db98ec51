"""Rewards on the embedded Solana chain, over its JSON-RPC, with the journal in PostgreSQL."""

import hashlib
import time
from uuid import UUID

import pytest
from solders.keypair import Keypair

from sidecars.web3.devchain.solana import SolanaDevChain
from sidecars.web3.journal.solana import SolanaRows
from sidecars.web3.rewards import solana_identity, solana_rpc
from sidecars.web3.rewards.chain import ChainRefused, ChainUnavailable, Mint, RewardState
from sidecars.web3.rewards.solana import SolanaChain
from sidecars.web3.rewards.solana_identity import NAME, SolanaSettings

TENANT = UUID("01890000-0000-7000-8000-00000000000a")
HOLDER = str(Keypair().pubkey())


class Clock:
    """The chain's time: it passes when a test says so."""

    def __init__(self):
        self.at = time.time()

    def __call__(self):
        return self.at

    def slots(self, count):
        self.at += count * 0.4


class World:
    """An embedded chain, and whoever pays rewards out on it."""

    def __init__(self, folder, journal):
        self.folder, self.journal, self.clock = folder, journal, Clock()
        self.authority, self.chains = Keypair(), []

    async def begin(self):
        self.node = SolanaDevChain(self.folder, self.clock)
        await self.node.start()
        return await self.chain()

    async def chain(self, **changes):
        settings = {"url": self.node.url, "authority": self.authority, "is_embedded": True} | changes
        chain = SolanaChain(SolanaSettings(**settings), self.journal)
        self.chains.append(chain)
        return chain

    async def owe(self, *names, amount=2_000_000):
        mints = [Mint(hashlib.sha256(name.encode()).digest(), HOLDER, amount) for name in names]
        async with self.journal.transaction(None) as tx:
            await tx.executemany(
                "INSERT INTO web3.reward_tx (reward_id, tenant_id, chain, recipient, amount_micro, delivery,"
                " state) VALUES ($1, $2, 'solana', $3, $4, 'MINT', 'OWED')",
                [(mint.reward_id, TENANT, mint.to, mint.amount_micro) for mint in mints],
            )
        return mints

    async def states(self, mints):
        async with self.journal.transaction(None) as tx:
            rows = await SolanaRows(tx, NAME).by_id([mint.reward_id for mint in mints])
        by_id = {row.reward_id: row for row in rows}
        return [by_id[mint.reward_id] for mint in mints]

    async def hashes(self):
        async with self.journal.transaction(None) as tx:
            rows = await tx.fetch(
                "SELECT tx_hash FROM web3.chain_tx WHERE raw IS NOT NULL ORDER BY signed_at"
            )
        return [row["tx_hash"] for row in rows]

    async def end(self):
        for chain in self.chains:
            await chain.close()
        await self.node.close()


@pytest.fixture
async def world(tmp_path, journal):
    world = World(tmp_path, journal)
    world.first = await world.begin()
    yield world
    await world.end()


async def _finish(world, chain):
    for _ in range(3):
        world.clock.slots(5)
        await chain.poll()


async def test_rewards_go_from_owed_to_final_and_the_balance_is_the_chains(world):
    mints = await world.owe("one", "two")
    changes = await world.first.submit(mints)
    assert {change.state for change in changes} == {RewardState.SENT}
    world.clock.slots(1)
    assert {change.state for change in await world.first.poll()} == {RewardState.MINED}
    world.clock.slots(4)
    assert {change.state for change in await world.first.poll()} == {RewardState.FINAL}
    rows = await world.states(mints)
    assert all(row.finalized_at is not None and row.block_height is not None for row in rows)
    assert (await world.first.balance(HOLDER)).amount_micro == 4_000_000
    health = await world.first.health()
    assert (health.status, health.total_supply_micro) == ("ok", 4_000_000)


async def test_the_same_rewards_handed_over_by_two_sidecars_are_minted_once(world):
    other = await world.chain()
    mints = await world.owe("one")
    await world.first.submit(mints)
    await other.submit(mints)
    await _finish(world, other)
    assert (await world.first.balance(HOLDER)).amount_micro == 2_000_000
    assert len(await world.hashes()) == 1


async def test_after_a_crash_the_same_bytes_are_sent_again(world):
    mints = await world.owe("one")
    await world.first.start()
    port = int(world.node.url.rpartition(":")[2])
    send = world.first._rpc.send

    async def unsent(raw):
        return False

    world.first._rpc.send = unsent  # the process died between signing and sending
    await world.first.submit(mints)
    assert (await world.states(mints))[0].state == "SIGNED"
    before = await world.hashes()
    world.first._rpc.send = send
    await world.node.close()
    world.node = SolanaDevChain(world.folder, world.clock)
    await world.node.start(port)
    await _finish(world, await world.chain())
    assert (await world.states(mints))[0].state == "FINAL"
    assert await world.hashes() == before
    assert (await world.first.balance(HOLDER)).amount_micro == 2_000_000


async def test_it_is_signed_anew_only_after_its_blockhash_ran_out(world):
    mints = await world.owe("one")

    async def unsent(raw):
        return False

    await world.first.start()
    send, world.first._rpc.send = world.first._rpc.send, unsent
    await world.first.submit(mints)
    world.clock.slots(149)
    assert await world.first.poll() == []
    world.clock.slots(10)
    changes = await world.first.poll()
    assert [(change.state, change.reason) for change in changes] == [(RewardState.OWED, "BLOCKHASH_EXPIRED")]
    world.first._rpc.send = send
    await world.first.submit(mints)
    await _finish(world, world.first)
    assert len(set(await world.hashes())) == 2
    assert (await world.first.balance(HOLDER)).amount_micro == 2_000_000


async def test_a_journal_restored_to_before_the_mint_adopts_it(world, superuser):
    mints = await world.owe("one")
    await world.first.submit(mints)
    await _finish(world, world.first)
    paid = (await world.states(mints))[0].tx_hash
    await superuser.execute("UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL")
    await superuser.execute("DELETE FROM web3.chain_tx")
    await superuser.execute("UPDATE web3.signer SET next_nonce = 0")
    restored = await world.chain()
    changes = await restored.submit(mints)
    assert [(change.state, change.tx.tx_hash) for change in changes] == [(RewardState.MINED, paid)]
    await _finish(world, restored)
    assert (await world.states(mints))[0].state == "FINAL"
    assert (await restored.health()).total_supply_micro == 2_000_000


async def test_a_restored_journal_that_owes_another_amount_is_a_conflict_and_mints_nothing(world, superuser):
    mints = await world.owe("one")
    await world.first.submit(mints)
    await _finish(world, world.first)
    await superuser.execute("DELETE FROM web3.reward_tx")
    other = await world.owe("one", amount=5)
    changes = await world.first.submit(other)
    assert [(change.state, change.reason) for change in changes] == [(RewardState.FAILED, "REWARD_CONFLICT")]
    assert (await world.first.balance(HOLDER)).amount_micro == 2_000_000


async def test_a_marker_whose_transaction_the_node_does_not_show_changes_nothing(world, superuser):
    mints = await world.owe("one")
    await world.first.submit(mints)
    await _finish(world, world.first)
    await superuser.execute("UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL")
    shown = world.first._rpc.transactions_of

    async def forgotten(address):
        return []

    world.first._rpc.transactions_of = forgotten
    assert await world.first.submit(mints) == []
    assert (await world.states(mints))[0].state == "OWED"
    world.first._rpc.transactions_of = shown
    await world.first.submit(mints)
    assert (await world.states(mints))[0].state == "MINED"
    assert (await world.first.balance(HOLDER)).amount_micro == 2_000_000


async def test_only_what_is_owed_can_be_a_conflict(world):
    mints = await world.owe("one")
    await world.first.submit(mints)
    async with world.journal.transaction(None) as tx:
        assert await SolanaRows(tx, NAME).conflict(mints[0].reward_id) is None
    assert (await world.states(mints))[0].state == "SENT"


async def test_a_journal_of_a_remote_chain_is_never_lost_to_an_embedded_one(world, superuser):
    await world.first.start()
    mints = await world.owe("one")
    await world.first.submit(mints)
    await _finish(world, world.first)
    await superuser.execute("UPDATE web3.chain_instance SET mode = 'remote'")
    await world.node.close()
    (world.folder / "ledger.jsonl").unlink()
    embedded = await world.begin()
    with pytest.raises(ChainRefused) as refused:
        await embedded.start()
    assert refused.value.reason == "CHAIN_GENESIS_MISMATCH"
    assert (await world.states(mints))[0].state == "FINAL"


async def test_a_chain_that_became_another_one_signs_nothing(world, monkeypatch):
    await world.first.start()
    genesis, token = world.node.ledger.genesis_hash, (await world.first.health()).token
    remote = await world.chain(is_embedded=False, genesis=genesis, mint=token)
    await remote.start()
    mints = await world.owe("one")

    async def other():
        return str(Keypair().pubkey())

    remote._rpc.genesis_hash = other
    remote._rpc._losses += 1
    with pytest.raises(ChainRefused) as refused:
        await remote.submit(mints)
    assert refused.value.reason == "CHAIN_GENESIS_MISMATCH"
    assert (await remote.health()).status == "down"
    del remote._rpc.genesis_hash
    await remote.poll()
    monkeypatch.setattr(solana_identity, "_IDENTITY_S", 0.0)
    remote._rpc.genesis_hash = other
    with pytest.raises(ChainRefused):
        await remote.submit(mints)
    assert await world.hashes() == []


async def test_the_main_network_needs_to_be_confirmed(world, monkeypatch):
    await world.first.start()
    genesis, token = world.node.ledger.genesis_hash, (await world.first.health()).token
    monkeypatch.setattr(solana_identity, "MAINNET_GENESIS", genesis)
    settings = {"is_embedded": False, "genesis": genesis, "mint": token}
    with pytest.raises(ChainRefused) as refused:
        await (await world.chain(**settings)).start()
    assert refused.value.reason == "CHAIN_MAINNET_NOT_CONFIRMED"
    await (await world.chain(**settings, is_mainnet_confirmed=True)).start()


async def test_every_page_of_an_accounts_history_is_read_and_the_oldest_comes_first(world, monkeypatch):
    mints = await world.owe("one", "two", "three")
    await world.first.submit(mints)
    await _finish(world, world.first)
    authority = world.authority.pubkey()
    whole = await world.first._rpc.transactions_of(authority)
    monkeypatch.setattr(solana_rpc, "_HISTORY_PAGE", 1)
    assert await world.first._rpc.transactions_of(authority) == whole
    assert set(await world.hashes()) <= {signature for signature, _ in whole}
    assert [slot for _, slot in whole] == sorted(slot for _, slot in whole)


async def test_resync_finds_what_the_chain_has_settled(world, superuser):
    mints = await world.owe("one", "two")
    await world.first.submit(mints[:1])
    await _finish(world, world.first)
    await superuser.execute("UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL")
    resynced = await world.first.resync()
    assert [change.reward_id for change in resynced.adopted] == [mints[0].reward_id]
    assert [row.state for row in await world.states(mints)] == ["MINED", "OWED"]


async def test_a_lost_embedded_chain_is_rebuilt_and_owes_everything_again(world):
    mints = await world.owe("one", "two")
    await world.first.submit(mints)
    await _finish(world, world.first)
    await world.node.close()
    (world.folder / "ledger.jsonl").unlink()
    again = await world.begin()
    await again.start()
    assert {row.state for row in await world.states(mints)} == {"OWED"}
    await again.submit(mints)
    await _finish(world, again)
    assert (await again.health()).total_supply_micro == 4_000_000
    assert {row.state for row in await world.states(mints)} == {"FINAL"}


async def test_nothing_is_signed_on_a_remote_chain_of_another_genesis_or_token(world):
    genesis = world.node.ledger.genesis_hash
    await world.first.start()
    mints = await world.owe("one")
    wrong = await world.chain(is_embedded=False, genesis=str(Keypair().pubkey()))
    with pytest.raises(ChainRefused) as refused:
        await wrong.submit(mints)
    assert refused.value.reason == "CHAIN_GENESIS_MISMATCH"
    foreign = await world.chain(is_embedded=False, genesis=genesis, mint=str(Keypair().pubkey()))
    with pytest.raises(ChainRefused) as refused:
        await foreign.submit(mints)
    assert refused.value.reason == "MINT_MISMATCH"
    assert (await foreign.health()).status == "down"
    assert await world.hashes() == []


async def test_a_remote_signer_without_lamports_signs_nothing_until_it_is_funded(world):
    await world.first.start()
    ledger, key = world.node.ledger, str(world.authority.pubkey())
    mints = await world.owe("one")
    token = (await world.first.health()).token
    remote = await world.chain(is_embedded=False, genesis=ledger.genesis_hash, mint=token)
    held = ledger.account(key).lamports
    ledger.airdrop(key, -held + 1_000)
    with pytest.raises(ChainUnavailable) as poor:
        await remote.submit(mints)
    assert poor.value.reason == "SIGNER_FUNDS_LOW"
    assert (await world.states(mints))[0].state == "OWED"
    assert (await remote.health()).status == "degraded"
    ledger.airdrop(key, held)
    await remote.submit(mints)
    await _finish(world, remote)
    assert (await world.states(mints))[0].state == "FINAL"


async def test_a_node_that_is_down_loses_nothing(world):
    mints = await world.owe("one")
    await world.first.start()
    port = int(world.node.url.rpartition(":")[2])
    await world.node.close()
    with pytest.raises(ChainUnavailable):
        await world.first.submit(mints)
    assert (await world.first.health()).status == "down"
    world.node = SolanaDevChain(world.folder, world.clock)
    await world.node.start(port)
    await world.first.submit(mints)
    await _finish(world, world.first)
    assert (await world.states(mints))[0].state == "FINAL"
