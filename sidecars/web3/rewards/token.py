"""The reward token as bytes: calldata, decoded events and errors, and the check of deployed code.

Reads the committed artifact, so no compiler is needed. No network: ``evm_node.py`` asks, this module reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from sidecars.web3.rewards.chain import MICRO_PER_TOKEN, Mint

SUPPLY_CAP_MICRO = 1_000_000_000 * MICRO_PER_TOKEN
DAILY_CAP_MICRO = 1_000_000 * MICRO_PER_TOKEN
MAX_BATCH = 200
MINTER_ROLE = keccak(text="MINTER_ROLE")
EPOCH_ROLE = keccak(text="EPOCH_ROLE")
VOUCHER_ROLE = keccak(text="VOUCHER_ROLE")

# Names of the contract's errors and the reasons they mean here; what stands in neither is REVERTED.
_REASONS = {
    "AlreadySettled": "ALREADY_SETTLED",
    "AmountInvalid": "REWARD_AMOUNT_INVALID",
    "DailyCapExceeded": "REWARD_LIMIT_EXCEEDED",
    "ERC20ExceededCap": "REWARD_LIMIT_EXCEEDED",
    "EnforcedPause": "TOKEN_PAUSED",
    "AccessControlUnauthorizedAccount": "CONTRACT_MISMATCH",
    "ERC20InvalidReceiver": "WALLET_ADDRESS_INVALID",
    "VoucherExpired": "VOUCHER_DEADLINE_INVALID",
    "VoucherSignerInvalid": "CONTRACT_MISMATCH",
    "EpochInvalid": "REWARD_NOT_CLAIMABLE",
    "ProofInvalid": "REWARD_NOT_CLAIMABLE",
}
REVERTED = "REVERTED"


@dataclass(frozen=True, slots=True)
class Minted:
    """A ``RewardMinted`` event.

    Attributes:
        reward_id: The reward, 32 bytes.
        to: Who got it, EIP-55.
        amount_micro: Micro-tokens.
        tx_hash: Transaction, ``0x`` and 64 hex digits.
        block_height: Block that holds it.
        block_hash: Hash of that block, ``0x`` and 64 hex digits.
    """

    reward_id: bytes
    to: str
    amount_micro: int
    tx_hash: str
    block_height: int
    block_hash: str


class RewardToken:
    """Calldata and events of ``RewardToken.sol``, read from the artifact beside it."""

    @cached_property
    def artifact(self) -> dict[str, Any]:
        """The committed artifact: source hash, compiler, settings, ABI, bytecode, runtime."""
        text = files("sidecars.web3.rewards.contracts").joinpath("artifact.json").read_text("utf-8")
        artifact: dict[str, Any] = json.loads(text)
        return artifact

    @cached_property
    def _entries(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(row["type"], row.get("name", "")): row for row in self.artifact["abi"]}

    @cached_property
    def _errors(self) -> dict[str, str]:
        rows = (row for row in self.artifact["abi"] if row["type"] == "error")
        return {function_abi_to_4byte_selector(row).hex(): str(row["name"]) for row in rows}

    def topic(self, event: str) -> str:
        """The first topic of an event's log, ``0x`` and 64 hex digits."""
        return "0x" + event_abi_to_log_topic(self._entries["event", event]).hex()  # type: ignore[arg-type]

    def call(self, function: str, *arguments: Any) -> str:
        """Write the calldata of a function, ``0x`` and hex digits."""
        row = self._entries["function", function]
        types = [part["type"] for part in row["inputs"]]
        return "0x" + (function_abi_to_4byte_selector(row) + encode(types, arguments)).hex()  # type: ignore[arg-type]

    def deployment(self, admin: str, minter: str, voucher_signer: str, pauser: str) -> str:
        """Write the data of the transaction that makes the contract, ``0x`` and hex digits."""
        types = [part["type"] for part in self._entries["constructor", ""]["inputs"]]
        caps = (SUPPLY_CAP_MICRO, DAILY_CAP_MICRO)
        values = encode(types, [admin, minter, voucher_signer, pauser, *caps]).hex()
        return f"0x{self.artifact['bytecode']}{values}"

    def mint(self, mints: Sequence[Mint]) -> str:
        """Write the calldata that mints rewards: one alone, or up to 200 as a batch."""
        if len(mints) == 1:
            return self.call("mintReward", mints[0].reward_id, mints[0].to, mints[0].amount_micro)
        columns = (
            [row.reward_id for row in mints],
            [row.to for row in mints],
            [row.amount_micro for row in mints],
        )
        return self.call("mintRewardBatch", *columns)

    def minted(self, log: Mapping[str, Any]) -> Minted:
        """Read a ``RewardMinted`` log as web3.py gives it."""
        return Minted(
            reward_id=bytes(log["topics"][1]),
            to=to_checksum_address(bytes(log["topics"][2])[-20:]),
            amount_micro=int.from_bytes(log["data"], "big"),
            tx_hash="0x" + bytes(log["transactionHash"]).hex(),
            block_height=int(log["blockNumber"]),
            block_hash="0x" + bytes(log["blockHash"]).hex(),
        )

    def reason(self, revert_data: str) -> str:
        """Turn the data of a revert into a reason by its selector; ``REVERTED`` for all others."""
        name = self._errors.get(revert_data.removeprefix("0x")[:8], "")
        return _REASONS.get(name, REVERTED)

    def is_deployed_code(self, code: bytes) -> bool:
        """Tell whether deployed code is the artifact's, apart from the values that the constructor put in."""
        mine, theirs = bytearray.fromhex(self.artifact["runtime"]), bytearray(code)
        if len(mine) != len(theirs):
            return False
        for spot in self.artifact["immutables"]:
            stretch = slice(spot["start"], spot["start"] + spot["length"])
            mine[stretch] = theirs[stretch] = bytes(spot["length"])
        return mine == theirs
