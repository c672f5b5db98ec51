"""Computes a chain again from its rows alone, and names the first thing that is wrong.

Shares nothing with the function of the database that makes the rows: what is specified is written twice.
Needs no database; the RPC, the exports and the command line all use it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cohortlens.audit.models import (
    FIRST_PREVIOUS,
    ChainedRow,
    ChainFault,
    ChainReport,
    Checkpoint,
    FaultKind,
    microseconds,
)

_ROW_DOMAIN = b"CLA1"
_CHECKPOINT_DOMAIN = b"CLC1"


def row_hash(tenant_id: UUID, previous: bytes, seq: int, at: datetime, canonical: bytes) -> bytes:
    """SHA-256("CLA1" | tenant 16 | previous 32 | seq int64 | microseconds int64 | canonical), big-endian."""
    head = _ROW_DOMAIN + tenant_id.bytes + previous
    return hashlib.sha256(head + struct.pack(">qq", seq, microseconds(at)) + canonical).digest()


def checkpoint_message(tenant_id: UUID, seq: int, hash_: bytes, at: datetime) -> bytes:
    """What a checkpoint signs: "CLC1" | tenant 16 | seq int64 | hash 32 | microseconds int64, big-endian."""
    return (
        _CHECKPOINT_DOMAIN
        + tenant_id.bytes
        + struct.pack(">q", seq)
        + hash_
        + struct.pack(">q", microseconds(at))
    )


class ChainVerifier:
    """Takes the rows of one tenant in their order; keeps the first fault.

    Args:
        tenant_id: Whose chain.
        keys: The public keys that are trusted, 32 bytes each, by identifier.
        checkpoints: All that are known, in any order; one before ``from_seq`` anchors the first row.
        from_seq: Place of the first row.
        previous: Hash of the row before the first, when it is known from elsewhere.
    """

    def __init__(
        self,
        tenant_id: UUID,
        keys: Mapping[str, bytes],
        checkpoints: Iterable[Checkpoint],
        from_seq: int = 1,
        previous: bytes | None = None,
    ) -> None:
        self._tenant_id = tenant_id
        self._keys = {kid: Ed25519PublicKey.from_public_bytes(raw) for kid, raw in keys.items()}
        self._checkpoints = {it.seq: it for it in checkpoints}
        self._from_seq = self._next = from_seq
        self._previous = FIRST_PREVIOUS if from_seq == 1 else previous
        self._last_at: datetime | None = None
        self._sealed = self._sealed_seq = 0
        self.fault: ChainFault | None = None
        if from_seq > 1 and from_seq - 1 in self._checkpoints:
            anchor = self._checkpoints.pop(from_seq - 1)
            self._check_seal(anchor, self._previous or anchor.hash)
            self._previous = anchor.hash

    @property
    def last_hash(self) -> bytes | None:
        """Hash of the last row that held."""
        return self._previous

    def take(self, rows: Iterable[ChainedRow]) -> bool:
        """Look at the next rows; False from the first fault on."""
        for row in rows:
            if self.fault is not None:
                return False
            self._take(row)
        return self.fault is None

    def seal(self, checkpoint: Checkpoint) -> None:
        """Look at a checkpoint that comes right behind the row it seals, or before the first row."""
        if checkpoint.seq != self._next - 1:
            self._fail(checkpoint.seq, FaultKind.CHECKPOINT, "the checkpoint does not stand behind its row")
            return
        self._check_seal(checkpoint, self._previous or checkpoint.hash)
        self._previous = checkpoint.hash
        self._sealed_seq = checkpoint.seq

    def end(self, to_seq: int, *, must_be_sealed: bool = False) -> ChainReport:
        """What was found.

        Args:
            to_seq: Place of the last row there must be.
            must_be_sealed: Whether a checkpoint must have stood behind the last row.
        """
        if self.fault is None and self._next <= to_seq:
            self._fail(self._next, FaultKind.GAP, "the row is missing")
        if self.fault is None and must_be_sealed and self._sealed_seq != to_seq:
            self._fail(to_seq, FaultKind.CHECKPOINT, "no checkpoint seals the last row")
        beyond = [seq for seq in self._checkpoints if seq > to_seq]
        if self.fault is None and beyond:
            self._fail(to_seq + 1, FaultKind.GAP, f"row {min(beyond)} was sealed once, and is missing")
        return ChainReport(self._from_seq, to_seq, self._next - self._from_seq, self._sealed, self.fault)

    def _take(self, row: ChainedRow) -> None:
        if row.seq != self._next:
            missing = min(row.seq, self._next)
            self._fail(missing, FaultKind.GAP, f"row {row.seq} stands where {self._next} belongs")
        elif self._previous is not None and row.previous_hash != self._previous:
            self._fail(row.seq, FaultKind.LINK, "the row does not follow the one before it")
        elif not self._content_holds(row):
            self._fail(row.seq, FaultKind.CONTENT, "the row or its time was changed after it was chained")
        elif row.seq in self._checkpoints:
            self._check_seal(self._checkpoints.pop(row.seq), row.hash)
        if self.fault is None:
            self._next, self._previous, self._last_at = row.seq + 1, row.hash, row.at

    def _content_holds(self, row: ChainedRow) -> bool:
        if self._last_at is not None and row.at <= self._last_at:
            return False
        if row_hash(self._tenant_id, row.previous_hash, row.seq, row.at, row.canonical) != row.hash:
            return False
        return row.columns is None or _shows(row.canonical, row.columns)

    def _check_seal(self, checkpoint: Checkpoint, hash_: bytes) -> None:
        if checkpoint.hash != hash_:
            self._fail(
                checkpoint.seq, FaultKind.CHECKPOINT, "the row is not the one that the checkpoint sealed"
            )
            return
        key = self._keys.get(checkpoint.kid)
        if key is None:
            self._fail(
                checkpoint.seq, FaultKind.CHECKPOINT, f"its key {checkpoint.kid[:64]} is not among the keys"
            )
            return
        message = checkpoint_message(self._tenant_id, checkpoint.seq, checkpoint.hash, checkpoint.at)
        try:
            key.verify(checkpoint.signature, message)
        except InvalidSignature:
            self._fail(checkpoint.seq, FaultKind.CHECKPOINT, "its signature does not hold")
        else:
            self._sealed += 1

    def _fail(self, seq: int, kind: FaultKind, detail: str) -> None:
        if self.fault is None:
            self.fault = ChainFault(seq, kind, detail)


def _shows(canonical: bytes, columns: Mapping[str, str]) -> bool:
    """Whether the columns beside a row say what its bytes say."""
    try:
        meaning = json.loads(canonical)
        return all(meaning[name] == shown for name, shown in columns.items())
    except (ValueError, KeyError, TypeError):
        return False
