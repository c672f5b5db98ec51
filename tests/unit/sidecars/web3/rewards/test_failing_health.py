"""A chain that cannot say how it is says that it is down, and nobody who asks comes to an end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from eth_account import Account
from solders.keypair import Keypair

from cohortlens.core.errors import Unavailable
from sidecars.web3.rewards.evm import EvmChain
from sidecars.web3.rewards.evm_desk import EvmDesk, EvmSettings
from sidecars.web3.rewards.evm_keys import EvmSigners
from sidecars.web3.rewards.evm_node import EvmNode
from sidecars.web3.rewards.follower import Follower
from sidecars.web3.rewards.solana import SolanaChain
from sidecars.web3.rewards.solana_identity import SolanaSettings


class Broken:
    """A journal, a node, a chain: whatever is asked of it raises."""

    name = "evm"

    def __init__(self, fault):
        self._fault = fault
        self.was_asked = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, _):
        raise self._fault
        yield

    async def start(self):
        raise self._fault

    async def health(self):
        self.was_asked.set()
        raise self._fault

    def __getattr__(self, name):
        raise self._fault


class Lost(Unavailable):
    """The journal is away."""

    reason = "JOURNAL_UNAVAILABLE"


@pytest.mark.parametrize(
    ("fault", "said"), [(Lost("away"), "JOURNAL_UNAVAILABLE"), (KeyError("number"), "INTERNAL")]
)
async def test_an_evm_chain_whose_node_or_journal_fails_is_down(fault, said):
    signers = EvmSigners(Account.create(), Account.create())
    desk = EvmDesk(EvmNode(Broken(fault)), Broken(fault), signers, EvmSettings(80002, "embedded-anvil"))
    health = await EvmChain(desk, Path("unused")).health()
    assert health.status == "down"
    desk.head = Broken(fault).start
    health = await EvmChain(desk, Path("unused")).health()
    assert (health.status, health.detail.rpartition("; ")[2]) == ("down", said)


@pytest.mark.parametrize(
    ("fault", "said"), [(Lost("away"), "JOURNAL_UNAVAILABLE"), (KeyError("number"), "INTERNAL")]
)
async def test_a_solana_chain_whose_node_or_journal_fails_is_down(fault, said):
    chain = SolanaChain(SolanaSettings("http://127.0.0.1:9", Keypair(), is_embedded=True), Broken(fault))
    chain._ready = Broken(fault).start
    health = await chain.health()
    assert (health.status, health.detail) == ("down", said)
    await chain.close()


async def test_the_worker_of_rewards_outlives_a_chain_that_cannot_say_how_it_is():
    chain = Broken(KeyError("number"))
    work = asyncio.create_task(Follower(chain, Broken(Lost("away"))).run())
    await asyncio.wait_for(chain.was_asked.wait(), 5)
    await asyncio.sleep(0)
    assert not work.done()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
