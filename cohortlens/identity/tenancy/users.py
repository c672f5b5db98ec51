"""The users of a tenant: read, change the role, remove. A tenant always keeps an owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import FailedPrecondition, PermissionDenied
from cohortlens.core.ids import UserId
from cohortlens.identity.access.changes import AccessChanges
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.models import ROLE_RANKS, ROLE_SCOPES, field_fault
from cohortlens.identity.programs.api_key_rows import ApiKeyRows
from cohortlens.identity.tenancy.invitation_rows import InvitationRows
from cohortlens.identity.tenancy.members import Member, Members
from cohortlens.identity.tenancy.roles import LastOwner, missing, require_etag, require_rank

REMOVED = "REMOVED"


@dataclass(frozen=True)
class Removal:
    """What the removal of a user ended.

    Attributes:
        sessions_ended: Sessions.
        keys_revoked: API keys that no longer work.
        keys_transferred: API keys that another user answers for.
    """

    sessions_ended: int
    keys_revoked: int
    keys_transferred: int


class UsersService:
    """Who belongs to the caller's tenant, in which role.

    Args:
        db: Database as the runtime role.
        revocations: Told when rights have changed.
    """

    def __init__(self, db: Database, revocations: Revocations) -> None:
        self._db = db
        self._revocations = revocations

    async def get(self, ctx: RequestContext, user_id: UUID) -> Member:
        """A user of the caller's tenant.

        Raises:
            NotFound: There is none.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await Members(tx, ctx.tenant_id).get(UserId(user_id))
        if found is None:
            raise missing("user")
        return found

    async def page(
        self, ctx: RequestContext, role: str, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Member]:
        """Users of the caller's tenant in the order of joining; arguments as ``Members.page``."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await Members(tx, ctx.tenant_id).page(role, after, limit)

    async def update(
        self, ctx: RequestContext, user_id: UUID, role: str, fields: Sequence[str], etag: str
    ) -> Member:
        """Change a user.

        Args:
            ctx: The request.
            user_id: The user.
            role: New role.
            fields: What to change; what is set when empty.
            etag: The user as it was read; not looked at when empty.

        Raises:
            InvalidArgument: FIELD_INVALID: another field than the role, or no role.
            NotFound: The tenant has no such user.
            Aborted: ETAG_MISMATCH.
            PermissionDenied: ROLE_REQUIRED: the old or the new role ranks above the caller's.
            FailedPrecondition: LAST_OWNER.
        """
        _checked_mask(fields, role)
        if not role:
            return await self._unchanged(ctx, user_id, etag)
        target = UserId(user_id)
        try:
            changed = await retried(lambda: self._update(ctx, target, role, etag))
        except (PermissionDenied, FailedPrecondition) as fault:
            await self._denied(ctx, "identity.user.updated", target, fault.reason, {"role": role})
            raise
        await self._revocations.publish()
        return changed

    async def delete(
        self, ctx: RequestContext, user_id: UUID, etag: str, transfer_to: UUID | None
    ) -> Removal:
        """Remove a user from the tenant, with their sessions, their invitations and the keys they made.

        Args:
            ctx: The request.
            user_id: The user.
            etag: The user as it was read; not looked at when empty.
            transfer_to: User of the tenant who answers for the keys from now on; they are revoked when None.

        Raises:
            InvalidArgument: FIELD_INVALID: ``transfer_to`` may not have the keys.
            NotFound: The tenant has no such user.
            Aborted: ETAG_MISMATCH.
            PermissionDenied: ROLE_REQUIRED: the user's role ranks above the caller's.
            FailedPrecondition: LAST_OWNER.
        """
        target, heir = UserId(user_id), None if transfer_to is None else UserId(transfer_to)
        if heir == target:
            raise field_fault("transfer_to", "must be another user than the one who is removed")
        try:
            done = await retried(lambda: self._delete(ctx, target, etag, heir))
        except (PermissionDenied, FailedPrecondition) as fault:
            await self._denied(ctx, "identity.user.removed", target, fault.reason, {})
            raise
        await self._revocations.publish()
        return done

    async def _unchanged(self, ctx: RequestContext, user_id: UUID, etag: str) -> Member:
        found = await self.get(ctx, user_id)
        require_etag(etag, found.etag)
        return found

    async def _update(self, ctx: RequestContext, target: UserId, role: str, etag: str) -> Member:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            members = Members(tx, ctx.tenant_id)
            old = await _locked(members, ctx, target, etag, role)
            if old.role == role:
                return old
            await members.set_role(target, role)
            withdrawn = 0
            if ROLE_RANKS[role] < ROLE_RANKS[old.role]:
                withdrawn = await InvitationRows(tx, ctx.tenant_id).withdraw_by(target, _above(role))
            changed = await members.get(target)
            assert changed is not None
            await AuditTrail(tx).append(
                ctx,
                "identity.user.updated",
                resource=f"users/{target}",
                details={"from": old.role, "to": role, "invitations_withdrawn": withdrawn},
            )
        return changed

    async def _delete(self, ctx: RequestContext, target: UserId, etag: str, heir: UserId | None) -> Removal:
        tenant_id = ctx.tenant_id
        async with self._db.tenant_transaction(tenant_id) as tx:
            members = Members(tx, tenant_id)
            await _locked(members, ctx, target, etag, "")
            keys = ApiKeyRows(tx, tenant_id)
            transferred, revoked = 0, 0
            if heir is None:
                revoked = len(await keys.revoke_made_by(target, "MAKER_REMOVED"))
            else:
                await _require_fit(members, target, heir)
                transferred = await keys.hand_over(target, heir)
            withdrawn = await InvitationRows(tx, tenant_id).withdraw_by(target, tuple(ROLE_RANKS))
            ended = await AccessChanges(tx, tenant_id).sessions_of(target, REMOVED)
            await members.remove(target)
            idempotency.made(sessions_ended=ended, api_keys_revoked=revoked, api_keys_transferred=transferred)
            await AuditTrail(tx).append(
                ctx,
                "identity.user.removed",
                resource=f"users/{target}",
                details={
                    "sessions_ended": ended,
                    "api_keys_revoked": revoked,
                    "api_keys_transferred": transferred,
                    "transfer_to": "" if heir is None else f"users/{heir}",
                    "invitations_withdrawn": withdrawn,
                },
            )
        return Removal(ended, revoked, transferred)

    async def _denied(
        self, ctx: RequestContext, action: str, target: UserId, reason: str, details: dict[str, str]
    ) -> None:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            await AuditTrail(tx).append(
                ctx,
                action,
                resource=f"users/{target}",
                outcome="DENIED",
                details={"reason": reason, **details},
            )


async def _locked(members: Members, ctx: RequestContext, target: UserId, etag: str, role: str) -> Member:
    """The user as it is, locked and free to be given ``role``, or to be removed when that is empty."""
    owners = await members.lock()
    own = await members.lock_role(ctx.caller.user_id)
    if await members.lock_role(target) is None:
        raise missing("user")
    old = await members.get(target)
    assert old is not None
    require_etag(etag, old.etag)
    require_rank(own, old.role, role)
    if old.role == "owner" and role != "owner" and len(owners) == 1:
        raise LastOwner(
            "a tenant keeps an owner: make somebody else an owner first, or delete the tenant",
            metadata={"user": str(target)},
        )
    return old


async def _require_fit(members: Members, maker: UserId, heir: UserId) -> None:
    """Refuse an heir who could not have made the keys."""
    role = await members.lock_role(heir)
    if role is None:
        raise missing("transfer_to")
    beyond = await members.key_scopes(maker) - ROLE_SCOPES[role]
    if beyond:
        raise field_fault(
            "transfer_to",
            f"has the role {role}, which lacks scopes of these keys: {', '.join(sorted(beyond))}; "
            "name a user with more rights, or leave it out to revoke the keys",
        )


def _above(role: str) -> tuple[str, ...]:
    return tuple(one for one, rank in ROLE_RANKS.items() if rank > ROLE_RANKS[role])


def _checked_mask(fields: Sequence[str], role: str) -> None:
    unknown = sorted(set(fields) - {"role"})
    if unknown:
        raise field_fault("update_mask", "only role can be changed here")
    if fields and not role:
        raise field_fault("role", "is required when update_mask names it")
