"""Service accounts: programs of a tenant that prove themselves with a key of their own or a certificate."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import AlreadyExists, NotFound
from cohortlens.core.ids import uuid7
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.models import KeyQuotaExceeded, field_fault
from cohortlens.identity.programs.certificates import certificate_name as checked_name
from cohortlens.identity.programs.keys import MOST_KEYS, ProgramKey
from cohortlens.identity.programs.scopes import granted
from cohortlens.identity.programs.service_account_rows import ServiceAccountRow, ServiceAccountRows

MOST_ACCOUNTS = 100
MOST_AUDIENCES = 10
DEFAULT_AUDIENCE = "cohortlens"
_AUDIENCE = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


class ServiceAccounts:
    """Makes and ends service accounts and their public keys.

    Args:
        db: Database as the runtime role.
        revocations: Tells the other processes at once.
    """

    def __init__(self, db: Database, revocations: Revocations) -> None:
        self._db = db
        self._revocations = revocations

    async def create(
        self,
        ctx: RequestContext,
        *,
        display_name: str,
        scopes: Sequence[str],
        audiences: Sequence[str] = (),
        certificate_name: str = "",
        keys: Sequence[ProgramKey] = (),
    ) -> ServiceAccountRow:
        """Make an account of the caller's tenant.

        Raises:
            InvalidArgument: FIELD_INVALID.
            PermissionDenied: SCOPE_MISSING beyond the caller's own scopes; ROLE_REQUIRED for a program.
            AlreadyExists: RESOURCE_EXISTS: another account has the certificate's name, or a key is twice.
            ResourceExhausted: KEY_QUOTA_EXCEEDED.
        """
        maker = ctx.caller.user_id
        name = _display_name(display_name)
        given, wanted = granted(ctx.caller, scopes), _audiences(audiences)
        if certificate_name:
            checked_name(certificate_name, ctx.tenant_id, "certificate_name")

        async def work() -> ServiceAccountRow:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                rows = ServiceAccountRows(tx, ctx.tenant_id)
                await _require_room(rows)
                account_id = uuid7()
                if not await rows.add(
                    account_id,
                    display_name=name,
                    scopes=given,
                    audiences=wanted,
                    certificate_name=certificate_name,
                    created_by=maker,
                ):
                    raise AlreadyExists("certificate_name: another service account of the tenant has it")
                for key in keys:
                    await _add_key(rows, account_id, key)
                account = await _found(rows, account_id)
                idempotency.made(service_account=str(account_id))
                await AuditTrail(tx).append(
                    ctx,
                    "identity.service_account.created",
                    resource=f"serviceAccounts/{account_id}",
                    details=_told(account),
                )
            return account

        return await retried(work)

    async def page(self, ctx: RequestContext, below: UUID | None, limit: int) -> list[ServiceAccountRow]:
        """Accounts of the tenant older than ``below``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await ServiceAccountRows(tx, ctx.tenant_id).page(below, limit)

    async def add_key(self, ctx: RequestContext, account_id: UUID, key: ProgramKey) -> None:
        """Give an account a further public key.

        Raises:
            NotFound: No such account in the tenant.
            PermissionDenied: SCOPE_MISSING: the account may do what the caller may not.
            AlreadyExists: RESOURCE_EXISTS: the account has a key of that identifier.
            ResourceExhausted: KEY_QUOTA_EXCEEDED.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = ServiceAccountRows(tx, ctx.tenant_id)
            account = await _found(rows, account_id)
            # Whoever adds a key can be the account from then on.
            granted(ctx.caller, account.scopes)
            if len(account.keys) >= MOST_KEYS:
                raise _full(f"a service account has at most {MOST_KEYS} keys; delete an old one", MOST_KEYS)
            await _add_key(rows, account_id, key)
            await self._told_of_key(tx, ctx, account_id, key.kid, "identity.service_account.key_added")

    async def delete_key(self, ctx: RequestContext, account_id: UUID, kid: str) -> None:
        """Take a public key from an account.

        Raises:
            NotFound: No such account in the tenant, or no such key.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = ServiceAccountRows(tx, ctx.tenant_id)
            await _found(rows, account_id)
            if not await rows.remove_key(account_id, kid):
                raise NotFound("the service account has no such key; ListServiceAccounts shows those it has")
            await self._told_of_key(tx, ctx, account_id, kid, "identity.service_account.key_deleted")

    async def delete(self, ctx: RequestContext, account_id: UUID) -> None:
        """End an account with everything it was given.

        Raises:
            NotFound: No such account in the tenant.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            if not await ServiceAccountRows(tx, ctx.tenant_id).end(account_id):
                raise _missing()
            await AuditTrail(tx).append(
                ctx, "identity.service_account.deleted", resource=f"serviceAccounts/{account_id}"
            )
        await self._revocations.publish()

    async def _told_of_key(
        self, tx: AsyncConnection, ctx: RequestContext, account_id: UUID, kid: str, action: str
    ) -> None:
        await AuditTrail(tx).append(
            ctx, action, resource=f"serviceAccounts/{account_id}", details={"kid": kid}
        )


async def _require_room(rows: ServiceAccountRows) -> None:
    await rows.lock()
    if await rows.live_count() >= MOST_ACCOUNTS:
        raise _full(
            f"a tenant has at most {MOST_ACCOUNTS} service accounts; delete unused ones", MOST_ACCOUNTS
        )


async def _found(rows: ServiceAccountRows, account_id: UUID) -> ServiceAccountRow:
    account = await rows.locked(account_id)
    if account is None:
        raise _missing()
    return account


async def _add_key(rows: ServiceAccountRows, account_id: UUID, key: ProgramKey) -> None:
    if not await rows.add_key(account_id, key):
        raise AlreadyExists("kid: the service account has a key of that identifier; choose another")


def _display_name(text: str) -> str:
    if not text.strip():
        raise field_fault("display_name", "must say what the service account is")
    return text.strip()


def _audiences(asked: Collection[str]) -> tuple[str, ...]:
    for at, one in enumerate(asked):
        if _AUDIENCE.fullmatch(one) is None:
            raise field_fault(
                f"audiences[{at}]", "must be 1 to 200 printable ASCII characters without spaces"
            )
    if len(asked) > MOST_AUDIENCES:
        raise field_fault("audiences", f"at most {MOST_AUDIENCES}")
    return tuple(sorted(set(asked))) or (DEFAULT_AUDIENCE,)


def _told(account: ServiceAccountRow) -> dict[str, object]:
    return {
        "scopes": list(account.scopes),
        "audiences": list(account.audiences),
        "certificate_name": account.certificate_name,
        "kids": [key.kid for key in account.keys],
    }


def _full(message: str, limit: int) -> KeyQuotaExceeded:
    return KeyQuotaExceeded(message, metadata={"limit": str(limit)})


def _missing() -> NotFound:
    return NotFound("no such service account; ListServiceAccounts shows those there are")
