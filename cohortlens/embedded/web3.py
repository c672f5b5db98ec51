"""How the stack runs the web3 sidecar: its settings, who may see which, and its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cohortlens.core.config import Secret
from cohortlens.embedded.secrets import load_or_create

WEB3 = "web3"
CONNECTIONS = 6
"""Connections to PostgreSQL that the sidecar keeps at most: its journal's ``POOL_SIZE``."""

_SECRET = (
    "DSN",
    "KEK",
    "KEK_PREVIOUS",
    "EVM_URL",
    "EVM_MINTER_KEY",
    "EVM_VOUCHER_KEY",
    "SOLANA_URL",
    "SOLANA_KEY",
    "IPFS_URL",
    "IPFS_AUTH",
    "IPFS_SERVICE_URL",
    "IPFS_SERVICE_TOKEN",
    "IPFS_PINATA_URL",
    "IPFS_PINATA_TOKEN",
)
_PLAIN = (
    "LISTEN",
    "DATA",
    "NODE_MODULES",
    "MAINNET",
    "REWARD_CHAIN",
    "REWARD_DAILY",
    "EVM_CHAIN_ID",
    "EVM_CONTRACT",
    "EVM_CONFIRMATIONS",
    "EVM_MAX_FEE_GWEI",
    "SOLANA_GENESIS",
    "SOLANA_MINT",
    "IPFS_BACKENDS",
    "DID_WEB_HOST",
    "DID_WEB_ALLOW",
    "STATUS_ALLOW",
)
OF_THE_SIDECAR = tuple(f"WEB3_{name}" for name in _SECRET)
"""Settings that no other process may see: keys, and addresses that may hold passwords."""

SETTINGS = OF_THE_SIDECAR + tuple(f"WEB3_{name}" for name in _PLAIN)
"""Settings that only the sidecar reads, without the common prefix."""


def web3_values(
    folder: Path, environ: Mapping[str, str], port: int, dsn: str, token: Secret
) -> dict[str, str]:
    """The sidecar's settings, and its address and token for gateway and jobs, without prefix.

    Args:
        folder: The data folder, whose secrets are used where none is given.
        environ: Environment of the stack.
        port: Port on loopback.
        dsn: PostgreSQL as the role of the sidecar.
        token: As given; the folder's own when empty.
    """
    made = load_or_create(folder)
    values = {
        "WEB3_LISTEN": f"127.0.0.1:{port}",
        "WEB3_ADDRESS": f"127.0.0.1:{port}",
        "WEB3_TOKEN": token.reveal() or made.web3_token.reveal(),
        "WEB3_DSN": dsn,
    }
    given = {"COHORTLENS_WEB3_KEK", "COHORTLENS_WEB3_KEK_FILE"} & set(environ)
    return values if given else {**values, "WEB3_KEK": made.web3_kek.reveal()}
