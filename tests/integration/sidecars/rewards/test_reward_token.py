"""The contract itself on a real anvil: random acts against a model, roles, caps, and what gas may cost."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from web3.types import RPCEndpoint

from load.bench.gas import measure
from tests.integration.sidecars.rewards.conftest import ANVIL, HAS_ANVIL
from tests.integration.sidecars.rewards.owed import mined, mints

ACTS = 120


@pytest.fixture
async def token(anvil, keys):
    """The deployed token with a sender of calls; a call answers None when mined, else the reason."""
    from eth_account import Account

    from sidecars.web3.devchain.evm import fund
    from sidecars.web3.rewards.evm_node import Reverted
    from sidecars.web3.rewards.token import RewardToken

    class Deployed(RewardToken):
        contract = b""
        stranger = Account.create()

        async def send(self, data, account=keys.minter):
            node = anvil.node
            if self.contract:
                try:
                    await node.call(self.contract, data, account.address)
                except Reverted as refused:
                    return self.reason(refused.data)
            fields = {
                "type": 2, "chainId": 80002, "nonce": await node.nonce(account.address), "to": self.contract,
                "value": 0, "data": data, "gas": 8_000_000, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9,
            }  # fmt: skip
            signed = account.sign_transaction(fields)
            await node.send(bytes(signed.raw_transaction))
            receipt = await mined(node, "0x" + bytes(signed.hash).hex())
            assert not receipt.is_reverted
            return receipt.contract if not self.contract else None

        async def number(self, function, *arguments):
            answer = await anvil.node.call(self.contract, self.call(function, *arguments))
            return int.from_bytes(answer[:32], "big")

    made = Deployed()
    for account in (keys.minter, made.stranger):
        await fund(anvil.node, account.address)
    minter, voucher = keys.minter.address, keys.voucher.address
    made.contract = await made.send(made.deployment(minter, minter, voucher, minter))
    return made


async def test_whatever_order_rewards_are_asked_for_in_each_is_paid_once_and_the_sum_is_exact(token, keys):
    from sidecars.web3.rewards.merkle import MerkleTree, leaf

    dice = random.Random(20261123)
    rewards = mints(20)
    tree = MerkleTree([leaf(1, row) for row in rewards])
    total, deadline_s = sum(row.amount_micro for row in rewards), int(time.time()) + 3600
    assert await token.send(token.call("publishEpoch", 1, tree.root, total, deadline_s)) is None
    settled, paid = set(), {}

    for _ in range(ACTS):
        kind = dice.choice(["mint", "cancelReward", "claim", "claimEpoch", "batch"])
        rows = dice.sample(rewards, 3 if kind == "batch" else 1)
        known = {row.reward_id for row in rows} & settled
        refused = await token.send(*_act(token, keys, tree, kind, rows, deadline_s))
        assert refused == ("ALREADY_SETTLED" if known and kind != "batch" else None)
        fresh = [row for row in rows if row.reward_id not in known]
        settled |= {row.reward_id for row in fresh}
        paid |= {row.to: row.amount_micro for row in fresh if kind != "cancelReward"}

    for row in rewards:
        assert await token.number("balanceOf", row.to) == paid.get(row.to, 0)
        assert await token.number("settled", row.reward_id) == (row.reward_id in settled)
    assert await token.number("totalSupply") == sum(paid.values())


def _act(token, keys, tree, kind, rows, deadline_s):
    """Calldata and sender of an act: ours for mints and cancellations, a stranger's for claims."""
    from sidecars.web3.rewards.merkle import leaf
    from sidecars.web3.rewards.vouchers import sign_voucher

    row = rows[0]
    fields = (row.to, row.amount_micro, row.reward_id)
    if kind == "claim":
        made = sign_voucher(row, deadline_s, token.contract, 80002, keys.voucher, datetime.now(UTC))
        return token.call("claim", *fields, deadline_s, made.signature), token.stranger
    if kind == "claimEpoch":
        return token.call("claimEpoch", 1, *fields, tree.proof(leaf(1, row))), token.stranger
    if kind == "cancelReward":
        return token.call("cancelReward", row.reward_id), keys.minter
    return token.mint(rows), keys.minter


async def test_an_epoch_pays_no_more_than_its_total_and_nobody_but_its_leaves(token):
    from sidecars.web3.rewards.merkle import MerkleTree, leaf

    rewards = mints(3)
    leaves = [leaf(1, row) for row in rewards]
    tree = MerkleTree(leaves)
    short = rewards[0].amount_micro + rewards[1].amount_micro  # less than the leaves' sum
    await token.send(token.call("publishEpoch", 1, tree.root, short, int(time.time()) + 3600))

    async def claim(row, own):
        return await token.send(
            token.call("claimEpoch", 1, row.to, row.amount_micro, row.reward_id, tree.proof(own))
        )

    stolen = replace(rewards[0], to=token.stranger.address)
    assert await claim(stolen, leaves[0]) == "REWARD_NOT_CLAIMABLE"
    assert await claim(rewards[0], leaves[0]) is None
    assert await claim(rewards[1], leaves[1]) is None
    assert await claim(rewards[2], leaves[2]) == "REWARD_NOT_CLAIMABLE"
    assert await token.send(token.call("publishEpoch", 1, tree.root, short, int(time.time()) + 9)) is not None
    assert await token.number("totalSupply") == short


async def test_only_roles_mint_cancel_publish_and_pause(token):
    row = mints(1)[0]

    for data in (
        token.mint([row]),
        token.mint([row, row]),
        token.call("cancelReward", row.reward_id),
        token.call("publishEpoch", 1, b"\x01" * 32, 5, int(time.time()) + 60),
        token.call("pause"),
        token.call("setDailyCap", 1),
    ):
        assert await token.send(data, token.stranger) == "CONTRACT_MISMATCH"


async def test_the_daily_cap_and_the_pause_hold_for_single_rewards_and_batches(token, anvil):
    rows = mints(4)
    await token.send(token.call("setDailyCap", rows[0].amount_micro + rows[1].amount_micro))

    assert await token.send(token.mint(rows[:1])) is None
    assert await token.send(token.mint(rows[1:3])) == "REWARD_LIMIT_EXCEEDED"
    assert await token.send(token.mint(rows[1:2])) is None
    assert await token.send(token.mint(rows[2:3])) == "REWARD_LIMIT_EXCEEDED"
    await anvil.node.w3.provider.make_request(RPCEndpoint("evm_increaseTime"), [86_400])
    await anvil.node.w3.provider.make_request(RPCEndpoint("anvil_mine"), ["0x1"])
    assert await token.send(token.mint(rows[2:3])) is None
    await token.send(token.call("pause"))
    assert await token.send(token.mint(rows[3:])) == "TOKEN_PAUSED"
    await token.send(token.call("unpause"))
    assert (
        await token.send(token.call("mintReward", rows[3].reward_id, rows[3].to, 0))
        == "REWARD_AMOUNT_INVALID"
    )


@pytest.mark.skipif(not HAS_ANVIL, reason="NOT CHECKED: anvil; next: make setup")
async def test_no_function_takes_more_gas_than_its_ceiling():
    rows = await measure(ANVIL)

    assert {row.what for row in rows} > {"mintReward, repeat", "batch of 50, repeat", "claim, repeat"}
    assert [row for row in rows if row.ceiling and row.gas > row.ceiling] == []
