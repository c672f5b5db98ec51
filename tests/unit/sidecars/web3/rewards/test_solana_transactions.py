"""The transactions that pay out rewards on Solana, run by the real programs."""

import hashlib

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sidecars.web3.devchain.solana_ledger import SolanaLedger, TransactionRefused
from sidecars.web3.rewards import solana_transactions as made
from sidecars.web3.rewards.chain import Mint, WalletAddressInvalid, WalletProofInvalid

REWARD = hashlib.sha256(b"a reward").digest()
# Of a fixed seed: cutting a digit off some addresses leaves another address.
HOLDER = Keypair.from_seed(bytes(range(32)))


@pytest.fixture
def authority():
    return Keypair()


@pytest.fixture
def ledger(tmp_path, authority):
    ledger = SolanaLedger(tmp_path, lambda: 1_700_000_000.0)
    ledger.airdrop(str(authority.pubkey()), 10**10)
    ledger.send(made.deploy_mint(authority, ledger.rent(made.MINT_BYTES), _recent(ledger)))
    yield ledger
    ledger.close()


def _recent(ledger):
    return Hash.from_string(ledger.blockhash(ledger.slot))


def _pay(ledger, authority, mint, slot=0):
    recent = Hash.from_string(ledger.blockhash(ledger.slot - slot))
    return made.mint_reward(authority, made.mint_of(authority.pubkey()), mint, recent)


def _supply(ledger, authority):
    return made.parse_mint(ledger.account(str(made.mint_of(authority.pubkey()))).data).supply


def test_the_token_has_six_decimals_our_authority_and_nobody_who_freezes(ledger, authority):
    account = ledger.account(str(made.mint_of(authority.pubkey())))
    assert made.parse_mint(account.data) == made.MintAccount(authority.pubkey(), 0, 6, False)


def test_a_reward_reaches_its_holder_and_leaves_its_marker_and_memo(ledger, authority):
    landed = ledger.send(_pay(ledger, authority, Mint(REWARD, str(HOLDER.pubkey()), 2_500_000)))
    token = made.mint_of(authority.pubkey())
    held = ledger.account(str(made.token_account_of(str(HOLDER.pubkey()), token)))
    assert int.from_bytes(held.data[64:72], "little") == 2_500_000
    marker = made.marker_of(authority.pubkey(), REWARD)
    assert ledger.account(str(marker)).lamports == made.MARKER_RENT_LAMPORTS == ledger.rent(0)
    assert [one.signature for one in ledger.signatures_of(str(marker))] == [landed.signature]
    assert any(REWARD.hex() in line for line in landed.logs)
    assert made.paid_by(landed.raw, token) == (
        made.token_account_of(str(HOLDER.pubkey()), token),
        2_500_000,
    )


def test_the_chain_refuses_a_second_mint_of_the_same_reward_whatever_its_body(ledger, authority):
    ledger.send(_pay(ledger, authority, Mint(REWARD, str(HOLDER.pubkey()), 2_500_000)))
    for other in (
        Mint(REWARD, str(HOLDER.pubkey()), 1),
        Mint(REWARD, str(Keypair().pubkey()), 2_500_000),
    ):
        with pytest.raises(TransactionRefused) as refused:
            ledger.send(_pay(ledger, authority, other))
        assert refused.value.error == {"InstructionError": [0, {"Custom": 0}]}
    assert _supply(ledger, authority) == 2_500_000


def test_a_second_reward_of_a_holder_needs_no_new_token_account(ledger, authority):
    ledger.send(_pay(ledger, authority, Mint(REWARD, str(HOLDER.pubkey()), 1)))
    ledger.send(_pay(ledger, authority, Mint(hashlib.sha256(b"2").digest(), str(HOLDER.pubkey()), 2)))
    assert _supply(ledger, authority) == 3


def test_an_address_is_spelt_in_base58_or_refused():
    good = str(HOLDER.pubkey())
    assert made.canonical_address(good, frozenset()) == good
    token_account = made.token_account_of(good, Pubkey.new_unique())
    for bad in ("", "0x" + "22" * 20, good[:-1], good + "1", "1" * 32, str(token_account)):
        with pytest.raises(WalletAddressInvalid):
            made.canonical_address(bad, frozenset())
    with pytest.raises(WalletAddressInvalid):
        made.canonical_address(good, frozenset({HOLDER.pubkey()}))


def test_only_the_holder_of_the_key_can_prove_the_address():
    text = "I want my rewards here. Nonce 4f1c"
    signature = bytes(HOLDER.sign_message(text.encode()))
    made.verify_message(str(HOLDER.pubkey()), text, signature)
    altered = bytes([signature[0] ^ 1]) + signature[1:]
    for address, message, given in (
        (str(HOLDER.pubkey()), text + " ", signature),
        (str(Keypair().pubkey()), text, signature),
        (str(HOLDER.pubkey()), text, altered),
        (str(HOLDER.pubkey()), text, signature[:63]),
    ):
        with pytest.raises(WalletProofInvalid):
            made.verify_message(address, message, given)
