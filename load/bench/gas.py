"""Gas of the reward token, measured on an anvil of its own: ``make bench-gas`` prints the table.

Each row is a transaction that was mined; gas is what its receipt says, the same on every machine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from cohortlens.core.clock import now
from sidecars.web3.devchain.evm import ANVIL_CHAIN_ID, Anvil, embedded_keys, fund
from sidecars.web3.rewards.chain import Mint
from sidecars.web3.rewards.merkle import leaf, root_from
from sidecars.web3.rewards.token import RewardToken
from sidecars.web3.rewards.vouchers import sign_voucher

ANVIL = Path("deploy/node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
_HASHES = 14
_LEAVES = 2**_HASHES
_FEE_WEI = 10**11


@dataclass(frozen=True, slots=True)
class Measured:
    """Gas of one transaction, how many rewards it paid, and the most it may take (0: no ceiling)."""

    what: str
    rewards: int
    gas: int
    ceiling: int


class _Bench:
    def __init__(self, node: Any, keys: Any) -> None:
        self._node = node
        self._keys = keys
        self._made = 1
        self._holders = 0
        self.token = RewardToken()
        self.contract = ""
        self.rows: list[Measured] = []

    def mints(self, count: int, *, are_new: bool) -> list[Mint]:
        """Rewards of 5 tokens each to new holders, or all to holders who have some."""
        first = self._made * 10**6
        holders = [self._holders + at if are_new else at % max(self._holders, 1) for at in range(count)]
        self._made += 1
        self._holders += count if are_new else 0
        return [
            Mint((first + at).to_bytes(32, "big"), _holder(holder), 5_000_000)
            for at, holder in enumerate(holders)
        ]

    async def send(
        self, what: str, data: str, rewards: int = 1, ceiling: int = 0, *, to: str | None = ""
    ) -> Any:
        """Send a transaction, take its gas into the table."""
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": ANVIL_CHAIN_ID,
            "nonce": await self._node.nonce(self._keys.minter.address),
            "to": self.contract if to == "" else b"",
            "value": 0,
            "data": data,
            "gas": 15_000_000,
            "maxFeePerGas": _FEE_WEI,
            "maxPriorityFeePerGas": 10**9,
        }
        signed = Account.sign_transaction(fields, self._keys.minter.key)
        await self._node.send(bytes(signed.raw_transaction))
        receipt = None
        while receipt is None:
            receipt = await self._node.receipt("0x" + bytes(signed.hash).hex())
        if receipt.is_reverted:
            raise SystemExit(f"bench-gas: {what} reverted")
        self.rows.append(Measured(what, rewards, receipt.gas_used, ceiling))
        return receipt

    async def run(self) -> None:
        """Measure every function that moves rewards."""
        minter, voucher = self._keys.minter.address, self._keys.voucher.address
        deployment = self.token.deployment(minter, minter, voucher, minter)
        made = await self.send("deploy", deployment, 0, 3_000_000, to=None)
        self.contract = made.contract
        await self.send("mintReward, first of all", self.token.mint(self.mints(1, are_new=True)))
        await self.send("mintReward, new holder", self.token.mint(self.mints(1, are_new=True)), 1, 97_000)
        await self.send("mintReward, repeat", self.token.mint(self.mints(1, are_new=False)), 1, 80_000)
        await self._batches()
        await self._claim()
        await self._epoch()
        cancelled = self.token.call("cancelReward", (1).to_bytes(32, "little"))
        await self.send("cancelReward", cancelled, 1, 60_000)

    async def _batches(self) -> None:
        fifty = self.mints(50, are_new=True)
        await self.send("batch of 50, new holders", self.token.mint(fifty), 50, 2_700_000)
        await self.send("batch of 50, repeat", self.token.mint(self.mints(50, are_new=False)), 50, 1_850_000)
        await self.send("batch of 50, all settled", self.token.mint(fifty), 50, 250_000)
        await self.send(
            "batch of 200, repeat", self.token.mint(self.mints(200, are_new=False)), 200, 8_000_000
        )

    async def _claim(self) -> None:
        (mint,) = self.mints(1, are_new=False)
        deadline_s = int(time.time()) + 3600
        made = sign_voucher(mint, deadline_s, self.contract, ANVIL_CHAIN_ID, self._keys.voucher, now())
        data = self.token.call(
            "claim", mint.to, mint.amount_micro, mint.reward_id, deadline_s, made.signature
        )
        await self.send("claim, repeat", data, 1, 85_000)

    async def _epoch(self) -> None:
        # Any 14 siblings lead from a leaf to a root, and the contract cannot tell them from a tree's own.
        (mint,) = self.mints(1, are_new=False)
        proof = [keccak(bytes([at])) for at in range(_HASHES)]
        root, total = root_from(leaf(1, mint), proof), _LEAVES * mint.amount_micro
        expires_s = int(time.time()) + 86_400
        await self.send("publishEpoch", self.token.call("publishEpoch", 1, root, total, expires_s), 0, 80_000)
        arguments = (1, mint.to, mint.amount_micro, mint.reward_id, proof)
        data = self.token.call("claimEpoch", *arguments)
        await self.send("claimEpoch, 14 hashes, repeat", data, 1, 112_000)


async def measure(anvil: Path) -> list[Measured]:
    """Start an anvil, run every function of the token once, and give the gas of each.

    Args:
        anvil: The program.

    Raises:
        AnvilFailed: It does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        child = Anvil(anvil, Path(folder))
        node = await child.start()
        try:
            keys = embedded_keys(Path(folder))
            await fund(node, keys.minter.address)
            bench = _Bench(node, keys)
            await bench.run()
        finally:
            await node.close()
            await child.stop()
        return bench.rows


def main() -> int:
    """Print the table; 1 when a row is over its ceiling."""
    rows = asyncio.run(measure(ANVIL.resolve()))
    sys.stdout.write(f"{'transaction':36} {'rewards':>8} {'gas':>10} {'per reward':>11} {'ceiling':>10}\n")
    for row in rows:
        each = f"{row.gas / row.rewards:,.0f}" if row.rewards else "-"
        limit = f"{row.ceiling:,}" if row.ceiling else "-"
        sys.stdout.write(f"{row.what:36} {row.rewards:>8} {row.gas:>10,} {each:>11} {limit:>10}\n")
    over = [row.what for row in rows if row.ceiling and row.gas > row.ceiling]
    if over:
        sys.stderr.write(f"bench-gas: over the ceiling: {', '.join(over)}\n")
    return 1 if over else 0


def _holder(at: int) -> str:
    return to_checksum_address(f"0x{at + 10**9:040x}")


if __name__ == "__main__":
    sys.exit(main())
