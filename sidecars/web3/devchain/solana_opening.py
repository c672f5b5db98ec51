"""Opens the Solana chain that the settings ask for: somebody's node by URL, else the embedded one."""

from __future__ import annotations

import json
from pathlib import Path

from solders.keypair import Keypair

from cohortlens.core.private import create_private, make_private
from sidecars.web3.config import Web3Config
from sidecars.web3.devchain.solana import SolanaDevChain
from sidecars.web3.journal.pool import Journal
from sidecars.web3.rewards.chain import ChainRefused
from sidecars.web3.rewards.solana import SolanaChain
from sidecars.web3.rewards.solana_identity import SolanaSettings

_KEYS = "keys.json"


class OpenedSolana:
    """The chain with the embedded node behind it.

    Args:
        chain: The chain for the ledger.
        node: The embedded node, None for a remote chain.
    """

    def __init__(self, chain: SolanaChain, node: SolanaDevChain | None = None) -> None:
        self.chain = chain
        self._node = node

    @property
    def url(self) -> str:
        """Where the embedded node listens, for wallets on this machine; empty otherwise."""
        return self._node.url if self._node is not None else ""

    async def close(self) -> None:
        """Let the chain go; the embedded node writes what it keeps and ends."""
        await self.chain.close()
        if self._node is not None:
            await self._node.close()


async def open_solana(config: Web3Config, journal: Journal, folder: Path) -> OpenedSolana:
    """Open the chain; nothing is signed before ``chain.start()``.

    Args:
        config: Settings of the sidecar.
        journal: The journal.
        folder: Folder of the embedded chain: its key and its ledger.

    Raises:
        ChainRefused: KEY_INVALID: the key is not 64 bytes in base58; KEY_NOT_FOR_CHAIN: it is the embedded
            chain's.
    """
    if config.solana_url:
        return _remote(config, journal, folder)
    node = SolanaDevChain(folder)
    url = await node.start()
    settings = SolanaSettings(url, embedded_key(folder), is_embedded=True)
    return OpenedSolana(SolanaChain(settings, journal), node)


def embedded_key(folder: Path) -> Keypair:
    """Read the key of a data folder, or make it: random, in a file of mode 0600."""
    make_private(folder)
    path = folder / _KEYS
    if not path.exists():
        create_private(path, json.dumps({"authority": str(Keypair())}))
    return Keypair.from_base58_string(json.loads(path.read_text(encoding="utf-8"))["authority"])


def _remote(config: Web3Config, journal: Journal, folder: Path) -> OpenedSolana:
    try:
        authority = Keypair.from_base58_string(config.solana_key.reveal())
    except ValueError:
        raise ChainRefused(
            "COHORTLENS_WEB3_SOLANA_KEY is no private key: 64 bytes in base58", reason="KEY_INVALID"
        ) from None
    if (folder / _KEYS).exists() and embedded_key(folder) == authority:
        raise ChainRefused(
            "the key of the embedded chain must not sign elsewhere; make a new key",
            reason="KEY_NOT_FOR_CHAIN",
        )
    settings = SolanaSettings(
        str(config.solana_url),
        authority,
        is_embedded=False,
        genesis=config.solana_genesis,
        mint=config.solana_mint,
        is_mainnet_confirmed=config.mainnet,
    )
    return OpenedSolana(SolanaChain(settings, journal))
