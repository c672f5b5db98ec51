"""What users do with their sessions: list, end, renew, and change to another of their tenants."""

from __future__ import annotations

from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import NotFound
from cohortlens.core.ids import SessionId, TenantId, UserId, parse_uuid
from cohortlens.identity.access.changes import AccessChanges
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.access.tokens import CLIENT_ID
from cohortlens.identity.models import TokenPair
from cohortlens.identity.oauth.models import FirstPartyOnly
from cohortlens.identity.sessions.keeper import SessionKeeper
from cohortlens.identity.sessions.rows import SessionRow, Sessions

CURRENT = "current"
ME = "me"


class SessionControl:
    """The use cases of sessions.

    Args:
        db: Database as the runtime role.
        keeper: Opens, renews and ends sessions.
        revocations: Told of what was ended.
    """

    def __init__(self, db: Database, keeper: SessionKeeper, revocations: Revocations) -> None:
        self._db = db
        self._keeper = keeper
        self._revocations = revocations

    async def refresh(self, refresh_token: str, *, address: str = "", request_id: str = "") -> TokenPair:
        """Exchange a refresh token for the next pair; raises as ``SessionKeeper.renew``."""
        return await self._keeper.renew(refresh_token, address=address, request_id=request_id)

    async def page(self, ctx: RequestContext, after: SessionId | None, limit: int) -> list[SessionRow]:
        """The caller's sessions in this tenant, newest first.

        Raises:
            PermissionDenied: ROLE_REQUIRED for a program, FIRST_PARTY_ONLY for an application.
        """
        caller = _of_our_own(ctx)
        async with self._db.tenant_transaction(caller.tenant_id) as tx:
            rows = Sessions(tx, caller.tenant_id)
            return await rows.of_user(caller.user_id, after=after, limit=limit)

    async def delete(self, ctx: RequestContext, session: str) -> None:
        """End a session of the caller; ``current`` is the one the call came with, which is log out.

        Raises:
            NotFound: The caller has no such session.
            PermissionDenied: ROLE_REQUIRED for a program; FIRST_PARTY_ONLY for an application that ends more
                than its own session.
        """
        caller = ctx.caller
        if session in (CURRENT, str(caller.session_id)):
            session_id, user_id = caller.session_id, caller.user_id
        else:
            user_id = _of_our_own(ctx).user_id
            parsed = parse_uuid(session)
            if parsed is None:
                raise _no_session()
            session_id = SessionId(parsed)
        if not await self._keeper.end(caller.tenant_id, user_id, session_id, "LOGOUT", who=ctx):
            raise _no_session()

    async def revoke_of(self, ctx: RequestContext, user: str) -> int:
        """End every session of a user in this tenant; of others with the scope ``users.write``.

        Returns:
            How many were ended.

        Raises:
            NotFound: No such user in the tenant.
            PermissionDenied: SCOPE_MISSING, or as in ``page``.
        """
        caller = ctx.caller
        user_id = self._target(ctx, user)
        async with self._db.tenant_transaction(caller.tenant_id) as tx:
            if not await Sessions(tx, caller.tenant_id).has_user(user_id):
                raise _no_user()
            changes = AccessChanges(tx, caller.tenant_id)
            count = await changes.sessions_of(user_id, "REVOKED")
            idempotency.made(count=count)
            await AuditTrail(tx).append(
                ctx, "identity.sessions.revoked", resource=f"users/{user_id}", details={"count": count}
            )
        await self._revocations.publish(changes)
        return count

    async def switch_tenant(self, ctx: RequestContext, tenant: str, *, user_agent: str = "") -> TokenPair:
        """Open a session in another tenant of the caller; the one of the call goes on.

        Args:
            ctx: The request.
            tenant: The tenant.
            user_agent: As the caller's program names itself.

        Raises:
            NotFound: The caller does not belong to such a tenant.
            PermissionDenied: As in ``page``: what an application was granted for one tenant says nothing
                about another.
        """
        caller = _of_our_own(ctx)
        try:
            pair = await self._opened_in(ctx, caller, tenant, user_agent)
        except NotFound:
            # In the caller's own log: the other tenant, if there is one, has nothing to do with the caller.
            async with self._db.tenant_transaction(caller.tenant_id) as tx:
                await AuditTrail(tx).append(
                    ctx,
                    "identity.session.switched",
                    resource=f"sessions/{caller.session_id}",
                    outcome="DENIED",
                    details={"tenant": tenant},
                )
            raise
        async with self._db.tenant_transaction(pair.tenant_id) as tx:
            await AuditTrail(tx).append(
                ctx, "identity.session.switched", resource=f"sessions/{pair.session_id}"
            )
        return pair

    async def _opened_in(
        self, ctx: RequestContext, caller: Principal, tenant: str, user_agent: str
    ) -> TokenPair:
        parsed = parse_uuid(tenant)
        if parsed is None:
            raise NotFound("tenant: there is no such tenant", metadata={"field": "tenant"})
        async with self._db.tenant_transaction(caller.tenant_id) as tx:
            device_name = await Sessions(tx, caller.tenant_id).device_name(caller.session_id)
        return await self._keeper.open(
            TenantId(parsed),
            caller.user_id,
            device_name=device_name,
            address=ctx.address,
            user_agent=user_agent,
            amr=caller.amr,
        )

    def _target(self, ctx: RequestContext, user: str) -> UserId:
        caller = ctx.caller
        if user in (ME, str(caller.id)):
            return _of_our_own(ctx).user_id
        caller.require("users.write")
        parsed = parse_uuid(user)
        if parsed is None:
            raise _no_user()
        return UserId(parsed)


def _of_our_own(ctx: RequestContext) -> Principal:
    caller = ctx.caller
    if caller.user_id and caller.client_id != CLIENT_ID:
        raise FirstPartyOnly(
            "this call needs the user's own session; a token issued to an application does not do"
        )
    return caller


def _no_session() -> NotFound:
    return NotFound("session: there is no such session", metadata={"field": "session"})


def _no_user() -> NotFound:
    return NotFound("user: there is no such user", metadata={"field": "user"})
