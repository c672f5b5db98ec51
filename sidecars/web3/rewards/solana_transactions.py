"""The transactions that pay out rewards on Solana, and what can be told of them without a network.

One reward is one transaction: a marker account whose address follows from the reward, the holder's token
account, the mint, and a memo with the reward's identifier. The marker can be made once only, so the chain
itself refuses a second mint for the same reward, also after this side's database was restored from a backup.
"""

from __future__ import annotations

from dataclasses import dataclass

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM_ID
from solders.system_program import CreateAccountWithSeedParams, create_account_with_seed
from solders.transaction import VersionedTransaction
from spl.memo.constants import MEMO_PROGRAM_ID
from spl.memo.instructions import create_memo
from spl.memo.models import MemoParams
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    get_associated_token_address,
    initialize_mint2,
    mint_to_checked,
)
from spl.token.models import InitializeMint2Params, MintToCheckedParams

from sidecars.web3.rewards.chain import DECIMALS, Mint, WalletAddressInvalid, WalletProofInvalid

MARKER_RENT_LAMPORTS = 890_880
"""Rent of an account of 0 bytes: 128 bytes of overhead at 3,480 lamports a byte and year, two years."""
MINT_BYTES = 82
MINT_SEED = "cohortlens-reward"
SIGNATURE_BYTES = 64
_SEED_DIGITS = 32
_COIN = slice(0, 4)
_AUTHORITY = slice(4, 36)
_SUPPLY = slice(36, 44)
_DECIMALS_AT, _INITIALISED_AT = 44, 45
_FREEZE = slice(46, 50)


@dataclass(frozen=True)
class MintAccount:
    """A token's mint as its account says.

    Attributes:
        authority: Who may mint; None when nobody may.
        supply: Smallest units in circulation.
        decimals: Digits behind the point.
        has_freeze_authority: Whether somebody may freeze holders' accounts.
    """

    authority: Pubkey | None
    supply: int
    decimals: int
    has_freeze_authority: bool


def parse_mint(data: bytes) -> MintAccount | None:
    """Read a mint's 82 bytes; None when they are none.

    Source:
        SPL Token program, ``state.rs``: Mint.
    """
    if len(data) != MINT_BYTES or data[_INITIALISED_AT] != 1:
        return None
    authority = Pubkey(data[_AUTHORITY]) if data[_COIN] == b"\x01\0\0\0" else None
    supply = int.from_bytes(data[_SUPPLY], "little")
    return MintAccount(authority, supply, data[_DECIMALS_AT], data[_FREEZE] != b"\0\0\0\0")


def marker_of(authority: Pubkey, reward_id: bytes) -> Pubkey:
    """Address of the marker account of a reward: the authority's, with half of the identifier as its seed."""
    return Pubkey.create_with_seed(authority, _seed(reward_id), SYSTEM_PROGRAM_ID)


def mint_of(authority: Pubkey) -> Pubkey:
    """Address of the token that an embedded chain's authority makes."""
    return Pubkey.create_with_seed(authority, MINT_SEED, TOKEN_PROGRAM_ID)


def deploy_mint(authority: Keypair, rent_lamports: int, blockhash: Hash) -> VersionedTransaction:
    """The transaction that makes the token, 6 decimals, without a freeze authority.

    Args:
        authority: Pays, and may mint.
        rent_lamports: Rent of the mint's account.
        blockhash: A recent one.
    """
    key, mint = authority.pubkey(), mint_of(authority.pubkey())
    make = CreateAccountWithSeedParams(
        from_pubkey=key,
        to_pubkey=mint,
        base=key,
        seed=MINT_SEED,
        lamports=rent_lamports,
        space=MINT_BYTES,
        owner=TOKEN_PROGRAM_ID,
    )
    begin = InitializeMint2Params(
        decimals=DECIMALS, program_id=TOKEN_PROGRAM_ID, mint=mint, mint_authority=key
    )
    return _signed(authority, [create_account_with_seed(make), initialize_mint2(begin)], blockhash)


