"""The settings of the web3 sidecar: where it listens, its journal and keys, chains, IPFS, the outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cohortlens.core.config import Secret, Url, setting
from cohortlens.core.key_settings import key_faults
from cohortlens.core.settings import TracedConfig
from cohortlens.core.tracing_settings import tracing_faults

_CHECKOUT = Path(__file__).resolve().parents[2]
LEAST_TOKEN = 24
MAINNET_IDS = frozenset({1, 10, 56, 100, 137, 8453, 42161, 43114})
"""Numbers of EVM chains whose tokens have value: Ethereum and Polygon."""


@dataclass(frozen=True)
class Web3Config(TracedConfig):
    """What the sidecar reads. An empty URL means embedded; no secret has a default."""

    environment: str = setting(
        "ENV",
        "development",
        "what kind of installation this is",
        choices=("development", "test", "production"),
    )
    failpoint: str = setting(
        "FAILPOINT", "", "point at which a process kills itself; for fault tests, with COHORTLENS_ENV=test"
    )
    listen: str = setting("WEB3_LISTEN", "127.0.0.1:50071", "host:port on which the sidecar listens")
    token: Secret = setting(
        "WEB3_TOKEN", Secret(""), "what gateway and jobs show the sidecar, 24 characters or more"
    )
    dsn: Url = setting("WEB3_DSN", Url(""), "PostgreSQL of the role cl_web3; embedded when unset")
    data: Path | None = setting(
        "WEB3_DATA", None, "folder of embedded chains and blocks; `web3` in the data folder when unset"
    )
    kek: Secret = setting(
        "WEB3_KEK", Secret(""), "key that seals the sidecar's secrets: 32 bytes, base64; embedded makes one"
    )
    kek_previous: Secret = setting(
        "WEB3_KEK_PREVIOUS", Secret(""), "key that still opens what it sealed, while the key is being changed"
    )
    node_modules: Path = setting(
        "WEB3_NODE_MODULES",
        _CHECKOUT / "deploy" / "node" / "node_modules",
        "folder of the npm packages that set-up fetched: anvil, JSON-LD contexts",
    )
    mainnet: bool = setting(
        "WEB3_MAINNET", False, "whether chains may be used whose tokens have value, such as Polygon"
    )
    reward_chain: str = setting(
        "WEB3_REWARD_CHAIN", "evm", "chain that pays rewards of wallets on both", choices=("evm", "solana")
    )
    reward_daily: int = setting(
        "WEB3_REWARD_DAILY", 100_000, "tokens that one tenant's rewards of 24 hours may sum up to"
    )
    evm_url: Url = setting("WEB3_EVM_URL", Url(""), "JSON-RPC of an EVM chain; embedded when unset")
    evm_chain_id: int = setting("WEB3_EVM_CHAIN_ID", 80002, "number of that chain; checked before signing")
    evm_contract: str = setting(
        "WEB3_EVM_CONTRACT", "", "address of the reward token there; deployed by the embedded chain"
    )
    evm_minter_key: Secret = setting(
        "WEB3_EVM_MINTER_KEY", Secret(""), "private key that mints, 32 bytes in hex; embedded makes one"
    )
    evm_voucher_key: Secret = setting(
        "WEB3_EVM_VOUCHER_KEY", Secret(""), "private key that signs vouchers, another one than the minter's"
    )
    evm_confirmations: int | None = setting(
        "WEB3_EVM_CONFIRMATIONS", None, "blocks after which a block is final; what the chain says when unset"
    )
    evm_max_fee_gwei: int = setting("WEB3_EVM_MAX_FEE_GWEI", 1000, "most that a unit of gas may cost")
    solana_url: Url = setting("WEB3_SOLANA_URL", Url(""), "JSON-RPC of Solana; embedded when unset")
    solana_genesis: str = setting("WEB3_SOLANA_GENESIS", "", "genesis hash there; checked before signing")
    solana_mint: str = setting("WEB3_SOLANA_MINT", "", "address of the reward token's mint account there")
    solana_key: Secret = setting(
        "WEB3_SOLANA_KEY", Secret(""), "private key of its authority, 64 bytes in base58; embedded makes one"
    )
    ipfs_backends: str = setting(
        "WEB3_IPFS_BACKENDS",
        "embedded",
        "where content is pinned besides the own store, separated by commas: kubo, pinning-service, pinata",
    )
    ipfs_url: Url = setting("WEB3_IPFS_URL", Url(""), "RPC of a Kubo node, Infura's too")
    ipfs_auth: Secret = setting("WEB3_IPFS_AUTH", Secret(""), "id:secret of HTTP Basic for that node")
    ipfs_service_url: Url = setting(
        "WEB3_IPFS_SERVICE_URL", Url(""), "address of a service that speaks the Pinning Service API"
    )
    ipfs_service_token: Secret = setting("WEB3_IPFS_SERVICE_TOKEN", Secret(""), "bearer token for it")
    ipfs_pinata_url: Url = setting("WEB3_IPFS_PINATA_URL", Url(""), "address of Pinata; its own when unset")
    ipfs_pinata_token: Secret = setting("WEB3_IPFS_PINATA_TOKEN", Secret(""), "JWT for Pinata")
    did_web_host: str = setting(
        "WEB3_DID_WEB_HOST", "", "host of did:web issuers; issuers are did:key when unset"
    )
    did_web_allow: str = setting(
        "WEB3_DID_WEB_ALLOW", "", "hosts of did:web that are resolved, separated by commas; none"
    )
    status_allow: str = setting(
        "WEB3_STATUS_ALLOW", "", "hosts whose status lists are fetched, separated by commas; none"
    )
    public_url: Url = setting(
        "PUBLIC_URL",
        Url(""),
        "where people reach this installation, for links; `cohortlens up` sets this machine when unset",
    )

    @property
    def folder(self) -> Path:
        """Folder of the embedded parts, absolute."""
        return (self.data or self.data_dir / "web3").absolute()

    @property
    def daily_micro(self) -> int:
        """Micro-tokens that one tenant's rewards of 24 hours may sum up to."""
        return self.reward_daily * 1_000_000

    @property
    def did_web_hosts(self) -> frozenset[str]:
        """Hosts of other parties' did:web that may be resolved."""
        return frozenset(names(self.did_web_allow))

    @property
    def status_hosts(self) -> frozenset[str]:
        """Hosts of other parties' status lists that may be fetched."""
        return frozenset(names(self.status_allow))

    def faults(self) -> list[str]:
        """What cannot work, one sentence each; empty when all is well."""
        found = self._frame_faults() + self._chain_faults()
        found += tracing_faults(self.otlp_endpoint, self.otlp_ratio)
        if self.failpoint and self.environment != "test":
            found.append("COHORTLENS_FAILPOINT is for fault tests: it needs COHORTLENS_ENV=test")
        return found

    def _frame_faults(self) -> list[str]:
        found = []
        host, colon, port = self.listen.rpartition(":")
        if not (host and colon and port.isdigit() and int(port) < 2**16):
            found.append(f"COHORTLENS_WEB3_LISTEN={self.listen}: expected host:port, such as 127.0.0.1:50071")
        if len(self.token.reveal()) < LEAST_TOKEN:
            found.append(f"COHORTLENS_WEB3_TOKEN=****: expected {LEAST_TOKEN} characters or more")
        if not self.dsn:
            found.append("COHORTLENS_WEB3_DSN='': expected the address of PostgreSQL as the role cl_web3")
        if not self.kek:
            found.append("COHORTLENS_WEB3_KEK is not set; take one from: openssl rand -base64 32")
        keys = key_faults(
            self.kek.reveal(),
            self.kek_previous.reveal(),
            is_production=bool(self.kek) and self.environment == "production",
        )
        found += self._address_faults()
        return found + [fault.replace("COHORTLENS_KEK", "COHORTLENS_WEB3_KEK") for fault in keys]

    def _address_faults(self) -> list[str]:
        """Credentials name the address of their status list, so a start without one is refused."""
        if self.did_web_host:
            return []
        if not self.public_url:
            return [
                "COHORTLENS_PUBLIC_URL is not set: credentials name the address of their status list; give "
                "the address of this installation, or COHORTLENS_WEB3_DID_WEB_HOST"
            ]
        parts = urlsplit(self.public_url)
        schemes = {"https"} if self.environment == "production" else {"http", "https"}
        if parts.scheme in schemes and parts.hostname and not parts.query and not parts.fragment:
            return []
        return [
            f"COHORTLENS_PUBLIC_URL={self.public_url}: expected an address such as https://app.example.org"
        ]

    def _chain_faults(self) -> list[str]:
        found = []
        if self.evm_chain_id in MAINNET_IDS and not self.mainnet:
            found.append(
                f"COHORTLENS_WEB3_EVM_CHAIN_ID={self.evm_chain_id}: CHAIN_MAINNET_NOT_CONFIRMED: tokens "
                "there have value; set COHORTLENS_WEB3_MAINNET=yes if that is meant"
            )
        minter, voucher = self.evm_minter_key.reveal(), self.evm_voucher_key.reveal()
        if self.evm_url:
            found += _missing(
                "COHORTLENS_WEB3_EVM_URL",
                {"EVM_CONTRACT": self.evm_contract, "EVM_MINTER_KEY": minter, "EVM_VOUCHER_KEY": voucher},
            )
        if minter and minter.lower().removeprefix("0x") == voucher.lower().removeprefix("0x"):
            found.append(
                "COHORTLENS_WEB3_EVM_VOUCHER_KEY=****: SIGNER_ROLES_SHARED: it must differ from the minter's"
            )
        if self.solana_url:
            found += _missing(
                "COHORTLENS_WEB3_SOLANA_URL",
                {
                    "SOLANA_GENESIS": self.solana_genesis,
                    "SOLANA_MINT": self.solana_mint,
                    "SOLANA_KEY": self.solana_key.reveal(),
                },
            )
        for name, value in (
            ("REWARD_DAILY", self.reward_daily),
            ("EVM_CONFIRMATIONS", self.evm_confirmations),
            ("EVM_MAX_FEE_GWEI", self.evm_max_fee_gwei),
        ):
            if value is not None and value < 1:
                found.append(f"COHORTLENS_WEB3_{name}={value}: expected 1 or more")
        return found


def names(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _missing(because: str, values: dict[str, str]) -> list[str]:
    return [
        f"COHORTLENS_WEB3_{name} is not set; {because} needs it"
        for name, value in values.items()
        if not value
    ]
