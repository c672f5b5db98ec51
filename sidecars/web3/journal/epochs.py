"""SQL of Merkle epochs: their roots, and the leaf of each reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sidecars.web3.journal.chains import FRUITLESS
from sidecars.web3.journal.pool import JournalTransaction


@dataclass(frozen=True, slots=True)
class EpochRow:
    """A published root with its newest transaction; columns of ``web3.epoch`` and ``web3.chain_tx``."""

    epoch: int
    root: bytes
    set_sha256: bytes
    tx_hash: str
    block_height: int | None
    block_hash: str | None


@dataclass(frozen=True, slots=True)
class EpochInVain:
    """An epoch whose transaction came to nothing; columns of ``web3.epoch``."""

    epoch: int
    root: bytes
    set_sha256: bytes
    total_micro: int


_EPOCH = (
    "SELECT e.epoch, e.root, e.set_sha256, t.tx_hash, t.block_height, t.block_hash FROM web3.epoch e "
    "JOIN web3.chain_tx o ON o.tx_id = e.tx_id "
    "JOIN web3.chain_tx t ON (t.chain, t.genesis, t.signer, t.nonce) "
    "= (o.chain, o.genesis, o.signer, o.nonce) WHERE e.chain = $1 AND e.genesis = $2 "
)
# The attempt that was mined counts, else the newest.
_COUNTS = " ORDER BY (t.state IN ('MINED', 'FINAL')) DESC, t.attempt DESC LIMIT 1"


class EpochRows:
    """Epochs of one chain in one transaction.

    Args:
        tx: A transaction of the journal that sees all tenants.
        chain: Name of the chain.
        genesis: Its first block.
    """

    def __init__(self, tx: JournalTransaction, chain: str, genesis: str) -> None:
        self._tx = tx
        self._chain = chain
        self._genesis = genesis

    async def of_set(self, set_sha256: bytes) -> EpochRow | None:
        """The epoch of exactly these rewards."""
        row = await self._tx.fetchrow(
            _EPOCH + "AND e.set_sha256 = $3" + _COUNTS, self._chain, self._genesis, set_sha256
        )
        return EpochRow(**row) if row else None

    async def of_reward(self, reward_id: bytes) -> EpochRow | None:
        """The epoch that a reward stands in."""
        row = await self._tx.fetchrow(
            _EPOCH + "AND e.epoch IN (SELECT l.epoch FROM web3.epoch_leaf l WHERE l.chain = $1 "  # noqa: S608
            "AND l.genesis = $2 AND l.reward_id = $3)" + _COUNTS,
            self._chain,
            self._genesis,
            reward_id,
        )
        return EpochRow(**row) if row else None

    async def claimable(self, reward_ids: Sequence[bytes]) -> int:
        """How many of these rewards are CLAIMABLE by an epoch and stand in none."""
        return int(
            await self._tx.fetchval(
                "SELECT count(*) FROM web3.reward_tx r WHERE r.reward_id = ANY($3) AND r.chain = $1 "
                "AND r.state = 'CLAIMABLE' AND r.delivery = 'EPOCH' AND NOT EXISTS (SELECT 1 "
                "FROM web3.epoch_leaf l WHERE (l.chain, l.genesis, l.reward_id) = ($1, $2, r.reward_id))",
                self._chain,
                self._genesis,
                list(reward_ids),
            )
        )

    async def next_number(self) -> int:
        """The number after the last that was used here, at least 1."""
        return int(
            await self._tx.fetchval(
                "SELECT coalesce(max(epoch), 0) + 1 FROM web3.epoch WHERE chain = $1 AND genesis = $2",
                self._chain,
                self._genesis,
            )
        )

    async def insert(
        self, epoch: int, root: bytes, set_sha256: bytes, total_micro: int, expires_at: datetime, tx_id: UUID
    ) -> None:
        """Store an epoch whose transaction is signed."""
        await self._tx.execute(
            "INSERT INTO web3.epoch "
            "(chain, genesis, epoch, root, set_sha256, total_micro, expires_at, tx_id) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self._chain,
            self._genesis,
            epoch,
            root,
            set_sha256,
            total_micro,
            expires_at,
            tx_id,
        )

    async def insert_leaves(self, epoch: int, reward_ids: Sequence[bytes], leaves: Sequence[bytes]) -> None:
        """Store the leaves of an epoch in the order of their rewards."""
        await self._tx.execute(
            "INSERT INTO web3.epoch_leaf (tenant_id, reward_id, chain, genesis, epoch, leaf) "
            "SELECT r.tenant_id, r.reward_id, $1, $2, $3, given.leaf "
            "FROM unnest($4::bytea[], $5::bytea[]) AS given(reward_id, leaf) "
            "JOIN web3.reward_tx r ON r.reward_id = given.reward_id",
            self._chain,
            self._genesis,
            epoch,
            list(reward_ids),
            list(leaves),
        )

    async def leaf(self, reward_id: bytes) -> bytes | None:
        """The leaf of a reward; None where it stands in no epoch."""
        found = await self._tx.fetchval(
            "SELECT leaf FROM web3.epoch_leaf WHERE chain = $1 AND genesis = $2 AND reward_id = $3",
            self._chain,
            self._genesis,
            reward_id,
        )
        return None if found is None else bytes(found)

    async def leaves(self, epoch: int) -> list[bytes]:
        """Every leaf of an epoch."""
        rows = await self._tx.fetch(
            "SELECT leaf FROM web3.epoch_leaf WHERE chain = $1 AND genesis = $2 AND epoch = $3",
            self._chain,
            self._genesis,
            epoch,
        )
        return [row["leaf"] for row in rows]

    async def in_vain(self, limit: int) -> list[EpochInVain]:
        """Epochs whose transaction came to nothing: no holder can claim from them."""
        rows = await self._tx.fetch(
            "SELECT e.epoch, e.root, e.set_sha256, e.total_micro::bigint FROM web3.epoch e "  # noqa: S608
            "JOIN web3.chain_tx o ON o.tx_id = e.tx_id "
            f"WHERE e.chain = $1 AND e.genesis = $2 AND {FRUITLESS} ORDER BY e.epoch LIMIT $3",
            self._chain,
            self._genesis,
            limit,
        )
        return [EpochInVain(**row) for row in rows]

    async def stands_by(self, epoch: int, tx_id: UUID, expires_at: datetime | None = None) -> None:
        """Another transaction publishes the epoch now.

        Args:
            epoch: Its number.
            tx_id: The transaction.
            expires_at: Until when that lets holders claim; None where it is not ours to say.
        """
        await self._tx.execute(
            "UPDATE web3.epoch SET tx_id = $4, expires_at = coalesce($5, expires_at) "
            "WHERE chain = $1 AND genesis = $2 AND epoch = $3",
            self._chain,
            self._genesis,
            epoch,
            tx_id,
            expires_at,
        )