def mint_reward(authority: Keypair, token: Pubkey, mint: Mint, blockhash: Hash) -> VersionedTransaction:
    """The transaction that pays one reward out.

    Args:
        authority: Pays for it, and may mint the token.
        token: The token's mint.
        mint: The reward; ``to`` is the holder's own address, not that of a token account.
        blockhash: A recent one.

    Returns:
        The signed transaction. Its parts succeed together or not at all.
    """
    key, holder = authority.pubkey(), Pubkey.from_string(mint.to)
    marker = CreateAccountWithSeedParams(
        from_pubkey=key,
        to_pubkey=marker_of(key, mint.reward_id),
        base=key,
        seed=_seed(mint.reward_id),
        lamports=MARKER_RENT_LAMPORTS,
        space=0,
        owner=SYSTEM_PROGRAM_ID,
    )
    pay = MintToCheckedParams(
        program_id=TOKEN_PROGRAM_ID,
        mint=token,
        dest=get_associated_token_address(holder, token),
        mint_authority=key,
        amount=mint.amount_micro,
        decimals=DECIMALS,
    )
    memo = MemoParams(program_id=MEMO_PROGRAM_ID, signer=key, message=mint.reward_id.hex().encode())
    instructions = [
        create_account_with_seed(marker),
        create_idempotent_associated_token_account(key, holder, token),
        mint_to_checked(pay),
        create_memo(memo),
    ]
    return _signed(authority, instructions, blockhash)


def token_account_of(holder: str, token: Pubkey) -> Pubkey:
    """Address of the holder's associated token account."""
    return get_associated_token_address(Pubkey.from_string(holder), token)


def paid_by(raw: bytes, token: Pubkey) -> tuple[Pubkey, int] | None:
    """Token account and amount of the mint in a transaction, or None.

    Args:
        raw: Bytes of a transaction.
        token: The token's mint.
    """
    message = VersionedTransaction.from_bytes(raw).message
    keys = message.account_keys
    for instruction in message.instructions:
        # MintToChecked: 14, amount as u64, decimals; accounts mint, destination, authority.
        data, accounts = bytes(instruction.data), bytes(instruction.accounts)
        is_token = keys[instruction.program_id_index] == TOKEN_PROGRAM_ID
        if max(accounts[:2], default=len(keys)) >= len(keys):
            continue  # accounts from a lookup table: not a transaction of ours
        if is_token and len(data) == 10 and data[0] == 14 and keys[accounts[0]] == token:
            return keys[accounts[1]], int.from_bytes(data[1:9], "little")
    return None


def canonical_address(address: str, refused: frozenset[Pubkey]) -> str:
    """Spell an address in base58.

    Args:
        address: What somebody typed.
        refused: Addresses that must not hold rewards: the token, its authority.

    Raises:
        WalletAddressInvalid: It is no address of a key pair, or one of ``refused``.
    """
    try:
        key = Pubkey.from_string(address)
    except ValueError:
        raise WalletAddressInvalid(
            "The address is not one of Solana: 32 bytes in base58 are expected."
        ) from None
    if key in refused or key == Pubkey.default() or not key.is_on_curve():
        # Off the curve are addresses of programs and token accounts: nobody could sign for them.
        raise WalletAddressInvalid("Nobody holds the key of this address; give the address of a wallet.")
    return str(key)


def verify_message(address: str, message: str, signature: bytes) -> None:
    """Check that the key of ``address`` signed the UTF-8 bytes of ``message``.

    Raises:
        WalletProofInvalid: The signature has another length, or is not by this key over this text.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise WalletProofInvalid(f"The signature must have {SIGNATURE_BYTES} bytes.")
    if not Signature(signature).verify(Pubkey.from_string(address), message.encode()):
        raise WalletProofInvalid("The signature is not by this address over this message.")


def _seed(reward_id: bytes) -> str:
    return reward_id.hex()[:_SEED_DIGITS]


def _signed(signer: Keypair, instructions: list[Instruction], blockhash: Hash) -> VersionedTransaction:
    message = MessageV0.try_compile(signer.pubkey(), instructions, [], blockhash)
    return VersionedTransaction(message, [signer])
