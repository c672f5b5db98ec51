"""Signs the audit log's checkpoints with the signing keys of the set ``audit``.

The first checkpoint makes the first key. A key that was rotated out stays in the table: what it signed must
stay verifiable for as long as there are exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.ports import Signature
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.sealing import SealBroken, Sealer, SealingKeys

_LOCK = 0x434C4143  # one process makes the first key
_ACTIVE = text("SELECT kid, private_enc FROM signing_keys WHERE key_set = 'audit' AND state = 'ACTIVE'")
_ADD = text(
    "INSERT INTO signing_keys (kid, key_set, public_key, private_enc, state)"
    " VALUES (:kid, 'audit', :public, :private, 'ACTIVE')"
)


class StoredCheckpointSigner:
    """The ``CheckpointSigner`` of an installation.

    Args:
        db: Database as the runtime role.
        keyring: The installation's keys, which seal the private halves.
    """

    def __init__(self, db: Database, keyring: SealingKeys) -> None:
        self._db = db
        self._sealer = Sealer(keyring, "signing-key")

    async def sign(self, message: bytes) -> Signature:
        """Sign with the active key; read each time, so that a rotation holds at once.

        Raises:
            FailedPrecondition: KEK_MISMATCH: the key was sealed with another key of the installation.
        """
        async with self._db.transaction() as tx:
            await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            kid, private = await self._active(tx)
        return Signature(kid, private.sign(message))

    async def public_keys(self) -> Mapping[str, bytes]:
        """Every key of the set, also those that are retired."""
        query = text("SELECT kid, public_key FROM signing_keys WHERE key_set = 'audit'")
        async with self._db.transaction() as tx:
            return {row.kid: bytes(row.public_key) for row in await tx.execute(query)}

    async def _active(self, tx: AsyncConnection) -> tuple[str, Ed25519PrivateKey]:
        row = (await tx.execute(_ACTIVE)).one_or_none()
        if row is None:
            return await self._made(tx)
        try:
            raw = self._sealer.open(bytes(row.private_enc), row.kid.encode())
        except SealBroken:
            raise FailedPrecondition(
                "the keys of checkpoints were sealed with another COHORTLENS_KEK; restore that key",
                reason="KEK_MISMATCH",
            ) from None
        return row.kid, Ed25519PrivateKey.from_private_bytes(raw)

    async def _made(self, tx: AsyncConnection) -> tuple[str, Ed25519PrivateKey]:
        private, kid = Ed25519PrivateKey.generate(), uuid4().hex
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        sealed = self._sealer.seal(raw, kid.encode())
        await tx.execute(_ADD, {"kid": kid, "public": public, "private": sealed})
        return kid, private
