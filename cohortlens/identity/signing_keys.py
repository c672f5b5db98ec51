"""The Ed25519 keys of access tokens: NEXT is published, ACTIVE signs, RETIRING still verifies.

Private halves lie in the table sealed with the installation's key (KEK). The first process to start makes the
first keys; a lock lets only one do it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.sealing import SealBroken, Sealer, SealingKeys
from cohortlens.identity.key_rows import KeyRow, SigningKeyRows

PUBLISHED_BEFORE_USE_S = 1200
_FRESH_S = 10.0
RETIRING_S = 660
"""Life of an access token (600), its leeway (30), a signer that hears of a rotation late (10), rounded up."""


@dataclass(frozen=True)
class SigningKey:
    """The key that signs now.

    Attributes:
        kid: Its identifier.
        private: The private half.
    """

    kid: str
    private: Ed25519PrivateKey


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies.

    Attributes:
        kid: Its identifier.
        x: The public half, 32 bytes.
    """

    kid: str
    x: bytes


class SigningKeys:
    """The keys as this process knows them; read again from the table at most every 10 s.

    Args:
        db: Database as the runtime role.
        kek: The installation's keys.
    """

    def __init__(self, db: Database, kek: SealingKeys) -> None:
        self._db = db
        self._sealer = Sealer(kek, "signing-key")
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._active: SigningKey | None = None
        self._public: dict[str, Ed25519PublicKey] = {}

    async def ensure(self) -> None:
        """Make the ACTIVE and the NEXT key if there are none, and read the keys.

        Raises:
            FailedPrecondition: KEK_MISMATCH: the stored keys were sealed with another key.
        """
        async with self._db.transaction() as tx:
            rows = SigningKeyRows(tx)
            await rows.lock()
            states = {row.state for row in await rows.live()}
            for state in ("ACTIVE", "NEXT"):
                if state not in states:
                    await self._make(rows, state)
        await self._read()

    async def rotate(self) -> str:
        """Let NEXT sign from now on, ACTIVE retire within 660 s, and publish a new NEXT.

        Returns:
            Identifier of the key that signs now.

        Raises:
            FailedPrecondition: KEY_TOO_YOUNG: NEXT was published less than 20 minutes ago, so a verifier
                could still hold a key set without it.
        """
        async with self._db.transaction() as tx:
            rows = SigningKeyRows(tx)
            await rows.lock()
            kid = await rows.promote(PUBLISHED_BEFORE_USE_S, RETIRING_S)
            if kid is None:
                raise FailedPrecondition(
                    "the next key was published less than 20 minutes ago; rotate later",
                    reason="KEY_TOO_YOUNG",
                )
            await self._make(rows, "NEXT")
        await self._read()
        return kid

    async def active(self) -> SigningKey:
        """The key that signs."""
        await self._refresh()
        assert self._active is not None
        return self._active

    async def public(self, kid: str) -> Ed25519PublicKey | None:
        """The key named ``kid``, if it verifies; an unknown name asks the table at most once in 10 s."""
        await self._refresh()
        return self._public.get(kid)

    async def published(self) -> list[PublicKey]:
        """What the key set shows now, built from the table: NEXT, ACTIVE and RETIRING keys."""
        async with self._db.transaction() as tx:
            return [PublicKey(row.kid, row.public_key) for row in await SigningKeyRows(tx).live()]

    async def _refresh(self) -> None:
        if time.monotonic() - self._read_at <= _FRESH_S:
            return
        async with self._reading:  # of many calls that find the keys old, one reads
            if time.monotonic() - self._read_at > _FRESH_S:
                await self._read()

    async def _read(self) -> None:
        async with self._db.transaction() as tx:
            rows = await SigningKeyRows(tx).live()
        active = next(row for row in rows if row.state == "ACTIVE")
        if self._active is None or self._active.kid != active.kid:
            self._active = SigningKey(active.kid, self._opened(active))
        self._public = {row.kid: Ed25519PublicKey.from_public_bytes(row.public_key) for row in rows}
        self._read_at = time.monotonic()

    async def _make(self, rows: SigningKeyRows, state: str) -> None:
        private = Ed25519PrivateKey.generate()
        kid = uuid4().hex
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        await rows.add(kid, public, self._sealer.seal(raw, kid.encode()), state)

    def _opened(self, row: KeyRow) -> Ed25519PrivateKey:
        try:
            return Ed25519PrivateKey.from_private_bytes(self._sealer.open(row.private_enc, row.kid.encode()))
        except SealBroken:
            raise FailedPrecondition(
                "the stored signing keys were sealed with another COHORTLENS_KEK; restore that key, "
                "or name it in COHORTLENS_KEK_PREVIOUS",
                reason="KEK_MISMATCH",
            ) from None
