"""Cancellations and epochs whose transaction came to nothing are signed again, on a real anvil."""

from __future__ import annotations

import contextlib
import time

import pytest
from web3.types import RPCEndpoint

from tests.integration.sidecars.rewards.owed import mints, owe, states

_REVERTS = "0x60006000fd"
"""Code that refuses everything: PUSH1 0, PUSH1 0, REVERT."""


@pytest.fixture
def refusing(anvil):
    """What is signed within is mined and reverted."""

    @contextlib.asynccontextmanager
    async def within(chain):
        ask, token = anvil.node.w3.provider.make_request, chain._desk.instance.token
        code = "0x" + (await anvil.node.code(token)).hex()
        await ask(RPCEndpoint("evm_setAutomine"), [False])
        yield
        await ask(RPCEndpoint("anvil_setCode"), [token, _REVERTS])
        await ask(RPCEndpoint("evm_mine"), [])
        await ask(RPCEndpoint("anvil_setCode"), [token, code])
        await ask(RPCEndpoint("evm_setAutomine"), [True])

    return within


async def _later(chain):
    """Turns of the chain after the time has come to look for what came to nothing."""
    await chain.poll()
    chain._amended_at = float("-inf")
    await chain.poll()
    await chain.mine()
    await chain.poll()


async def _kinds(journal, kind):
    async with journal.transaction(None) as tx:
        rows = await tx.fetch(
            "SELECT coalesce(reason, '') AS reason FROM web3.chain_tx WHERE kind = $1 ORDER BY nonce", kind
        )
    return [row["reason"] for row in rows]


async def test_a_cancellation_that_was_reverted_is_signed_again(evm, journal, refusing):
    chain = await evm()
    [reward] = mints(1)
    await owe(journal, [reward], "CLAIMABLE", "VOUCHER")
    async with refusing(chain):
        assert (await chain.cancel(reward.reward_id)).state == "CANCELLED"
    assert not await chain._watcher.is_settled(reward.reward_id)

    await _later(chain)

    assert await chain._watcher.is_settled(reward.reward_id)
    assert await states(journal) == {"CANCELLED": 1}
    assert await _kinds(journal, "CANCEL") == ["REVERTED", ""]
    await _later(chain)
    assert len(await _kinds(journal, "CANCEL")) == 2


async def test_a_reverted_cancellation_of_what_was_cancelled_otherwise_is_left_alone(evm, journal, refusing):
    chain = await evm()
    [reward] = mints(1)
    await owe(journal, [reward], "CLAIMABLE", "VOUCHER")
    async with refusing(chain):
        await chain.cancel(reward.reward_id)
    await _later(chain)
    async with journal.transaction(None) as tx:
        # As after a restored database: what did cancel it is not known here any more.
        await tx.execute(
            "UPDATE web3.reward_tx SET tx_id = "
            "(SELECT tx_id FROM web3.chain_tx WHERE kind = 'CANCEL' AND reason = 'REVERTED')"
        )

    await _later(chain)

    assert (len(await _kinds(journal, "CANCEL")), await states(journal)) == (2, {"CANCELLED": 1})


async def test_an_epoch_that_was_reverted_is_published_again_under_its_number(evm, journal, refusing):
    chain = await evm()
    rewards = mints(3)
    await owe(journal, rewards, "CLAIMABLE", "EPOCH")
    async with refusing(chain):
        published = await chain.publish_epoch(rewards)
    desk = chain._desk
    ask = desk.token.call("epochs", published.epoch)
    assert not any((await desk.node.call(desk.instance.token, ask))[:32])

    await _later(chain)

    assert (await desk.node.call(desk.instance.token, ask))[:32] == published.root
    assert await _kinds(journal, "EPOCH") == ["REVERTED", ""]
    again = await chain.publish_epoch(rewards)
    assert (again.epoch, again.root) == (published.epoch, published.root)
    assert again.tx.tx_hash != published.tx.tx_hash


async def test_an_epoch_whose_second_transaction_found_it_published_points_to_the_first(evm, journal):
    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards, "CLAIMABLE", "EPOCH")
    published = await chain.publish_epoch(rewards)
    await chain.poll()
    async with journal.transaction(None) as tx:
        await tx.execute(
            "UPDATE web3.chain_tx SET state = 'EXPIRED', raw = NULL, kind = 'ADOPTED' WHERE kind = 'EPOCH'"
        )

    await _later(chain)

    assert (await chain.publish_epoch(rewards)).tx.tx_hash == published.tx.tx_hash
    assert await _kinds(journal, "EPOCH") == []


async def test_a_mint_is_found_again_from_the_newest_block_back(evm, journal, monkeypatch):
    from sidecars.web3.rewards import evm_watch

    chain = await evm()
    first, second, never = mints(3)
    await owe(journal, [first])
    await chain.submit([first])
    await chain.mine(30)
    await owe(journal, [second])
    await chain.submit([second])
    await chain.mine(30)
    monkeypatch.setattr(evm_watch, "LOG_WINDOW", 10)
    asked = []
    logs = chain._desk.node.logs

    async def counted(contract, topics, start, end):
        asked.append((start, end))
        return await logs(contract, topics, start, end)

    monkeypatch.setattr(chain._desk.node, "logs", counted)
    began = time.monotonic()

    assert await chain._watcher._found([never.reward_id]) == {}
    assert asked == []
    assert set(await chain._watcher._found([second.reward_id, never.reward_id])) == {second.reward_id}
    newest = len(asked)
    assert set(await chain._watcher._found([first.reward_id])) == {first.reward_id}
    assert newest <= 5 < len(asked) - newest, (asked, began)
