"""The embedded EVM chain is killed and comes back without its last blocks, or without any data."""

from __future__ import annotations

import os
import signal

import pytest

from tests.fixtures.waiting import eventually
from tests.integration.sidecars.rewards.owed import mints, owe, until


@pytest.fixture
def anvil(mortal_anvil):
    """These tests kill it, so each has its own."""
    return mortal_anvil


async def test_rewards_survive_a_killed_anvil_that_lost_its_last_blocks(evm, journal, anvil, keys):
    from sidecars.web3.devchain.evm import fund

    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards)
    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 2})

    os.kill(anvil.pid, signal.SIGKILL)
    await eventually(lambda: not anvil.pid, 10)
    with pytest.raises(Exception, match="does not answer"):
        await chain.poll()
    assert await anvil.ensure()
    await fund(anvil.node, keys.minter.address)
    after = await evm()
    await until(after, journal, {"FINAL": 2})

    assert (await after.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_an_embedded_chain_without_its_data_is_rebuilt_and_pays_again(evm, journal, anvil, keys):
    from sidecars.web3.devchain.evm import fund

    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards)
    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 2})
    os.kill(anvil.pid, signal.SIGKILL)
    await eventually(lambda: not anvil.pid, 10)
    (anvil._folder / "state.json").unlink(missing_ok=True)
    assert await anvil.ensure()
    await fund(anvil.node, keys.minter.address)

    after = await evm()
    await until(after, journal, {"FINAL": 2})

    assert (await after.health()).total_supply_micro == sum(row.amount_micro for row in rewards)
