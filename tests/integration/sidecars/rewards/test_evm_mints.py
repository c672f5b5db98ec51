"""Rewards on a real anvil: minted once, final, whatever happens in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from eth_account import Account
from web3.types import RPCEndpoint

from cohortlens.core.telemetry import REGISTRY
from tests.integration.sidecars.rewards.owed import mined, mints, owe, states, until


async def test_rewards_are_minted_in_one_transaction_and_become_final(evm, journal):
    chain = await evm()
    rewards = mints(3)
    await owe(journal, rewards)

    signed = await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 3})

    assert len({change.tx.tx_hash for change in signed}) == 1
    assert (await chain.balance(rewards[2].to)).amount_micro == rewards[2].amount_micro
    assert (await chain.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_two_sidecars_on_one_journal_mint_each_reward_once(evm, journal):
    one, other = await evm(), await evm()
    rewards = mints(8)
    await owe(journal, rewards)

    await asyncio.gather(*(chain.submit([row]) for row in rewards for chain in (one, other)))
    await until(one, journal, {"FINAL": 8})

    assert (await one.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_what_was_signed_and_never_sent_is_sent_as_the_same_bytes(evm, journal):
    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards)
    chain._sender.send = _nothing  # the sidecar died between signing and sending
    signed = await chain.submit(rewards)
    assert await states(journal) == {"SIGNED": 2}

    after = await evm()
    await until(after, journal, {"FINAL": 2})

    async with journal.transaction(None) as tx:
        mined = await tx.fetchval("SELECT tx_hash FROM web3.chain_tx WHERE kind = 'MINT' AND state = 'FINAL'")
    assert mined == signed[0].tx.tx_hash


@pytest.mark.parametrize("depth", [2, 5])
async def test_a_reorganisation_takes_rewards_back_and_they_are_minted_once_in_the_end(
    evm, journal, anvil, depth
):
    chain, dropped = await evm(), REGISTRY.get_sample_value("web3_reorgs_total")
    await chain.mine(6)
    rewards = mints(2)
    await owe(journal, rewards)
    signed = await chain.submit(rewards)
    await mined(anvil.node, signed[0].tx.tx_hash)
    await chain.poll()
    assert await states(journal) == {"MINED": 2}

    await anvil.node.w3.provider.make_request(RPCEndpoint("anvil_reorg"), [depth, []])
    back = await chain.poll()
    assert {change.state for change in back} & {"SIGNED", "SENT"}
    assert chain.reorgs == 1
    assert REGISTRY.get_sample_value("web3_reorgs_total") == dropped + 1
    await _sent_long_ago(journal)
    await until(chain, journal, {"FINAL": 2})

    assert (await chain.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_a_reward_that_the_chain_has_settled_is_adopted_after_a_restored_database(evm, journal):
    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards)
    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 2})
    async with journal.transaction(None) as tx:  # the database of before the mint
        await tx.execute("UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL")
        await tx.execute("UPDATE web3.chain_tx SET replaces = NULL WHERE kind = 'MINT'")
        await tx.execute(
            "UPDATE web3.chain_tx SET state = 'EXPIRED', tx_hash = tx_hash || '-gone', nonce = -1 - nonce "
            "WHERE kind = 'MINT'"
        )
        await tx.execute("UPDATE web3.signer SET next_nonce = 1")

    restored = await evm()
    await restored.poll()
    with pytest.raises(Exception, match="resync"):
        await restored.submit(rewards)
    assert "SIGNER_NONCE_CONFLICT" in (await restored.health()).detail
    found = await restored.resync()
    await until(restored, journal, {"FINAL": 2})

    assert found.released
    assert len(found.adopted) == 2
    assert (await restored.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_a_batch_with_a_settled_reward_mints_the_others_and_adopts_it(evm, journal):
    chain = await evm()
    rewards = mints(3)
    await owe(journal, rewards[:1])
    await chain.submit(rewards[:1])
    await until(chain, journal, {"FINAL": 1})
    async with journal.transaction(None) as tx:
        await tx.execute("UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL")
    await owe(journal, rewards[1:])

    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 3})

    assert (await chain.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_another_body_under_a_settled_id_fails_and_mints_nothing(evm, journal, anvil, keys):
    chain = await evm()
    reward = mints(1)[0]
    other = replace(reward, amount_micro=5)
    await _foreign(anvil, keys, chain._desk.instance.token, chain._desk.token.mint([other]))
    await owe(journal, [reward])

    changes = await chain.submit([reward])

    assert [(change.state, change.reason) for change in changes] == [("FAILED", "REWARD_CONFLICT")]
    assert (await chain.health()).total_supply_micro == 5


async def test_a_foreign_transaction_of_the_signer_halts_it_until_the_resync(evm, journal, anvil, keys):
    chain = await evm()
    await _foreign(anvil, keys)
    rewards = mints(1)
    await owe(journal, rewards)
    await chain.poll()

    with pytest.raises(Exception, match="resync"):
        await chain.submit(rewards)
    assert await states(journal) == {"OWED": 1}
    await chain.resync()
    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 1})


async def test_a_foreign_transaction_with_an_allocated_nonce_lets_the_reward_be_minted_by_another(
    evm, journal, anvil, keys
):
    chain = await evm()
    rewards = mints(1)
    await owe(journal, rewards)
    chain._sender.send = _nothing
    await chain.submit(rewards)
    await _foreign(anvil, keys)

    after = await evm()
    for _ in range(3):
        await after.poll()
    resynced = await after.resync()
    await until(after, journal, {"FINAL": 1})

    assert resynced.released
    assert len(resynced.reopened) == 1


async def test_a_stuck_transaction_is_replaced_by_a_dearer_one_with_the_same_nonce(evm, journal, anvil):
    chain = await evm(stuck_s=0.0)
    await anvil.node.w3.provider.make_request(RPCEndpoint("evm_setAutomine"), [False])
    rewards = mints(1)
    await owe(journal, rewards)
    await chain.submit(rewards)
    await chain.poll()
    await chain.mine()
    await anvil.node.w3.provider.make_request(RPCEndpoint("evm_setAutomine"), [True])
    await until(await evm(), journal, {"FINAL": 1})

    async with journal.transaction(None) as tx:
        attempts = await tx.fetch(
            "SELECT attempt, nonce, state, max_fee FROM web3.chain_tx WHERE kind = 'MINT' ORDER BY attempt"
        )
    assert [row["state"] for row in attempts] == ["REPLACED", "FINAL"]
    assert attempts[0]["nonce"] == attempts[1]["nonce"]
    assert attempts[1]["max_fee"] * 10 >= attempts[0]["max_fee"] * 11


async def test_an_empty_signer_keeps_rewards_signed_until_it_is_funded(evm, journal, anvil, keys):
    from sidecars.web3.devchain.evm import fund

    chain = await evm()
    rewards = mints(1)
    await owe(journal, rewards)
    await anvil.node.w3.provider.make_request(RPCEndpoint("anvil_setBalance"), [keys.minter.address, "0x1"])
    await chain.submit(rewards)
    assert await states(journal) == {"SIGNED": 1}
    assert "SIGNER_FUNDS_LOW" in (await chain.health()).detail

    await fund(anvil.node, keys.minter.address)
    await until(chain, journal, {"FINAL": 1})


async def _foreign(anvil, keys, to=None, data="0x"):
    """Send a transaction with the minter's key past the journal."""
    node = anvil.node
    head = await node.head()
    fields = {
        "type": 2,
        "chainId": 80002,
        "nonce": await node.nonce(keys.minter.address),
        "to": to or keys.voucher.address,
        "value": 0,
        "data": data,
        "gas": 200_000,
        "maxFeePerGas": 3 * head.base_fee + 10**9,
        "maxPriorityFeePerGas": 10**9,
    }
    signed = Account.sign_transaction(fields, keys.minter.key)
    await node.send(bytes(signed.raw_transaction))
    await mined(node, "0x" + bytes(signed.hash).hex())


async def _sent_long_ago(journal):
    async with journal.transaction(None) as tx:
        await tx.execute("UPDATE web3.chain_tx SET sent_at = now() - interval '1 minute'")


async def _nothing():
    return []
