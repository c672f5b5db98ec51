"""The accounts that sign on the EVM, and which keys must not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from eth_account import Account
from eth_account.signers.local import LocalAccount

from sidecars.web3.rewards.chain import ChainRefused

_JUNK = "test test test test test test test test test test test junk"
_KNOWN = 10


@dataclass(frozen=True, slots=True)
class EvmSigners:
    """The accounts of one chain.

    Attributes:
        minter: Sends every transaction and pays for it.
        voucher: Signs vouchers; needs no funds.
    """

    minter: LocalAccount
    voucher: LocalAccount


def check_keys(signers: EvmSigners, is_remote: bool) -> None:
    """Refuse keys that must not sign.

    Args:
        signers: The accounts.
        is_remote: A chain that others see too; its roles must be separate.

    Raises:
        ChainRefused: KEY_WELL_KNOWN or SIGNER_ROLES_SHARED.
    """
    for role, account in (("minter", signers.minter), ("voucher", signers.voucher)):
        if account.address in _well_known():
            raise ChainRefused(
                f"the {role} key is a development key that everybody knows; make another one",
                reason="KEY_WELL_KNOWN",
            )
    if is_remote and signers.minter.address == signers.voucher.address:
        raise ChainRefused(
            "minter and voucher signer have the same key; give each its own", reason="SIGNER_ROLES_SHARED"
        )


@cache
def _well_known() -> frozenset[str]:
    # The accounts of anvil and Hardhat, and the small numbers that eth-tester uses.
    Account.enable_unaudited_hdwallet_features()
    derived = (Account.from_mnemonic(_JUNK, account_path=f"m/44'/60'/0'/0/{at}") for at in range(_KNOWN))
    small = (Account.from_key(number.to_bytes(32, "big")) for number in range(1, _KNOWN + 1))
    return frozenset(account.address for account in (*derived, *small))
