"""Ed25519 keys by set: NEXT is published, ACTIVE signs, RETIRING still verifies, RETIRED is out of the set.

Private halves lie in the table sealed with the installation's keys (KEK). The first process to start makes
the first keys; a lock lets only one do it. Set ``access`` signs access tokens, set ``audit`` checkpoints
of the audit log, which its own slice does: here it is only rotated. Set ``receipt`` signs consent receipts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.core.sealing import SealBroken, Sealer, SealingKeys
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.access.key_rows import KeyRow, SigningKeyRows

ACCESS_KEYS, AUDIT_KEYS, RECEIPT_KEYS = "access", "audit", "receipt"
KEY_SETS = (ACCESS_KEYS, AUDIT_KEYS, RECEIPT_KEYS)
PUBLISHED_BEFORE_USE_S = 1200
"""Twice the ten minutes for which verifiers may keep a key set."""
RETIRING_S = 660
"""Life of an access token (600), its leeway (30), a signer that hears of a rotation late (10), rounded up."""
ROTATE_AFTER_S = 30 * 86_400
_FRESH_S = 10.0
_TRUSTED_S = 60.0
_AGAIN_S = 1.0
_LOG = get_logger(__name__)


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
    """The keys of one set as this process knows them; read again from the table at most every 10 s.

    Args:
        db: Database as the runtime role.
        kek: The installation's keys.
        key_set: Which keys.
        monotonic: Seconds that only rise.
    """

    def __init__(
        self,
        db: Database,
        kek: SealingKeys,
        key_set: str = ACCESS_KEYS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if key_set not in KEY_SETS:
            raise ValueError(f"there is no key set {key_set!r}")
        self._db = db
        self._sealer = Sealer(kek, "signing-key")
        self._set = key_set
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._read_next = float("-inf")
        self._reading = asyncio.Lock()
        self._active: SigningKey | None = None
        self._public: dict[str, tuple[Ed25519PublicKey, float]] = {}

    async def ensure(self) -> None:
        """Make the ACTIVE and the NEXT key if there are none, and read the keys.

        Raises:
            FailedPrecondition: KEK_MISMATCH: the stored keys were sealed with another key.
        """
        async with self._db.transaction() as tx:
            rows = SigningKeyRows(tx, self._set)
            await rows.lock()
            states = {row.state for row in await rows.live()}
            for state in ("ACTIVE", "NEXT"):
                if state not in states:
                    await self._make(rows, state)
        await self._read()

    async def rotate(self, who: RequestContext | Actor, reason: str) -> KeyRow:
        """Let NEXT sign from now on, ACTIVE retire within 660 s, and publish a new NEXT.

        Args:
            who: Who wants it, for the platform's audit log.
            reason: Why.

        Returns:
            The key that signs now.

        Raises:
            FailedPrecondition: KEY_TOO_YOUNG: NEXT was published less than 20 minutes ago, so a verifier
                could still hold a key set without it.
        """
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            rows = SigningKeyRows(tx, self._set)
            await rows.lock()
            await rows.retire()
            kid = await rows.promote(PUBLISHED_BEFORE_USE_S, RETIRING_S)
            if kid is None:
                raise FailedPrecondition(
                    "the next key was published less than 20 minutes ago; rotate later",
                    reason="KEY_TOO_YOUNG",
                )
            await self._make(rows, "NEXT")
            idempotency.made(kid=kid)
            [active] = [row for row in await rows.live() if row.kid == kid]
            await AuditTrail(tx).append(
                who,
                "identity.signing_key.rotated",
                resource=f"signingKeys/{kid}",
                details={"key_set": self._set, "reason": reason},
            )
        await self._read()
        return active

    async def keep_up(self, after_s: float = ROTATE_AFTER_S) -> int:
        """What the scheduled job does: retire what is over, and rotate when the key has signed for a month.

        Returns:
            Keys that changed their state.
        """
        await self.ensure()
        async with self._db.transaction() as tx:
            rows = SigningKeyRows(tx, self._set)
            retired = await rows.retire()
            is_due = await rows.active_age_s() >= after_s
        if not is_due:
            return retired
        try:
            await self.rotate(Actor("job", "rotate_signing_keys"), "the key has signed for its time")
        except FailedPrecondition as fault:
            # Another process has just done it.
            _LOG.info("signing_key_not_rotated", reason=fault.reason)
            return retired
        return retired + 2

    async def active(self) -> SigningKey:
        """The key that signs."""
        await self._refresh()
        assert self._active is not None
        return self._active

    async def public(self, kid: str) -> Ed25519PublicKey | None:
        """The key named ``kid``, if it verifies; an unknown name never asks the table.

        It need not: a key is published 20 minutes before it signs, and what is known is 10 s old at most.
        """
        await self._refresh()
        found = self._public.get(kid)
        return None if found is None or found[1] <= self._monotonic() else found[0]

    async def published(self) -> list[PublicKey]:
        """What the key set shows now, built from the table: NEXT, ACTIVE and RETIRING keys."""
        async with self._db.transaction() as tx:
            rows = await SigningKeyRows(tx, self._set).live()
        return [PublicKey(row.kid, row.public_key) for row in rows]

    async def rows(self) -> list[KeyRow]:
        """Every key of the set, oldest first; the states as of now."""
        async with self._db.transaction() as tx:
            keys = SigningKeyRows(tx, self._set)
            await keys.retire()
            return await keys.all()

    async def _refresh(self) -> None:
        if self._monotonic() < self._read_next:
            return
        async with self._reading:  # of many calls that find the keys old, one reads
            if self._monotonic() < self._read_next:
                return
            try:
                await self._read()
            except CohortLensError:
                if self._monotonic() - self._read_at > _TRUSTED_S:
                    raise
                # As with changes of access: for a minute reads go on without PostgreSQL.
                self._read_next = self._monotonic() + _AGAIN_S

    async def _read(self) -> None:
        began = self._monotonic()
        async with self._db.transaction() as tx:
            rows = await SigningKeyRows(tx, self._set).live()
        active = next(row for row in rows if row.state == "ACTIVE")
        if self._active is None or self._active.kid != active.kid:
            self._active = SigningKey(active.kid, self._opened(active))
        self._public = {
            row.kid: (
                Ed25519PublicKey.from_public_bytes(row.public_key),
                float("inf") if row.retires_in_s is None else began + row.retires_in_s,
            )
            for row in rows
        }
        self._read_at, self._read_next = began, began + _FRESH_S

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
