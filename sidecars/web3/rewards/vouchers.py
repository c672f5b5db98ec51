"""Vouchers: EIP-712 signatures with which a holder mints a reward and pays for the gas.

Source: EIP-712; the type ``Claim`` and the domain stand in ``contracts/RewardToken.sol``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount

from cohortlens.core.errors import InvalidArgument, Violation
from sidecars.web3.rewards.chain import Mint
from sidecars.web3.rewards.claims import Voucher

LONGEST = timedelta(days=7)
NAME = "CohortLens Reward"
VERSION = "1"

_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Claim": [
        {"name": "to", "type": "address"},
        {"name": "amount", "type": "uint256"},
        {"name": "rewardId", "type": "bytes32"},
        {"name": "deadline", "type": "uint256"},
    ],
}


class VoucherDeadlineInvalid(InvalidArgument):
    """The deadline is past, or further ahead than a voucher may live."""

    reason = "VOUCHER_DEADLINE_INVALID"


def typed_data(mint: Mint, deadline_s: int, contract: str, chain_id: int) -> dict[str, Any]:
    """Write the EIP-712 typed data of a claim.

    Args:
        mint: The reward.
        deadline_s: Last second, since 1970, at which the contract takes the voucher.
        contract: Address of the contract, EIP-55.
        chain_id: Number of the chain; binds the voucher to it.
    """
    return {
        "types": _TYPES,
        "primaryType": "Claim",
        "domain": {"name": NAME, "version": VERSION, "chainId": chain_id, "verifyingContract": contract},
        "message": {
            "to": mint.to,
            "amount": mint.amount_micro,
            "rewardId": "0x" + mint.reward_id.hex(),
            "deadline": deadline_s,
        },
    }


def signable(data: dict[str, Any]) -> SignableMessage:
    """Hash typed data to what is signed: version, domain separator and hash of the message."""
    return encode_typed_data(full_message=data)


def sign_voucher(
    mint: Mint, deadline_s: int, contract: str, chain_id: int, signer: LocalAccount, now: datetime
) -> Voucher:
    """Sign a voucher for a reward.

    Args:
        mint: The reward.
        deadline_s: Last second, since 1970, at which the contract takes it; ahead of now by at most 7 days.
        contract: Address of the contract, EIP-55.
        chain_id: Number of the chain.
        signer: Account with the contract's voucher role.
        now: The present, UTC.

    Raises:
        VoucherDeadlineInvalid: See ``deadline_s``.
    """
    if not now.timestamp() < deadline_s <= (now + LONGEST).timestamp():
        said = "must lie in the future, at most 7 days ahead; ask again with such a deadline"
        raise VoucherDeadlineInvalid(f"deadline_s {said}", violations=(Violation("deadline_s", said),))
    data = typed_data(mint, deadline_s, contract, chain_id)
    signed = Account.sign_message(signable(data), signer.key)
    return Voucher(orjson.dumps(data), bytes(signed.signature), contract, chain_id)
