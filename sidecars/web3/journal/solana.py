"""SQL of rewards on Solana beyond what every chain has: one reward a transaction, valid up to a height."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.journal.chains import ChainRows, NewTx

_OPEN = """
SELECT t.tx_id, t.tx_hash, t.raw, t.state, t.last_valid_height, r.reward_id, r.recipient, r.amount_micro
  FROM web3.chain_tx t JOIN web3.reward_tx r ON r.tx_id = t.tx_id
 WHERE t.chain = 'solana' AND t.genesis = $1 AND t.state IN ('SIGNED', 'SENT', 'MINED') ORDER BY t.nonce
"""


@dataclass(frozen=True, slots=True)
class OpenMint:
    """A transaction that is not final, and the reward it pays.

    Attributes:
        tx_id: Its row.
        tx_hash: Its signature, base58.
        raw: Its bytes; None for one that was found on the chain.
        state: SIGNED, SENT or MINED.
        last_valid_height: Block height after which it cannot land any more; None as ``raw``.
        reward_id: The reward.
        recipient: Address of the holder.
        amount_micro: Micro-tokens.
    """

    tx_id: UUID
    tx_hash: str
    raw: bytes | None
    state: str
    last_valid_height: int | None
    reward_id: bytes
    recipient: str
    amount_micro: int


class SolanaRows(ChainRows):
    """Rows of the Solana chain in one transaction of the journal."""

    async def sign(
        self,
        genesis: str,
        signer: str,
        reward_id: bytes,
        signature: str,
        raw: bytes,
        last_valid_height: int,
    ) -> RewardRow | None:
        """Store a signed mint before it is sent; None when the reward is no longer owed, or another's now."""
        known = await self.lock_signer(genesis, signer, 0)
        if not await self.waiting([reward_id], 0, 1):
            return None
        tx_id = await self.insert_tx(genesis, NewTx(signer, known.next_nonce, 1, "MINT", signature, raw))
        await self._tx.execute(
            "UPDATE web3.chain_tx SET last_valid_height = $2 WHERE tx_id = $1", tx_id, last_valid_height
        )
        await self.set_signer(genesis, signer, known.next_nonce + 1, known.halted_reason)
        return (await self.signed_rewards([reward_id], tx_id))[0]

    async def adopt(
        self, genesis: str, signer: str, reward_id: bytes, signature: str, slot: int
    ) -> RewardRow | None:
        """Take a transaction that the chain has and the journal had not; None when it is settled by now."""
        known = await self.lock_signer(genesis, signer, 0)
        new = NewTx(signer, known.next_nonce, 1, "ADOPTED", signature, None)
        tx_id = await self.insert_tx(genesis, new)
        await self.set_signer(genesis, signer, known.next_nonce + 1, known.halted_reason)
        await self.landed(tx_id, slot)
        rows = await self.mined_rewards([reward_id], tx_id)
        return rows[0] if rows else None

    async def conflict(self, reward_id: bytes) -> RewardRow | None:
        """The chain has paid something else for a reward; None when it is no longer owed."""
        if not await self.waiting([reward_id], 0, 1):
            return None
        return (await self.end([reward_id], "FAILED", "REWARD_CONFLICT"))[0]

    async def landed(self, tx_id: UUID, slot: int) -> None:
        """A slot holds the transaction."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'MINED', block_height = $2 "
            "WHERE tx_id = $1 AND state IN ('SIGNED', 'SENT')",
            tx_id,
            slot,
        )

    async def unland(self, mint: OpenMint) -> list[RewardRow]:
        """The chain has rolled back; the same bytes are sent again."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'SIGNED', block_height = NULL WHERE tx_id = $1", mint.tx_id
        )
        return await self._move("tx_id = $2 AND state IN ('SENT', 'MINED')", "SIGNED", mint.tx_id)

    async def give_up(self, mint: OpenMint, reason: str) -> list[RewardRow]:
        """A transaction that can never land: its reward is owed again."""
        dropped = await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'EXPIRED' WHERE tx_id = $1 AND state <> 'FINAL'", mint.tx_id
        )
        return await self._reopen("tx_id = $2", reason, mint.tx_id) if dropped else []

    async def open_mints(self, genesis: str) -> list[OpenMint]:
        """Transactions that are not final, in the order they were signed."""
        return [OpenMint(**row) for row in await self._tx.fetch(_OPEN, genesis)]

    async def oldest_open_s(self, genesis: str) -> float:
        """Seconds since the oldest transaction that is not final was signed; 0 without one."""
        age = await self._tx.fetchval(
            "SELECT extract(epoch FROM now() - min(signed_at)) FROM web3.chain_tx "
            "WHERE chain = 'solana' AND genesis = $1 AND state IN ('SIGNED', 'SENT', 'MINED')",
            genesis,
        )
        return float(age or 0.0)
