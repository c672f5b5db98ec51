"""The caller's tenant: what it may set, its deletion, and its return within thirty days."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, UserId, plain_uuid
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue
from cohortlens.core.outbox import Outbox
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.accounts.password_changes import PasswordsService
from cohortlens.identity.models import TENANT_DELETION, field_fault
from cohortlens.identity.tenancy.invitation_mails import TENANT_DELETED
from cohortlens.identity.tenancy.members import Members
from cohortlens.identity.tenancy.proofs import PersonProofs
from cohortlens.identity.tenancy.roles import RoleRequired, missing, require_etag
from cohortlens.identity.tenancy.tenant_rows import TenantRecord, TenantRows

ERASE_AFTER_S = 30 * 86400
FIELDS = ("display_name", "settings", "retention_days", "terms_version")
_SETTINGS_MAX = 64
_SETTING_CHARACTERS = 1024
_SETTING_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OWNERS_TOLD = 100


class TenantsService:
    """What a tenant knows and decides about itself.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys, for mails.
        passwords: Asks the caller for the password again.
        proofs: Proves an owner who has no session.
        revocations: Told when nobody may call any more.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        *,
        passwords: PasswordsService,
        proofs: PersonProofs,
        revocations: Revocations,
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._mail_sealer = Sealer(keys, MAIL_PURPOSE)
        self._proofs = proofs
        self._revocations = revocations

    async def get(self, ctx: RequestContext) -> TenantRecord:
        """The caller's tenant."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await _found(TenantRows(tx, ctx.tenant_id))

    async def update(
        self, ctx: RequestContext, values: Mapping[str, Any], fields: Sequence[str], etag: str
    ) -> TenantRecord:
        """Change the caller's tenant.

        Args:
            ctx: The request.
            values: Value of each of ``FIELDS`` as sent; empty ones were not set.
            fields: What to change; what is set when empty.
            etag: The tenant as it was read; not looked at when empty.

        Raises:
            InvalidArgument: FIELD_INVALID.
            Aborted: ETAG_MISMATCH.
            PermissionDenied: ROLE_REQUIRED: only an owner accepts terms.
        """
        changes = _changes(values, fields)
        return await retried(lambda: self._update(ctx, changes, etag))

    async def delete(self, ctx: RequestContext, password: str) -> TenantRecord:
        """Delete the caller's tenant: nobody may call any more; the data are erased after 30 days.

        What it pays for ends at once: ``TENANT_DELETION`` is stored with the deletion.

        Raises:
            InvalidCredentials: The password is wrong.
            LoginRateLimited: Too many attempts.
        """
        if ctx.tenant_id == PLATFORM_TENANT_ID:
            raise FailedPrecondition("the platform itself cannot be deleted")
        await self._passwords.proven(ctx, password)
        deleted = await retried(lambda: self._delete(ctx))
        await self._revocations.publish()
        return deleted

    async def undelete(
        self, ctx: RequestContext, email: str, password: str, code: str, tenant: UUID | None
    ) -> TenantRecord:
        """Bring a deleted tenant back, by one of its owners.

        Args:
            ctx: The request; nobody has a session of the tenant.
            email: Log-in name of an owner.
            password: As typed.
            code: Of the authenticator, or a recovery code; empty from who has none.
            tenant: Which tenant; None from an owner of one deleted tenant.

        Raises:
            InvalidCredentials: Not proven.
            Unauthenticated: MFA_REQUIRED.
            LoginRateLimited: Too many attempts.
            FailedPrecondition: TENANT_NOT_DELETED, told only after the proof.
            InvalidArgument: FIELD_INVALID: there are several, and none was named.
        """
        user_id = await self._proofs.of_address(ctx, email, password, code, "identity.tenant.undeleted")
        async with self._db.transaction() as tx:
            tenant_id = _chosen(await _deleted(tx, user_id), tenant)
        restored = await retried(lambda: self._undelete(ctx, user_id, tenant_id))
        await self._revocations.publish()
        return restored

    async def _update(self, ctx: RequestContext, changes: Mapping[str, Any], etag: str) -> TenantRecord:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = TenantRows(tx, ctx.tenant_id)
            before = await _found(rows, lock=True)
            require_etag(etag, before.etag)
            if "terms_version" in changes and ctx.caller.role != "owner":
                raise RoleRequired("only an owner accepts terms for the tenant", metadata={"role": "owner"})
            if not changes:
                return before
            await rows.update(changes)
            after = await _found(rows)
            await AuditTrail(tx).append(
                ctx, "identity.tenant.updated", resource="tenant", details=_told(changes)
            )
        return after

    async def _delete(self, ctx: RequestContext) -> TenantRecord:
        tenant_id = ctx.tenant_id
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = TenantRows(tx, tenant_id)
            before = await _found(rows, lock=True)
            if before.status != "ACTIVE":
                raise FailedPrecondition("the tenant is not active any more", reason="TENANT_NOT_ACTIVE")
            await rows.set_status("DELETING", erase_in_s=ERASE_AFTER_S)
            ended = await rows.end_sessions("TENANT_DELETED")
            after = await _found(rows)
            await self._tell_owners(tx, after)
            await Outbox(tx).record(TENANT_DELETION, f"tenant:{tenant_id}", {})
            await AuditTrail(tx).append(
                ctx,
                "identity.tenant.deleted",
                resource="tenant",
                details={"erase_at": _date(after), "sessions_ended": ended},
            )
        return after

    async def _tell_owners(self, tx: AsyncConnection, tenant: TenantRecord) -> None:
        queue = MailQueue(tx, self._mail_sealer)
        values = {"name": tenant.display_name, "date": _date(tenant)}
        for owner in await Members(tx, tenant.tenant_id).page("owner", None, _OWNERS_TOLD):
            await queue.put(owner.email, TENANT_DELETED, values)

    async def _undelete(self, ctx: RequestContext, user_id: UserId, tenant_id: TenantId) -> TenantRecord:
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = TenantRows(tx, tenant_id)
            await _found(rows, lock=True)
            # Again, behind the lock: the erasure takes it too.
            if tenant_id not in await _deleted(tx, user_id):
                raise _nothing_to_undelete()
            await rows.set_status("ACTIVE")
            after = await _found(rows)
            await AuditTrail(tx).append(
                Actor("user", str(user_id), ctx.request_id, ctx.address),
                "identity.tenant.undeleted",
                resource="tenant",
            )
        return after


async def _deleted(tx: AsyncConnection, user_id: UserId) -> list[TenantId]:
    rows = await tx.scalars(text("SELECT app.auth_deleted_tenants(:user)"), {"user": user_id})
    return [TenantId(plain_uuid(value)) for value in rows]


async def _found(rows: TenantRows, *, lock: bool = False) -> TenantRecord:
    found = await rows.get(lock=lock)
    if found is None:
        raise missing("tenant")
    return found


def _changes(values: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise field_fault("update_mask", f"can name {', '.join(FIELDS)}")
    named = fields or [name for name in FIELDS if values[name]]
    changes = {name: values[name] for name in named}
    if "display_name" in changes:
        changes["display_name"] = str(changes["display_name"]).strip()
        if not changes["display_name"]:
            raise field_fault("display_name", "must not be blank")
    if "terms_version" in changes and not changes["terms_version"]:
        raise field_fault("terms_version", "must not be empty")
    if "settings" in changes:
        _check_settings(changes["settings"])
    return changes


def _check_settings(settings: Mapping[str, str]) -> None:
    if len(settings) > _SETTINGS_MAX:
        raise field_fault("settings", f"at most {_SETTINGS_MAX} settings are kept")
    for name, value in settings.items():
        if _SETTING_NAME.fullmatch(name) is None:
            raise field_fault("settings", "names are 1 to 64 letters, digits, '.', '_' or '-'")
        if len(value) > _SETTING_CHARACTERS:
            raise field_fault(f"settings[{name}]", f"has more than {_SETTING_CHARACTERS} characters")


def _told(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log says of a change: names of settings, never what people wrote into them."""
    details: dict[str, Any] = {"fields": sorted(changes)}
    for name in ("retention_days", "terms_version"):
        if name in changes:
            details[name] = changes[name]
    return details


def _chosen(deleted: Sequence[TenantId], tenant: UUID | None) -> TenantId:
    if tenant is None and len(deleted) > 1:
        listed = ", ".join(str(one) for one in deleted)
        raise field_fault("tenant", f"several of your tenants were deleted; name one of {listed}")
    for one in deleted:
        if tenant in {None, one}:
            return one
    raise _nothing_to_undelete()


def _nothing_to_undelete() -> FailedPrecondition:
    return FailedPrecondition(
        "no tenant that you own waits for its erasure; what is erased cannot come back",
        reason="TENANT_NOT_DELETED",
    )


def _date(tenant: TenantRecord) -> str:
    assert tenant.erase_at is not None
    return f"{tenant.erase_at:%Y-%m-%d}"
