"""A real anvil, the reward token on it, and a journal: what the tests of the EVM chain stand on."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from web3.types import RPCEndpoint

ANVIL = Path("deploy/node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil").resolve()
HAS_ANVIL = ANVIL.exists()
NO_ANVIL = "NOT CHECKED: anvil; next: apt-get install -y nodejs npm && make setup"


@pytest.fixture(scope="session")
def running_anvil(tmp_path_factory):
    """One anvil for all tests, kept by a loop in a thread of its own: each test has another loop."""
    from sidecars.web3.devchain.evm import Anvil

    if not HAS_ANVIL:
        pytest.skip(NO_ANVIL)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def done(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    child = Anvil(ANVIL, tmp_path_factory.mktemp("anvil"))
    done(done(child.start()).close())
    yield child
    done(child.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
async def anvil(running_anvil):
    """The anvil as it was before its first test: what a test does there is taken back after it."""
    from sidecars.web3.rewards.evm_node import http_node

    node = http_node(running_anvil.url, 0)
    ask = node.w3.provider.make_request
    before = (await ask(RPCEndpoint("evm_snapshot"), []))["result"]
    await ask(RPCEndpoint("anvil_setNextBlockBaseFeePerGas"), [hex(10**9)])  # a revert does not take it back
    yield SimpleNamespace(node=node, url=running_anvil.url, port=running_anvil.port)
    await ask(RPCEndpoint("evm_setAutomine"), [True])
    assert (await ask(RPCEndpoint("evm_revert"), [before]))["result"]
    await node.close()


@pytest.fixture
async def mortal_anvil(tmp_path):
    """An anvil of this test alone, to be killed."""
    from sidecars.web3.devchain.evm import Anvil

    if not HAS_ANVIL:
        pytest.skip(NO_ANVIL)
    child = Anvil(ANVIL, tmp_path / "evm")
    child.node = await child.start()
    yield child
    await child.node.close()
    await child.stop()


@pytest.fixture
def keys(tmp_path):
    """Random keys of an embedded chain."""
    from sidecars.web3.devchain.evm import embedded_keys

    return embedded_keys(tmp_path / "evm")


@pytest.fixture
async def evm(anvil, keys, journal, tmp_path):
    """Makes started chains on the anvil; each stands for one sidecar."""
    from sidecars.web3.devchain.evm import fund, mine
    from sidecars.web3.rewards.evm import EvmChain
    from sidecars.web3.rewards.evm_desk import EvmDesk, EvmSettings
    from sidecars.web3.rewards.evm_keys import EvmSigners
    from sidecars.web3.rewards.evm_node import http_node

    made = []

    async def make(*, url=None, start=True, **changes):
        node = http_node(url or anvil.url, 80002)
        settings = replace(EvmSettings(80002, "embedded-anvil", gather_s=0.0), **changes)
        desk = EvmDesk(node, journal, EvmSigners(keys.minter, keys.voucher), settings)
        chain = EvmChain(desk, tmp_path / "epochs")
        chain.mine = lambda blocks=1: mine(anvil.node, blocks)
        made.append(chain)
        if start:
            await chain.start()
        return chain

    await fund(anvil.node, keys.minter.address)
    yield make
    for chain in made:
        await chain.close()
