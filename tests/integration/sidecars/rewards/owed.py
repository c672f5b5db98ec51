"""Rewards as the ledger stores them, for the tests of chains."""

from __future__ import annotations

import hashlib
from uuid import UUID

from sidecars.web3.rewards.chain import Mint
from tests.fixtures.waiting import eventually

TENANT = UUID("01890000-0000-7000-8000-000000000001")
_TO = "0x" + "{:040x}"


def mints(count, first=0, amount=1_000_000):
    """Mints to different holders."""
    from eth_utils.address import to_checksum_address

    return [
        Mint(
            hashlib.sha256(str(at).encode()).digest(),
            to_checksum_address(_TO.format(at + 10**9)),
            amount + at,
        )
        for at in range(first, first + count)
    ]


async def owe(journal, rewards, state="OWED", delivery="MINT"):
    """Store rewards as the ledger does."""
    async with journal.transaction(None) as tx:
        for row in rewards:
            await tx.execute(
                "INSERT INTO web3.reward_tx (tenant_id, reward_id, chain, recipient, amount_micro, delivery, state) "
                "VALUES ($1, $2, 'evm', $3, $4, $5, $6)",
                TENANT,
                row.reward_id,
                row.to,
                row.amount_micro,
                delivery,
                state,
            )


async def states(journal):
    """How many rewards are in which state."""
    async with journal.transaction(None) as tx:
        rows = await tx.fetch("SELECT state, count(*) AS n FROM web3.reward_tx GROUP BY state")
    return {row["state"]: row["n"] for row in rows}


async def mined(node, tx_hash):
    """The receipt of a transaction; anvil mines what it is sent, a moment after it has answered."""
    return await eventually(lambda: node.receipt(tx_hash), 30.0, "a block with the transaction")


async def until(chain, journal, wanted, polls=40):
    """Poll a chain, mining in between, until the rewards are in these states."""
    for _ in range(polls):
        await chain.poll()
        if await states(journal) == wanted:
            return
        await chain.mine()
    raise AssertionError(f"{await states(journal)} and not {wanted}")
