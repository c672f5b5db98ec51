"""Vouchers, epochs and cancellations on a real anvil: claimed once, sums exact."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.integration.sidecars.rewards.owed import mined, mints, owe, states, until


@pytest.fixture
async def holder(anvil):
    """Sends transactions of a holder who pays for the gas; answers whether they did something."""
    from eth_account import Account

    from sidecars.web3.devchain.evm import fund

    account = Account.create()
    await fund(anvil.node, account.address)

    async def send(to, data):
        node = anvil.node
        fields = {
            "type": 2, "chainId": 80002, "nonce": await node.nonce(account.address), "to": to, "value": 0,
            "data": data, "gas": 300_000, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9,
        }  # fmt: skip
        signed = account.sign_transaction(fields)
        await node.send(bytes(signed.raw_transaction))
        receipt = await mined(node, "0x" + bytes(signed.hash).hex())
        return not receipt.is_reverted

    return send


def _claim(chain, reward, deadline_s, signature):
    token = chain._desk.token
    return token.call("claim", reward.to, reward.amount_micro, reward.reward_id, deadline_s, signature)


async def test_a_voucher_is_claimed_once_and_the_reward_becomes_claimed(evm, journal, holder):
    chain = await evm()
    reward = mints(1)[0]
    await owe(journal, [reward], "CLAIMABLE", "VOUCHER")
    deadline_s = int(time.time()) + 3600
    voucher = chain.create_voucher(reward, deadline_s)
    data = _claim(chain, reward, deadline_s, voucher.signature)

    assert await holder(voucher.contract, data)
    assert not await holder(voucher.contract, data)
    await until(chain, journal, {"CLAIMED": 1})

    assert (await chain.balance(reward.to)).amount_micro == reward.amount_micro


async def test_a_voucher_is_worth_nothing_with_another_amount_or_after_its_deadline(
    evm, journal, holder, anvil
):
    from web3.types import RPCEndpoint

    chain = await evm()
    reward = mints(1)[0]
    deadline_s = int(time.time()) + 3600
    voucher = chain.create_voucher(reward, deadline_s)

    more = replace(reward, amount_micro=reward.amount_micro + 1)
    assert not await holder(voucher.contract, _claim(chain, more, deadline_s, voucher.signature))
    await anvil.node.w3.provider.make_request(RPCEndpoint("evm_increaseTime"), [7200])
    assert not await holder(voucher.contract, _claim(chain, reward, deadline_s, voucher.signature))


async def test_a_cancelled_reward_cannot_be_claimed_any_more(evm, journal, holder):
    chain = await evm()
    reward = mints(1)[0]
    await owe(journal, [reward], "CLAIMABLE", "VOUCHER")
    deadline_s = int(time.time()) + 3600
    voucher = chain.create_voucher(reward, deadline_s)

    cancelled = await chain.cancel(reward.reward_id)
    await chain.poll()

    assert cancelled.state == "CANCELLED"
    assert not await holder(voucher.contract, _claim(chain, reward, deadline_s, voucher.signature))
    await until(chain, journal, {"CANCELLED": 1})


async def test_a_cancellation_that_comes_after_the_claim_leaves_the_reward_claimed(evm, journal, holder):
    chain = await evm()
    reward = mints(1)[0]
    await owe(journal, [reward], "CLAIMABLE", "VOUCHER")
    deadline_s = int(time.time()) + 3600
    voucher = chain.create_voucher(reward, deadline_s)
    assert await holder(voucher.contract, _claim(chain, reward, deadline_s, voucher.signature))

    answered = await chain.cancel(reward.reward_id)

    assert answered.state == "CLAIMED"
    assert await states(journal) == {"CLAIMED": 1}


async def test_every_reward_of_an_epoch_is_claimed_once_and_the_sum_is_exact(evm, journal, holder):
    chain = await evm()
    rewards = mints(5)
    await owe(journal, rewards, "CLAIMABLE", "EPOCH")
    published = await chain.publish_epoch(rewards)
    assert await chain.publish_epoch(list(reversed(rewards))) == published
    await chain.poll()

    for reward in rewards:
        proof = await chain.epoch_proof(reward.reward_id)
        call = chain._desk.token.call(
            "claimEpoch", proof.epoch, reward.to, reward.amount_micro, reward.reward_id, list(proof.proof)
        )
        assert await holder(proof.contract, call)
        assert not await holder(proof.contract, call)
    await until(chain, journal, {"CLAIMED": 5})

    assert (await chain.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_an_epoch_takes_no_reward_twice_and_none_that_is_not_claimable(evm, journal):
    chain = await evm()
    rewards = mints(3)
    await owe(journal, rewards[:2], "CLAIMABLE", "EPOCH")
    await chain.publish_epoch(rewards[:2])

    for refused in (rewards[:1], rewards[2:], []):
        with pytest.raises(Exception, match="reward"):
            await chain.publish_epoch(refused)


async def test_a_reward_that_was_vouched_for_and_then_minted_is_paid_once(evm, journal, holder):
    chain = await evm()
    reward = mints(1)[0]
    deadline_s = int(time.time()) + 3600
    voucher = chain.create_voucher(reward, deadline_s)
    assert await holder(voucher.contract, _claim(chain, reward, deadline_s, voucher.signature))
    await owe(journal, [reward])

    await chain.submit([reward])
    await until(chain, journal, {"FINAL": 1})

    assert (await chain.balance(reward.to)).amount_micro == reward.amount_micro
