"""Invitations: a mailed link that lets one person join a tenant in one role, once, within seven days."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import Aborted, AlreadyExists, FailedPrecondition, PermissionDenied
from cohortlens.core.ids import TenantId, UserId, plain_uuid, uuid7
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue, checked_address
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.accounts.credentials import Credentials
from cohortlens.identity.accounts.passwords import PasswordHasher, check_new_password
from cohortlens.identity.models import TokenInvalid, TokenPair, field_fault, normal_email
from cohortlens.identity.one_time import OneTimeTokens
from cohortlens.identity.sessions.keeper import SessionKeeper
from cohortlens.identity.tenancy.invitation_mails import INVITATION
from cohortlens.identity.tenancy.invitation_rows import Invitation, InvitationRows
from cohortlens.identity.tenancy.members import Members
from cohortlens.identity.tenancy.roles import missing, require_rank
from cohortlens.identity.tenancy.tenant_rows import TenantRecord, TenantRows

USE = "invite"
LIFE_S = 7 * 86400
OPEN_MAX = 200


@dataclass(frozen=True)
class Acceptance:
    """What became of an accepted invitation.

    Attributes:
        tenant_id: The tenant.
        user_id: The user who joined.
        role: Role in the tenant.
        tokens: Session of a new user; None for one who has an account and logs in.
    """

    tenant_id: TenantId
    user_id: UserId
    role: str
    tokens: TokenPair | None


@dataclass(frozen=True)
class Offer:
    """What an invitation asks of the person who holds its link.

    Attributes:
        tenant: The tenant as it is.
        invitation: The invitation.
        user_id: The account of its address; None when there is none.
        needs_password: Whether a password must be chosen.
        needs_terms: Whether the terms must be accepted for the tenant.
    """

    tenant: TenantRecord
    invitation: Invitation
    user_id: UserId | None
    needs_password: bool
    needs_terms: bool


class InvitationsService:
    """Brings people into tenants.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys, for mails.
        tenant_keys: Seal the addresses.
        hasher: Hashes passwords.
        sessions: Opens the session of a new user.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        tenant_keys: TenantKeys,
        hasher: PasswordHasher,
        sessions: SessionKeeper,
    ) -> None:
        self._db = db
        self._mail_sealer = Sealer(keys, MAIL_PURPOSE)
        self._tenant_keys = tenant_keys
        self._hasher = hasher
        self._sessions = sessions

    async def invite(self, ctx: RequestContext, email: str, role: str) -> Invitation:
        """Mail an invitation; an open one of the same address is replaced.

        Raises:
            InvalidArgument: FIELD_INVALID: not an address a mail can go to.
            PermissionDenied: ROLE_REQUIRED: the role ranks above the caller's.
            AlreadyExists: RESOURCE_EXISTS: the tenant has this user.
            FailedPrecondition: INVITATIONS_TOO_MANY: 200 are open.
        """
        normal = checked_address(normal_email(email))
        try:
            return await retried(lambda: self._invite(ctx, normal, role))
        except PermissionDenied as fault:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                await AuditTrail(tx).append(
                    ctx,
                    "identity.user.invited",
                    outcome="DENIED",
                    details={"role": role, "reason": fault.reason},
                )
            raise

    async def page(self, ctx: RequestContext, below: UUID | None, limit: int) -> list[Invitation]:
        """Open invitations of the caller's tenant that are older than ``below``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await InvitationRows(tx, ctx.tenant_id).page(self._tenant_keys, below, limit)

    async def revoke(self, ctx: RequestContext, invitation_id: UUID) -> None:
        """Withdraw an open invitation.

        Raises:
            NotFound: There is none.
            PermissionDenied: ROLE_REQUIRED: it gives a role above the caller's.
        """
        tenant_id = ctx.tenant_id
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = InvitationRows(tx, tenant_id)
            role = await rows.role_of(invitation_id)
            if role is None:
                raise missing("invitation")
            require_rank(await Members(tx, tenant_id).lock_role(ctx.caller.user_id), role)
            await rows.withdraw(invitation_id)
            await OneTimeTokens(tx).discard(USE, tenant_id, invitation_id)
            await AuditTrail(tx).append(
                ctx,
                "identity.invitation.revoked",
                resource=f"invitations/{invitation_id}",
                details={"role": role},
            )

    async def offer(self, token: str) -> Offer:
        """What the link of an invitation offers; nothing is used up.

        Raises:
            TokenInvalid: Unknown, used, replaced, withdrawn or past its time.
        """
        async with self._db.transaction() as tx:
            found = await OneTimeTokens(tx).find(token, USE)
        if found is None:
            raise _invalid()
        async with self._db.tenant_transaction(found.tenant_id) as tx:
            invitation = await InvitationRows(tx, found.tenant_id).get(self._tenant_keys, found.subject_id)
            tenant = await TenantRows(tx, found.tenant_id).get()
            if invitation is None or tenant is None or tenant.status != "ACTIVE":
                raise _invalid()
            user = (
                await tx.execute(
                    text("SELECT * FROM app.auth_invited_user(:email)"), {"email": invitation.email}
                )
            ).one_or_none()
        if user is not None and not user.is_active:
            raise _invalid()
        return Offer(
            tenant,
            invitation,
            None if user is None else UserId(plain_uuid(user.user_id)),
            needs_password=user is None or not user.can_log_in,
            needs_terms=invitation.role == "owner" and not tenant.terms_version,
        )

    async def accept(
        self,
        ctx: RequestContext,
        token: str,
        *,
        password: str,
        terms_version: str,
        device_name: str,
        user_agent: str,
    ) -> Acceptance:
        """Join the tenant.

        Whoever has an account joins without a password: the link came to its address. They get no session
        of it, for that takes their password and second factor.

        Args:
            ctx: The request.
            token: Token of the link.
            password: Password of a new user; empty for one who has an account.
            terms_version: Version of the terms; needed from the first owner of a tenant.
            device_name: How the list of sessions shows the device.
            user_agent: How the program of the caller names itself.

        Raises:
            TokenInvalid: Unknown, used, replaced, withdrawn or past its time.
            InvalidArgument: FIELD_INVALID, PASSWORD_TOO_SHORT or PASSWORD_BREACHED; the link still works.
            LoginRateLimited: Too many passwords are being hashed.
        """
        offer = await self.offer(token)
        _require_given(offer, password, terms_version)
        encoded = await self._hasher.hash(password) if offer.needs_password else ""
        user_id = await retried(lambda: self._join(ctx, token, offer, encoded, terms_version))
        tenant_id = offer.tenant.tenant_id
        tokens = None
        if offer.needs_password:
            tokens = await self._sessions.open(
                tenant_id,
                user_id,
                device_name=device_name,
                address=ctx.address,
                user_agent=user_agent,
                amr=("pwd",),
            )
        return Acceptance(tenant_id, user_id, offer.invitation.role, tokens)

    async def purge(self) -> int:
        """Delete the invitations of every tenant whose time is over; answers how many."""
        async with self._db.transaction() as tx:
            return int(await tx.scalar(text("SELECT app.invitations_purge()")) or 0)

    async def _invite(self, ctx: RequestContext, email: str, role: str) -> Invitation:
        tenant_id, caller = ctx.tenant_id, ctx.caller.user_id
        async with self._db.tenant_transaction(tenant_id) as tx:
            require_rank(await Members(tx, tenant_id).lock_role(caller), role)
            if await InvitationRows(tx, tenant_id).count() >= OPEN_MAX:
                raise FailedPrecondition(
                    f"{OPEN_MAX} invitations are open; revoke some or wait until they are accepted",
                    reason="INVITATIONS_TOO_MANY",
                )
            made, token, replaced = await issue(tx, self._tenant_keys, tenant_id, email, role, caller)
            idempotency.made(invitation=str(made.invitation_id))
            tenant = await TenantRows(tx, tenant_id).get()
            assert tenant is not None
            values = {"token": token, "name": tenant.display_name, "role": role}
            await MailQueue(tx, self._mail_sealer).put(email, INVITATION, values)
            await note_invited(tx, ctx, made, replaced)
        return made

    async def _join(
        self, ctx: RequestContext, token: str, offer: Offer, encoded: str, terms_version: str
    ) -> UserId:
        tenant_id = offer.tenant.tenant_id
        async with self._db.tenant_transaction(tenant_id) as tx:
            # Both at once: of two clicks, and of a click and a withdrawal, one finds nothing left.
            if await OneTimeTokens(tx).consume(token, USE) is None:
                raise _invalid()
            invitation = await InvitationRows(tx, tenant_id).take(
                self._tenant_keys, offer.invitation.invitation_id
            )
            if invitation is None:
                raise _invalid()
            user_id = await _with_account(tx, offer, encoded)
            if not await Members(tx, tenant_id).add(user_id, invitation.role, invitation.invited_by):
                raise _invalid()
            if offer.needs_terms:
                await TenantRows(tx, tenant_id).update({"terms_version": terms_version})
            await AuditTrail(tx).append(
                Actor("user", str(user_id), ctx.request_id, ctx.address),
                "identity.invitation.accepted",
                resource=f"invitations/{invitation.invitation_id}",
                details={
                    "role": invitation.role,
                    "user": f"users/{user_id}",
                    "is_new": offer.user_id is None,
                    "terms_version": terms_version if offer.needs_terms else "",
                },
            )
        return user_id


async def issue(
    tx: AsyncConnection,
    tenant_keys: TenantKeys,
    tenant_id: TenantId,
    email: str,
    role: str,
    by: UserId | None,
) -> tuple[Invitation, str, UUID | None]:
    """Make an invitation, which replaces an open one of the address; answers it, its token and that one.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_keys: Seal the address.
        tenant_id: The tenant.
        email: Address in normal form.
        role: Role it gives.
        by: The user who invites; None for the operator.

    Raises:
        AlreadyExists: RESOURCE_EXISTS: the tenant has this user.
    """
    known = (
        await tx.execute(text("SELECT * FROM app.auth_invited_user(:email)"), {"email": email})
    ).one_or_none()
    if known is not None and await Members(tx, tenant_id).lock_role(UserId(known.user_id)) is not None:
        raise AlreadyExists("email: this person is a user of the tenant already")
    tokens = OneTimeTokens(tx)
    made, replaced = await InvitationRows(tx, tenant_id).replace(tenant_keys, email, role, by, LIFE_S)
    if replaced is not None:
        await tokens.discard(USE, tenant_id, replaced)
    return made, await tokens.issue(USE, tenant_id, made.invitation_id, LIFE_S), replaced


async def note_invited(
    tx: AsyncConnection, who: RequestContext | Actor, made: Invitation, replaced: UUID | None
) -> None:
    """Write an invitation into the audit log; the address stays out of it."""
    await AuditTrail(tx).append(
        who,
        "identity.user.invited",
        resource=f"invitations/{made.invitation_id}",
        details={"role": made.role, "replaces": "" if replaced is None else f"invitations/{replaced}"},
    )


async def _with_account(tx: AsyncConnection, offer: Offer, encoded: str) -> UserId:
    """The account of the invited address, made or given its first password if need be."""
    if offer.user_id is not None:
        if offer.needs_password and not await Credentials(tx).set_password(offer.user_id, encoded):
            raise _invalid()
        return offer.user_id
    user_id = UserId(uuid7())
    made = await tx.scalar(
        text("SELECT app.auth_user_join(:user, :email, :hash)"),
        {"user": user_id, "email": offer.invitation.email, "hash": encoded},
    )
    if not made:
        raise Aborted("the address got an account meanwhile; open the link again", retry_delay_s=0.1)
    return user_id


def _require_given(offer: Offer, password: str, terms_version: str) -> None:
    if offer.needs_terms and not terms_version:
        raise field_fault("accept_terms_version", "is required: the tenant has not accepted the terms yet")
    if offer.needs_password:
        if not password:
            raise field_fault("password", "is required: choose a password for the new account")
        check_new_password(password, offer.invitation.email)
    elif password:
        raise field_fault(
            "password", "must be left out: this address has an account; accept, then log in as before"
        )


def _invalid() -> TokenInvalid:
    return TokenInvalid(
        "this invitation was used, replaced or withdrawn, or its time is over; ask for a new one"
    )
