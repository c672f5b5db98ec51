"""SQL of rewards on Solana beyond what every chain has: one reward a transaction, valid up to a height."""

from __future__ import annotations

from dataclasses import dataclass

from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.journal.chains import ChainRows

_OPEN = """
SELECT t.id, t.tx_hash, t.raw, t.state, t.last_valid_height, r.reward_id, r.recipient, r.amount_micro
  FROM web3.chain_tx t JOIN web3.reward_tx r ON r.tx_id = t.id
 WHERE t.instance_id = $1 AND t.state IN ('SIGNED', 'SENT', 'MINED') ORDER BY t.nonce
"""


@dataclass(frozen=True, slots=True)
class OpenMint:
    """A transaction that is not final, and the reward it pays.

    Attributes:
        id: Its row.
        tx_hash: Its signature, base58.
        raw: Its bytes; None for one that was found on the chain.
        state: SIGNED, SENT or MINED.
        last_valid_height: Block height after which it cannot land any more; None as ``raw``.
        reward_id: The reward.
        recipient: Address of the holder.
        amount_micro: Micro-tokens.
    """

    id: int
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
        instance_id: int,
        signer: str,
        reward_id: bytes,
        signature: str,
        raw: bytes,
        last_valid_height: int,
    ) -> RewardRow | None:
        """Store a signed mint before it is sent; None when the reward is no longer owed, or another's now."""
        known = await self.lock_signer(instance_id, signer, 0)
        if not await self.waiting([reward_id], 0, 1):
            return None
        tx_id = await self.insert_tx(instance_id, signer, known.next_nonce, 0, "MINT", signature, raw, {})
        await self._tx.execute(
            "UPDATE web3.chain_tx SET last_valid_height = $2 WHERE id = $1", tx_id, last_valid_height
        )
        await self.set_signer(instance_id, signer, known.next_nonce + 1, known.halted_reason)
        return (await self.signed_rewards([reward_id], tx_id))[0]

    async def adopt(
        self, instance_id: int, signer: str, reward_id: bytes, signature: str, slot: int
    ) -> RewardRow | None:
        """Take a transaction that the chain has and the journal had not; None when it is settled by now."""
        known = await self.lock_signer(instance_id, signer, 0)
        tx_id = await self._tx.fetchval(
            "SELECT id FROM web3.chain_tx WHERE instance_id = $1 AND tx_hash = $2", instance_id, signature
        )
        if tx_id is None:
            tx_id = await self.insert_tx(
                instance_id, signer, known.next_nonce, 0, "ADOPTED", signature, None, {}
            )
            await self.set_signer(instance_id, signer, known.next_nonce + 1, known.halted_reason)
        await self.landed(tx_id, slot)
        rows = await self.mined_rewards([reward_id], tx_id)
        return rows[0] if rows else None

    async def landed(self, tx_id: int, slot: int) -> None:
        """A slot holds the transaction."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'MINED', block_height = $2 "
            "WHERE id = $1 AND state IN ('SIGNED', 'SENT')",
            tx_id,
            slot,
        )

    async def unland(self, mint: OpenMint) -> list[RewardRow]:
        """The chain has rolled back; the same bytes are sent again."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'SIGNED', block_height = NULL WHERE id = $1", mint.id
        )
        return await self._move("tx_id = $2 AND state IN ('SENT', 'MINED')", "SIGNED", mint.id)

    async def give_up(self, mint: OpenMint, reason: str) -> list[RewardRow]:
        """A transaction that can never land: its reward is owed again."""
        dropped = await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'DROPPED' WHERE id = $1 AND state <> 'FINAL'", mint.id
        )
        return await self._reopen("tx_id = $2", reason, mint.id) if dropped else []

    async def open_mints(self, instance_id: int) -> list[OpenMint]:
        """Transactions that are not final, in the order they were signed."""
        return [OpenMint(**row) for row in await self._tx.fetch(_OPEN, instance_id)]

    async def oldest_open_s(self, instance_id: int) -> float:
        """Seconds since the oldest transaction that is not final was signed; 0 without one."""
        age = await self._tx.fetchval(
            "SELECT extract(epoch FROM now() - min(signed_at)) FROM web3.chain_tx "
            "WHERE instance_id = $1 AND state IN ('SIGNED', 'SENT', 'MINED')",
            instance_id,
        )
        return float(age or 0.0)
