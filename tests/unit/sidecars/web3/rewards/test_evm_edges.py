"""The edges of the EVM: the committed artifact, addresses, wallets' proofs, keys, and what nodes say."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError
from eth_account import Account
from eth_account.messages import encode_defunct
from web3 import AsyncHTTPProvider, AsyncWeb3

from sidecars.web3.rewards.chain import (
    ChainRefused,
    ChainUnavailable,
    Mint,
    WalletAddressInvalid,
    WalletProofInvalid,
)
from sidecars.web3.rewards.evm import EvmChain
from sidecars.web3.rewards.evm_desk import EvmDesk, EvmSettings
from sidecars.web3.rewards.evm_keys import EvmSigners, check_keys
from sidecars.web3.rewards.evm_node import EvmNode, Reverted, SendOutcome
from sidecars.web3.rewards.token import RewardToken

WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.fixture
def chain():
    """A chain that was never reached."""
    signers = EvmSigners(Account.create(), Account.create())
    desk = EvmDesk(_node("never"), None, signers, EvmSettings(80002, "embedded-anvil"))
    return EvmChain(desk, Path("unused"))


def _node(said, clock=lambda: 0.0, **more):
    """A node that refuses every request with a text, or is away."""

    class Provider(AsyncHTTPProvider):
        asked = 0

        async def make_request(self, method, params):
            Provider.asked += 1
            if said == "away":
                raise ClientConnectionError
            return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": said} | more}

    node = EvmNode(AsyncWeb3(Provider("http://127.0.0.1:9", exception_retry_configuration=None)), clock)
    node.provider = Provider
    return node


def test_the_artifact_was_compiled_from_the_source_beside_it():
    folder = files("sidecars.web3.rewards.contracts")
    artifact = RewardToken().artifact

    assert (
        artifact["sourceSha256"]
        == hashlib.sha256(folder.joinpath("RewardToken.sol").read_bytes()).hexdigest()
    )
    assert artifact["settings"] == {"optimizer": {"enabled": True, "runs": 10000}, "evmVersion": "cancun"}
    assert len(artifact["runtime"]) // 2 < 24_576


def test_deployed_code_may_differ_in_what_the_constructor_put_in_and_nowhere_else():
    token = RewardToken()
    runtime = bytes.fromhex(token.artifact["runtime"])
    filled, other = bytearray(runtime), bytearray(runtime)
    filled[token.artifact["immutables"][0]["start"]] ^= 0xFF
    other[0] ^= 0xFF

    assert token.is_deployed_code(bytes(filled))
    assert not token.is_deployed_code(bytes(other))
    assert not token.is_deployed_code(runtime[:-1])
    assert not token.is_deployed_code(b"")


def test_one_reward_is_minted_alone_and_several_as_a_batch():
    token, mint = RewardToken(), Mint(b"\x01" * 32, WALLET, 7)

    assert token.mint([mint])[:10] == token.call("mintReward", mint.reward_id, mint.to, 7)[:10]
    assert token.mint([mint, mint])[:10] == token.call("mintRewardBatch", [], [], [])[:10]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("b196a44a" + "00" * 32, "ALREADY_SETTLED"),
        ("d93c0665", "TOKEN_PAUSED"),
        ("162dc4ce" + "00" * 32, "REWARD_LIMIT_EXCEEDED"),
        ("12345678", "REVERTED"),
        ("", "REVERTED"),
    ],
)
def test_errors_of_the_contract_are_known_by_their_selector(error, reason):
    assert RewardToken().reason("0x" + error) == reason


@pytest.mark.parametrize(
    ("given", "spelled"),
    [(WALLET, WALLET), (MIXED, MIXED), (MIXED.lower(), MIXED), ("0x" + MIXED[2:].upper(), MIXED)],
)
def test_an_address_is_spelled_with_its_checksum(chain, given, spelled):
    assert chain.canonical(given) == spelled


@pytest.mark.parametrize(
    "given", ["", "0x", MIXED[2:], MIXED[:-1], MIXED.replace("5aAeb", "5AAeb"), "0x" + "0" * 40, MIXED + "\n"]
)
def test_a_mistyped_or_useless_address_is_refused_by_field(chain, given):
    with pytest.raises(WalletAddressInvalid) as refused:
        chain.canonical(given)

    assert refused.value.violations[0].field == "address"


def test_a_wallet_proves_itself_by_its_own_signature_only(chain):
    holder, other = Account.create(), Account.create()
    signature = holder.sign_message(encode_defunct(text="sign in")).signature

    assert chain.verify_wallet(holder.address.lower(), "sign in", signature) == holder.address
    for address, message, given in (
        (other.address, "sign in", signature),
        (holder.address, "sign in ", signature),
        (holder.address, "sign in", signature[:-1]),
        (holder.address, "sign in", b"\xff" * 65),
    ):
        with pytest.raises(WalletProofInvalid):
            chain.verify_wallet(address, message, given)


def test_keys_that_everybody_knows_and_shared_roles_are_refused():
    junk = Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    own = Account.create()

    with pytest.raises(ChainRefused) as known:
        check_keys(EvmSigners(junk, own), is_remote=False)
    with pytest.raises(ChainRefused) as shared:
        check_keys(EvmSigners(own, own), is_remote=True)
    check_keys(EvmSigners(own, Account.create()), is_remote=True)

    assert (known.value.reason, shared.value.reason) == ("KEY_WELL_KNOWN", "SIGNER_ROLES_SHARED")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("already known", SendOutcome.KNOWN),
        ("transaction already imported", SendOutcome.KNOWN),
        ("nonce too low: next nonce 5, tx nonce 4", SendOutcome.NONCE_TOO_LOW),
        ("replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("max fee per gas less than block base fee: address 0x, maxFeePerGas: 1", SendOutcome.UNDERPRICED),
        ("insufficient funds for gas * price + value", SendOutcome.NO_FUNDS),
        ("intrinsic gas too low", SendOutcome.REFUSED),
    ],
)
async def test_what_nodes_say_to_a_transaction_is_understood(said, outcome):
    assert await _node(said).send(b"\x02") is outcome


async def test_a_node_that_is_away_is_left_alone_for_ten_seconds_after_three_failures():
    now = [0.0]
    node = _node("away", lambda: now[0])

    for _ in range(5):
        with pytest.raises(ChainUnavailable):
            await node.chain_id()
    assert node.provider.asked == 3
    now[0] = 10.0
    with pytest.raises(ChainUnavailable):
        await node.chain_id()
    assert node.provider.asked == 4


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("request limit exceeded", {}),
        ("request limit exceeded", {"data": None}),
        ("request limit exceeded", {"data": {"rate": 1}}),
        ("header not found", {}),
    ],
)
async def test_a_node_that_cannot_simulate_says_nothing_of_the_contract(said, more):
    node = _node(said, **more)
    with pytest.raises(ChainUnavailable):
        await node.call(WALLET, "0x")
    with pytest.raises(ChainUnavailable):
        await node.gas(WALLET, WALLET, "0x")


@pytest.mark.parametrize(
    ("said", "more", "data"),
    [
        ("execution reverted", {}, ""),
        ("execution reverted", {"code": 3, "data": "0x"}, "0x"),
        ("custom error", {"code": 3, "data": "0x12345678"}, "0x12345678"),
        ("VM Exception while processing transaction: revert", {}, ""),
        ("VM execution error.", {"code": -32015, "data": "Reverted 0x12345678"}, "0x12345678"),
    ],
)
async def test_a_revert_is_what_the_contract_said(said, more, data):
    node = _node(said, **more)
    with pytest.raises(Reverted) as called:
        await node.call(WALLET, "0x")
    with pytest.raises(Reverted) as estimated:
        await node.gas(WALLET, WALLET, "0x")
    if data.startswith("0x1"):
        assert called.value.data == estimated.value.data == data
