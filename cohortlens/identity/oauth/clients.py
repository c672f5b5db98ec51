"""The use cases of a tenant's OAuth clients: register, list, delete, new secret."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.context import PrincipalKind, RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, NotFound, ResourceExhausted
from cohortlens.core.ids import uuid7
from cohortlens.identity.access.changes import AccessChanges
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.access.tokens import CLIENT_ID
from cohortlens.identity.models import field_fault
from cohortlens.identity.oauth.keys import key_set
from cohortlens.identity.oauth.models import ClientAuthentication, FirstPartyOnly, Grant, OAuthClient
from cohortlens.identity.oauth.redirects import check_redirect_uri
from cohortlens.identity.oauth.rows import OAuthRows
from cohortlens.identity.programs.scopes import granted

MOST_CLIENTS = 100
LONGEST_OVERLAP_S = 86_400
SECRET_PREFIX = "cl_secret_"  # noqa: S105 - how secrets begin, so that scanners know them
_SIGNED = ClientAuthentication.PRIVATE_KEY_JWT


@dataclass(frozen=True)
class NewClient:
    """A client that was just registered.

    Attributes:
        client: The client.
        secret: Its secret; empty when it has none. Nothing can make it again.
    """

    client: OAuthClient
    secret: str = field(repr=False)


class OAuthClients:
    """Registers and ends OAuth clients.

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
        authentication: ClientAuthentication,
        grants: Sequence[Grant],
        redirect_uris: Sequence[str],
        scopes: Sequence[str],
        any_tenant: bool,
        jwks: str,
    ) -> NewClient:
        """Register a client of the caller's tenant.

        Raises:
            InvalidArgument: FIELD_INVALID; URL_NOT_ALLOWED for a redirect URI.
            PermissionDenied: SCOPE_MISSING beyond the caller's own scopes; ROLE_REQUIRED for a program.
            ResourceExhausted: CLIENT_QUOTA_EXCEEDED.
        """
        maker = person(ctx)
        wanted = _checked(display_name, authentication, grants, redirect_uris, any_tenant)
        keys = key_set(jwks, "jwks") if authentication is _SIGNED else None
        if jwks and keys is None:
            raise field_fault("jwks", "is for clients that sign JWTs")
        secret, digest = _new_secret() if authentication is ClientAuthentication.SECRET_BASIC else ("", None)
        client = OAuthClient(
            tenant_id=ctx.tenant_id,
            id=uuid7(),
            display_name=display_name.strip(),
            authentication=authentication,
            grants=wanted,
            redirect_uris=tuple(dict.fromkeys(redirect_uris)),
            scopes=granted(ctx.caller, scopes),
            any_tenant=any_tenant,
            jwks=keys,
            secret_created_at=None,
            created_at=datetime.fromtimestamp(0, UTC),
        )
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = OAuthRows(tx, ctx.tenant_id)
            await rows.lock()
            if await rows.count() >= MOST_CLIENTS:
                raise ResourceExhausted(
                    f"a tenant has at most {MOST_CLIENTS} OAuth clients; delete those that are not used",
                    reason="CLIENT_QUOTA_EXCEEDED",
                    metadata={"limit": str(MOST_CLIENTS)},
                )
            client = await rows.add(client, digest, maker)
            idempotency.made(oauth_client=str(client.id))
            await AuditTrail(tx).append(
                ctx, "identity.oauth_client.created", resource=_path(client.id), details=_told(client)
            )
        return NewClient(client, secret)

    async def page(self, ctx: RequestContext, after: UUID | None, limit: int) -> list[OAuthClient]:
        """Clients of the tenant behind ``after``, oldest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await OAuthRows(tx, ctx.tenant_id).page(after, limit)

    async def delete(self, ctx: RequestContext, client_id: UUID) -> None:
        """Delete a client; its codes, sessions and tokens end with it.

        Raises:
            NotFound: No such client in the tenant.
        """
        person(ctx)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = OAuthRows(tx, ctx.tenant_id)
            if await rows.find(client_id) is None:
                raise _missing()
            ended = await rows.delete(client_id)
            # Tokens that it got for itself name it as their session.
            await AccessChanges(tx, ctx.tenant_id).key(client_id, "CLIENT_DELETED")
            await AuditTrail(tx).append(
                ctx,
                "identity.oauth_client.deleted",
                resource=_path(client_id),
                details={"sessions_ended": ended},
            )
        await self._revocations.publish()

    async def rotate_secret(self, ctx: RequestContext, client_id: UUID, overlap_s: float) -> str:
        """A new secret; the old one works for ``overlap_s`` more seconds.

        Raises:
            InvalidArgument: FIELD_INVALID: the overlap is longer than a day.
            NotFound: No such client in the tenant.
            FailedPrecondition: CLIENT_HAS_NO_SECRET.
            PermissionDenied: SCOPE_MISSING: the client may do what the caller may not.
        """
        person(ctx)
        if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
            raise field_fault("overlap", "must be between 0 and 24 h")
        secret, digest = _new_secret()
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = OAuthRows(tx, ctx.tenant_id)
            client = await rows.find(client_id)
            if client is None:
                raise _missing()
            if client.authentication is not ClientAuthentication.SECRET_BASIC:
                raise FailedPrecondition(
                    "this client proves itself without a secret; there is none to rotate",
                    reason="CLIENT_HAS_NO_SECRET",
                )
            granted(ctx.caller, client.scopes)
            await rows.rotate_secret(client_id, digest, overlap_s)
            await AuditTrail(tx).append(
                ctx,
                "identity.oauth_client.secret_rotated",
                resource=_path(client_id),
                details={"overlap_s": overlap_s},
            )
        return secret


def person(ctx: RequestContext) -> UUID:
    """The user behind a call that only the person may make, not an application the person once consented to.

    Raises:
        PermissionDenied: ROLE_REQUIRED for a program, FIRST_PARTY_ONLY for an application.
    """
    caller = ctx.caller
    if caller.kind is PrincipalKind.USER and caller.client_id != CLIENT_ID:
        raise FirstPartyOnly(
            "this call needs the user's own session; a token issued to an application does not do"
        )
    return caller.user_id


def _checked(
    display_name: str,
    authentication: ClientAuthentication,
    grants: Sequence[Grant],
    redirect_uris: Sequence[str],
    any_tenant: bool,
) -> frozenset[Grant]:
    if not display_name.strip() or not display_name.isprintable():
        raise field_fault("display_name", "must be a name people can read, without line ends")
    is_public = authentication is ClientAuthentication.NONE
    if is_public and Grant.CLIENT_CREDENTIALS in grants:
        raise field_fault("grants", "a public client can prove nothing, so it gets no tokens for itself")
    if (Grant.AUTHORIZATION_CODE in grants) != bool(redirect_uris):
        raise field_fault("redirect_uris", "are given if and only if grants has authorization_code")
    if any_tenant and Grant.AUTHORIZATION_CODE not in grants:
        raise field_fault("any_tenant", "is for clients that users consent to")
    for at, uri in enumerate(redirect_uris):
        check_redirect_uri(uri, f"redirect_uris[{at}]", is_public=is_public)
    return frozenset(grants)


def _new_secret() -> tuple[str, bytes]:
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    return secret, hashlib.sha256(secret.encode()).digest()


def _path(client_id: UUID) -> str:
    return f"oauthClients/{client_id}"


def _told(client: OAuthClient) -> dict[str, object]:
    return {
        "authentication": client.authentication.value,
        "grants": sorted(client.grants),
        "scopes": list(client.scopes),
        "redirect_uris": list(client.redirect_uris),
        "any_tenant": client.any_tenant,
    }


def _missing() -> NotFound:
    return NotFound("oauth_client: there is no such client", metadata={"field": "oauth_client"})
