"""The EVM chain in this process, of eth-tester and py-evm, where there is no anvil.

It has no disk and no finality, says so by its mode, and is rebuilt from the journal at each start. Import it
only where it is needed: its packages take half a second and 60 MB.
"""

from __future__ import annotations

import asyncio
from typing import Any

from eth_tester import EthereumTester, PyEVMBackend
from web3 import AsyncWeb3
from web3.providers.eth_tester import AsyncEthereumTesterProvider

from sidecars.web3.devchain.evm import FUNDS_WEI, EvmKeys
from sidecars.web3.rewards.evm_node import EvmNode

MODE = "embedded-py-evm"
PY_EVM_CHAIN_ID = 131277322940537
# Calls without a sender are made by eth-tester's first account, and py-evm lets only who has funds call.
_READER = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


async def py_evm(keys: EvmKeys) -> EvmNode:
    """Make the in-process chain of eth-tester and py-evm with funds for the keys; takes half a second."""
    return await asyncio.to_thread(_py_evm, keys)


def _py_evm(keys: EvmKeys) -> EvmNode:
    genesis = PyEVMBackend.generate_genesis_params(overrides={"gas_limit": 30_000_000})
    state = {
        bytes.fromhex(address[2:]): {"balance": FUNDS_WEI, "nonce": 0, "code": b"", "storage": {}}
        for address in (keys.minter.address, keys.voucher.address, _READER)
    }
    backend = PyEVMBackend(genesis_parameters=genesis, genesis_state=state)
    provider = AsyncEthereumTesterProvider()
    provider.ethereum_tester = EthereumTester(backend=backend)
    w3: AsyncWeb3[Any] = AsyncWeb3(provider)
    return EvmNode(w3)
