"""Opens the EVM chain that the settings ask for: somebody's node by URL, else anvil, else py-evm."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from eth_account import Account

from sidecars.web3.config import Web3Config
from sidecars.web3.devchain.evm import Anvil, AnvilFailed, EvmKeys, embedded_keys, fund, mine
from sidecars.web3.journal.pool import Journal
from sidecars.web3.rewards.chain import ChainRefused
from sidecars.web3.rewards.evm import EvmChain
from sidecars.web3.rewards.evm_desk import EvmDesk, EvmSettings
from sidecars.web3.rewards.evm_keys import EvmSigners
from sidecars.web3.rewards.evm_node import EvmNode, http_node

ANVIL = Path("@foundry-rs/anvil-linux-amd64/bin/anvil")
_WATCH_S = 1.0
_LONGEST_WAIT_S = 30.0
_LOG = logging.getLogger(__name__)


class OpenedEvm:
    """The chain with the process behind it.

    Args:
        chain: The chain for the ledger.
        anvil: The child of an embedded chain, None otherwise.
        refund: Gives the signer of an embedded chain its funds, also on a chain that lost its data.
    """

    def __init__(
        self,
        chain: EvmChain,
        anvil: Anvil | None = None,
        refund: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.chain = chain
        self._again = refund
        self.anvil = anvil
        self._watch = asyncio.create_task(self._keep()) if anvil is not None else None

    @property
    def url(self) -> str:
        """Where an embedded anvil listens, for wallets on this machine; empty otherwise."""
        return self.anvil.url if self.anvil is not None else ""

    async def close(self) -> None:
        """Let the chain go; an embedded anvil writes its state and ends."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.chain.close()
        if self.anvil is not None:
            await self.anvil.stop()

    async def _refund(self) -> None:
        if self._again is not None:
            await self._again()

    async def _keep(self) -> None:
        """Start a dead anvil again, and give its signer funds, later and later while either fails."""
        assert self.anvil is not None
        wait_s, is_unfunded = _WATCH_S, False
        while True:
            await asyncio.sleep(wait_s)
            try:
                if await self.anvil.ensure():
                    is_unfunded = True
                    _LOG.warning("the embedded EVM chain had died and was started again")
                if is_unfunded:
                    await self._refund()
                    is_unfunded = False
                wait_s = _WATCH_S
            except Exception as fault:  # whatever it is, the next turn tries again: nobody else would
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                _LOG.warning(
                    "the embedded EVM chain does not start or takes no funds",
                    extra={"again_in_s": wait_s, "fault": type(fault).__name__},
                )


async def open_evm(config: Web3Config, journal: Journal, folder: Path) -> OpenedEvm:
    """Open the chain; nothing is signed before ``chain.start()``.

    Args:
        config: Settings of the sidecar.
        journal: The journal.
        folder: Folder of the embedded chain: its keys and its state.

    Raises:
        ChainRefused: The keys must not be used on this chain.
    """
    if config.evm_url:
        return _remote(config, journal, folder)
    keys = embedded_keys(folder)
    anvil = Anvil(config.node_modules / ANVIL, folder, chain_id=config.evm_chain_id)
    try:
        node = await anvil.start()
    except AnvilFailed as fault:
        _LOG.warning("no anvil: py-evm serves instead, without disk", extra={"why": str(fault)})
        return await _in_process(config, journal, keys, folder)
    await fund(node, keys.minter.address)
    settings = _settings(config, config.evm_chain_id, Anvil.mode)
    return OpenedEvm(
        _chain(node, journal, keys, settings, folder, partial(mine, node)),
        anvil,
        partial(fund, node, keys.minter.address),
    )


async def _in_process(config: Web3Config, journal: Journal, keys: EvmKeys, folder: Path) -> OpenedEvm:
    made: Any = await asyncio.to_thread(importlib.import_module, "sidecars.web3.devchain.py_evm")
    node: EvmNode = await made.py_evm(keys)
    settings = _settings(config, made.PY_EVM_CHAIN_ID, made.MODE, confirmations=0)
    return OpenedEvm(_chain(node, journal, keys, settings, folder))


def _remote(config: Web3Config, journal: Journal, folder: Path) -> OpenedEvm:
    keys = EvmKeys(
        Account.from_key(config.evm_minter_key.reveal()), Account.from_key(config.evm_voucher_key.reveal())
    )
    if (folder / "keys.json").exists():
        # Chain id 80002 is also a public test network: what a key signed for one would be valid on the other.
        made_here = embedded_keys(folder)
        if {keys.minter.address, keys.voucher.address} & {
            made_here.minter.address,
            made_here.voucher.address,
        }:
            raise ChainRefused(
                "a key of the embedded chain must not sign elsewhere; make new keys",
                reason="KEY_NOT_FOR_CHAIN",
            )
    settings = _settings(config, config.evm_chain_id, "remote")
    return OpenedEvm(
        _chain(http_node(str(config.evm_url), config.evm_chain_id), journal, keys, settings, folder)
    )


def _chain(
    node: EvmNode,
    journal: Journal,
    keys: EvmKeys,
    settings: EvmSettings,
    folder: Path,
    nudge: Callable[[], Awaitable[None]] | None = None,
) -> EvmChain:
    desk = EvmDesk(node, journal, EvmSigners(keys.minter, keys.voucher), settings)
    return EvmChain(desk, folder / "epochs", nudge)


def _settings(config: Web3Config, chain_id: int, mode: str, confirmations: int | None = None) -> EvmSettings:
    return EvmSettings(
        chain_id=chain_id,
        mode=mode,
        contract=config.evm_contract if mode == "remote" else "",
        is_mainnet_confirmed=config.mainnet,
        confirmations=config.evm_confirmations if confirmations is None else confirmations,
        max_fee_wei=config.evm_max_fee_gwei * 10**9,
    )
