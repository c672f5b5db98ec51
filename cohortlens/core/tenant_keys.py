"""One key per tenant: what it seals opens in its own tenant, column and row only, until it is destroyed.

The key is 32 random bytes, kept in ``tenants.key_wrapped`` sealed under the installation's key. A change of
the installation's key wraps it anew and leaves all values of the tenant as they are, blind indexes included.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, NotFound
from cohortlens.core.ids import plain_uuid
from cohortlens.core.key_settings import KEY_BYTES
from cohortlens.core.sealing import SealBroken, Sealer, SealingKeys, derived_key

KEPT_S = 60.0
"""Seconds a process goes on with a key it has read: it opens values so long after its destruction."""
_KEPT = 4096


class TenantKeyDestroyed(FailedPrecondition):
    """The tenant was erased: its key is gone and what was sealed with it cannot be opened by anyone."""

    reason = "TENANT_KEY_DESTROYED"


class TenantSealer:
    """Seals the values of one column for one tenant.

    Args:
        key: The tenant's key.
        tenant_id: The tenant.
        column: Table and column, such as ``invitations.email_enc``.
    """

    def __init__(self, key: bytes, tenant_id: UUID, column: str) -> None:
        self._sealer = Sealer(key, "tenant-value")
        name = column.encode()
        self._place = tenant_id.bytes + len(name).to_bytes(2, "big") + name

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal a value.

        Args:
            plaintext: The value.
            context: Identifier of the row, such as ``id.bytes``.
        """
        return self._sealer.seal(plaintext, self._place + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The value.

        Raises:
            SealBroken: It was altered, or sealed for another tenant, table, column or row.
        """
        return self._sealer.open(sealed, self._place + context)


@dataclass(frozen=True)
class _Kept:
    """A key, and what was derived from it: it goes with the key."""

    key: bytes
    until: float
    sealers: dict[str, TenantSealer] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)


class TenantKeys:
    """The keys of all tenants, as this process knows them.

    Args:
        keys: The installation's keys.
        clock: Monotonic seconds.
    """

    def __init__(self, keys: SealingKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self._wrapping = Sealer(keys, "tenant-key")
        self._clock = clock
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    async def sealer(self, tx: AsyncConnection, tenant_id: UUID, column: str) -> TenantSealer:
        """The sealer of a tenant's column.

        Args:
            tx: A connection inside a transaction, of this tenant or of none.
            tenant_id: The tenant.
            column: Table and column, such as ``invitations.email_enc``; part of every seal, so it never
                changes.

        Raises:
            TenantKeyDestroyed: The tenant was erased.
            FailedPrecondition: KEK_MISMATCH: the key was wrapped under a key this process was not given.
            NotFound: There is no such tenant.
        """
        key = await self._key(tx, tenant_id)
        made = self._made(tenant_id, key)
        sealer = made.sealers.get(column)
        if sealer is None:
            sealer = made.sealers[column] = TenantSealer(key, tenant_id, column)
        return sealer

    async def blind_index(self, tx: AsyncConnection, tenant_id: UUID, purpose: str, value: str) -> bytes:
        """A keyed hash by which equal values of one tenant are found without opening any; 32 bytes.

        Args:
            tx: As for ``sealer``.
            tenant_id: The tenant.
            purpose: What is looked up, such as ``invitation-email``; values of two purposes never match.
            value: The value in normal form.

        Raises:
            As ``sealer``.
        """
        secret = await self.mac_key(tx, tenant_id, purpose)
        return hmac.digest(secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256)

    async def mac_key(self, tx: AsyncConnection, tenant_id: UUID, purpose: str) -> bytes:
        """The secret behind ``blind_index``, for whoever hashes often; the same for the life of the tenant.

        Raises:
            As ``sealer``.
        """
        key = await self._key(tx, tenant_id)
        made = self._made(tenant_id, key)
        secret = made.secrets.get(purpose)
        if secret is None:
            secret = made.secrets[purpose] = derived_key(key, f"blind-index:{purpose}")
        return secret

    async def make(self, tx: AsyncConnection, tenant_id: UUID) -> None:
        """Give a tenant its key, in the transaction that stores the tenant; it keeps one that it has.

        Raises:
            TenantKeyDestroyed: The tenant was erased.
            NotFound: There is no such tenant.
        """
        fresh = self._wrapping.seal(os.urandom(KEY_BYTES), tenant_id.bytes)
        row = (
            await tx.execute(
                text("SELECT * FROM app.tenant_key_make(:tenant, :fresh)"),
                {"tenant": tenant_id, "fresh": fresh},
            )
        ).one_or_none()
        _require_key(row is not None, is_destroyed=row is not None and row.destroyed)

    async def make_missing(self, db: Database) -> int:
        """Give every tenant from before there were keys its key, each in a transaction; answers how many."""
        made = 0
        async with db.transaction() as tx:
            missing = (await tx.scalars(text("SELECT app.tenant_keys_missing(1000)"))).all()
        for tenant_id in missing:
            async with db.transaction() as tx:
                await self.make(tx, plain_uuid(tenant_id))
            made += 1
        return made

    async def destroy(self, tx: AsyncConnection, tenant_id: UUID) -> bool:
        """Destroy a tenant's key for good: every value sealed with it is lost; False when it was before.

        Other processes may open values for ``KEPT_S`` more; backups of the database hold the wrapped key
        until they are deleted.
        """
        self._kept.pop(tenant_id, None)
        return bool(await tx.scalar(text("SELECT app.tenant_key_destroy(:tenant)"), {"tenant": tenant_id}))

    async def _key(self, tx: AsyncConnection, tenant_id: UUID) -> bytes:
        kept = self._kept.get(tenant_id)
        if kept is not None and self._clock() < kept.until:
            return kept.key
        read_at = self._clock()
        query, values = text("SELECT * FROM app.tenant_key(:tenant)"), {"tenant": tenant_id}
        row = (await tx.execute(query, values)).one_or_none()
        if row is not None and row.key_wrapped is None and not row.destroyed:
            await self.make(tx, tenant_id)
            row = (await tx.execute(query, values)).one_or_none()
        _require_key(row is not None, is_destroyed=row is not None and row.destroyed)
        assert row is not None
        key = self._opened(tenant_id, bytes(row.key_wrapped))
        # What this transaction itself wrote may be rolled back: then the tenant gets another key.
        if not row.own:
            self._keep(tenant_id, _Kept(key, read_at + KEPT_S))
        return key

    def _made(self, tenant_id: UUID, key: bytes) -> _Kept:
        kept = self._kept.get(tenant_id)
        # A key that is not kept, such as one of a transaction that made it, has nothing to be found by.
        return kept if kept is not None and kept.key is key else _Kept(key, 0.0)

    def _keep(self, tenant_id: UUID, kept: _Kept) -> None:
        self._kept[tenant_id] = kept
        self._kept.move_to_end(tenant_id)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _opened(self, tenant_id: UUID, wrapped: bytes) -> bytes:
        try:
            return self._wrapping.open(wrapped, tenant_id.bytes)
        except SealBroken:
            raise FailedPrecondition(
                "the tenant's key was wrapped under another COHORTLENS_KEK; restore that key, "
                "or name it in COHORTLENS_KEK_PREVIOUS",
                reason="KEK_MISMATCH",
            ) from None


def _require_key(is_there: bool, *, is_destroyed: bool) -> None:
    if not is_there:
        raise NotFound("there is no such tenant", reason="RESOURCE_NOT_FOUND")
    if is_destroyed:
        raise TenantKeyDestroyed("the tenant was erased; what it had sealed cannot be opened any more")
