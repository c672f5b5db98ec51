"""Which Solana it is: its genesis, its token, and whether the journal has worked with it before."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cohortlens.core.telemetry import get_logger
from sidecars.web3.journal.chains import Instance
from sidecars.web3.journal.pool import Journal
from sidecars.web3.journal.solana import SolanaRows
from sidecars.web3.rewards import solana_transactions as made
from sidecars.web3.rewards.chain import DECIMALS, ChainRefused, ChainUnavailable
from sidecars.web3.rewards.solana_rpc import SolanaRpc

NAME = "solana"
AIRDROP_LAMPORTS = 1_000 * 10**9
"""What an embedded chain's faucet gives at once."""

MAINNET_GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
"""Of mainnet-beta; https://solana.com/docs/rpc/http/getgenesishash asks a cluster for it."""

_IDENTITY_S = 60.0
_DEPLOY_TRIES = 50
_DEPLOY_WAIT_S = 0.1
_log = get_logger(__name__)


@dataclass(frozen=True)
class SolanaSettings:
    """Which Solana is spoken to, and as whom.

    Attributes:
        url: JSON-RPC of the node.
        authority: Pays for and signs mints.
        is_embedded: The chain is this machine's own: its token is deployed here, a lost one is rebuilt.
        genesis: Hash it must have; required of a remote chain.
        mint: Its token; required of a remote chain.
        is_mainnet_confirmed: Whether the chain whose coins have a price may be used.
    """

    url: str
    authority: Keypair
    is_embedded: bool
    genesis: str = ""
    mint: str = ""
    is_mainnet_confirmed: bool = False

    @property
    def mode(self) -> str:
        """How the chain is named in its health."""
        return "embedded-litesvm" if self.is_embedded else "remote"


class SolanaIdentity:
    """Checks the chain at the start, after each lost connection and every minute.

    Args:
        settings: The chain.
        rpc: Its node.
        token: The token's mint.
        journal: Where the chain is remembered.
    """

    def __init__(self, settings: SolanaSettings, rpc: SolanaRpc, token: Pubkey, journal: Journal) -> None:
        self._settings = settings
        self._rpc = rpc
        self._token = token
        self._journal = journal
        self._checked_at = float("-inf")
        self._losses_seen = 0

    @property
    def is_due(self) -> bool:
        """Whether the chain must be asked who it is before anything is signed."""
        is_old = time.monotonic() - self._checked_at >= _IDENTITY_S
        return is_old or self._rpc.losses != self._losses_seen

    async def known(self) -> Instance:
        """Ask the chain who it is; the embedded one gets its token, and is begun anew when it lost its data.

        Raises:
            ChainRefused: CHAIN_GENESIS_MISMATCH: another chain than the settings or the journal know;
                CHAIN_MAINNET_NOT_CONFIRMED: coins have a price there; MINT_MISMATCH: another token.
            ChainUnavailable: No answer.
        """
        self._checked_at, losses = float("-inf"), self._rpc.losses
        genesis = await self._rpc.genesis_hash()
        self._check_settings(genesis)
        async with self._journal.transaction(None) as tx:
            self._check_known(await SolanaRows(tx, NAME).current(), genesis)
        if self._settings.is_embedded:
            await self._deploy()
        await self._assert_token()
        async with self._journal.transaction(None) as tx:
            instance = await self._taken(SolanaRows(tx, NAME), genesis)
        self._checked_at, self._losses_seen = time.monotonic(), losses
        return instance

    def _check_settings(self, genesis: str) -> None:
        if not self._settings.is_embedded and genesis != self._settings.genesis:
            raise ChainRefused(
                "The node is of a chain with another genesis than COHORTLENS_WEB3_SOLANA_GENESIS says.",
                reason="CHAIN_GENESIS_MISMATCH",
            )
        if genesis == MAINNET_GENESIS and not self._settings.is_mainnet_confirmed:
            raise ChainRefused(
                "This chain is a main network: set COHORTLENS_WEB3_MAINNET=yes if it is meant.",
                reason="CHAIN_MAINNET_NOT_CONFIRMED",
            )

    def _check_known(self, known: Instance | None, genesis: str) -> None:
        # Only what was this machine's own can be lost: another's rewards would be paid a second time.
        if known is None or known.genesis == genesis:
            return
        if not self._settings.is_embedded or not known.mode.startswith("embedded"):
            raise ChainRefused(
                "The journal knows this chain by another genesis; connect the right node, or use another "
                "database.",
                reason="CHAIN_GENESIS_MISMATCH",
            )

    async def _taken(self, rows: SolanaRows, genesis: str) -> Instance:
        known = await rows.current()
        self._check_known(known, genesis)
        if known is not None and known.genesis != genesis:
            owed = await rows.lose(known.genesis)
            _log.warning("the embedded Solana chain is lost and rebuilt", owed_again=owed)
            known = None
        instance = known or await rows.begin(genesis, 0, self._settings.mode)
        await rows.set_token(instance.genesis, str(self._token), 0)
        return instance

    async def _deploy(self) -> None:
        if await self._rpc.account_data(self._token) is not None:
            return
        authority = self._settings.authority
        await self._rpc.airdrop(authority.pubkey(), AIRDROP_LAMPORTS)
        recent, rent = await self._rpc.recent(), await self._rpc.rent(made.MINT_BYTES)
        await self._rpc.send(bytes(made.deploy_mint(authority, rent, recent.blockhash)))
        for _ in range(_DEPLOY_TRIES):
            if await self._rpc.account_data(self._token) is not None:
                return
            await asyncio.sleep(_DEPLOY_WAIT_S)
        raise ChainUnavailable("The embedded chain did not take the token's deployment.")

    async def _assert_token(self) -> None:
        mint = made.parse_mint(await self._rpc.account_data(self._token) or b"")
        supply = mint.supply if mint is not None else 0
        if mint != made.MintAccount(self._settings.authority.pubkey(), supply, DECIMALS, False):
            raise ChainRefused(
                "The token's mint must have 6 decimals, this signer as authority, no freeze authority.",
                reason="MINT_MISMATCH",
            )
