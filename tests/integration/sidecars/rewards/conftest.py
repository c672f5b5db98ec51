"""A real anvil, the reward token on it, and a journal: what the tests of the EVM chain stand on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

ANVIL = Path("deploy/node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil").resolve()
HAS_ANVIL = ANVIL.exists()


@pytest.fixture
async def anvil(tmp_path):
    """A running anvil of its own."""
    from sidecars.web3.devchain.evm import Anvil

    if not HAS_ANVIL:
        pytest.skip("NOT CHECKED: anvil; next: apt-get install -y nodejs npm && make setup")
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
async def evm(anvil, keys, journal):
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
        chain = EvmChain(desk)
        chain.mine = lambda blocks=1: mine(anvil.node, blocks)
        made.append(chain)
        if start:
            await chain.start()
        return chain

    await fund(anvil.node, keys.minter.address)
    yield make
    for chain in made:
        await chain.close()
