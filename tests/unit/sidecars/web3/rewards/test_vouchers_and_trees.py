"""Vouchers and Merkle trees against published and computed answers, and by properties."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from sidecars.web3.rewards.chain import LAWFUL_CHANGES, Mint, RewardState
from sidecars.web3.rewards.merkle import MerkleTree, leaf, root_from
from sidecars.web3.rewards.vouchers import VoucherDeadlineInvalid, sign_voucher, signable, typed_data

REWARD_ID = bytes.fromhex("02711fef518d007519a7e13ab3b27be57d49774178e4836c5dfc3574f74173e3")
CONTRACT = to_checksum_address("0x" + "33" * 20)
MINT = Mint(REWARD_ID, to_checksum_address("0x" + "22" * 20), 5_000_000)
LEAVES = st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


def test_the_digest_and_signature_of_a_voucher_are_the_known_ones():
    message = signable(typed_data(MINT, 1767225600, CONTRACT, 80002))
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    signature = Account.sign_message(message, b"\x11" * 32).signature.hex()

    assert message.header.hex() == "b2e1d0937c04ab13382e3c4d699327d53e842e54ac38f51f502917f5912c8fb9"
    assert digest.hex() == "f988b03eee5da1de160973fecf0bc692a6b9dfe926c18b6ddb2bf48fdefb659c"
    assert (signature[:8], signature[-8:]) == ("2dee774b", "c465261b")


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_voucher_that_is_past_or_lives_too_long_is_refused(ahead):
    now = datetime(2026, 1, 1, tzinfo=UTC)

    with pytest.raises(VoucherDeadlineInvalid) as refused:
        sign_voucher(MINT, int((now + ahead).timestamp()), CONTRACT, 80002, Account.create(), now)

    assert refused.value.violations[0].field == "deadline_s"


def test_leaf_and_root_of_three_rewards_are_the_known_ones():
    mints = [
        Mint(hashlib.sha256(bytes([at])).digest(), "0x" + bytes([0x40 + at] * 20).hex(), (at + 1) * 10**6)
        for at in range(3)
    ]
    leaves = [leaf(7, mint) for mint in mints]

    assert leaves[0].hex() == "16ac7b41531023d9e71179b7617d3ec6bb581d9c4fedc567c56ada08f7683b6a"
    assert MerkleTree(leaves).root.hex() == "95c8d948e26472b041c7dcb52a80ca5d1819e7279bfc0289fd11d46021fc3d0b"


@given(LEAVES)
def test_every_leaf_proves_itself_and_no_other_leaf_fits_its_proof(leaves):
    tree = MerkleTree(list(leaves))
    ordered = sorted(leaves)

    for at, own in enumerate(ordered):
        proof = tree.proof(own)
        assert root_from(own, proof) == tree.root
        if len(ordered) > 1:
            stranger = hashlib.sha256(own).digest()
            assert root_from(stranger, proof) != tree.root
            assert root_from(ordered[at - 1], proof) != tree.root or ordered[at - 1] in proof


@given(LEAVES)
def test_the_order_of_leaves_does_not_matter(leaves):
    assert MerkleTree(sorted(leaves)).root == MerkleTree(sorted(leaves, reverse=True)).root


def test_a_tree_takes_no_leaf_twice_and_is_never_empty():
    for leaves in ([], [b"\x01" * 32] * 2):
        with pytest.raises(ValueError, match="leaf"):
            MerkleTree(leaves)
    with pytest.raises(KeyError):
        MerkleTree([b"\x01" * 32]).proof(b"\x02" * 32)


def test_every_state_of_a_reward_says_where_it_leads_and_money_once_paid_is_only_paid_again_elsewhere():
    assert set(LAWFUL_CHANGES) == set(RewardState)
    assert LAWFUL_CHANGES[RewardState.CANCELLED] == {RewardState.CLAIMED}
    assert RewardState.CANCELLED not in LAWFUL_CHANGES[RewardState.SIGNED]
    assert not any(state in after for state, after in LAWFUL_CHANGES.items())
