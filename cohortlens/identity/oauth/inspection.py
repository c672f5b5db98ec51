"""Ends tokens for the clients that hold them (RFC 7009) and tells what is known of them (RFC 7662)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import PrincipalKind, RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.identity.access.changes import AccessChanges
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.access.token_check import AccessTokenVerifier, Examined
from cohortlens.identity.oauth.authentication import ClientAuthenticator
from cohortlens.identity.oauth.models import ClientProof, InvalidRequest, OAuthClient
from cohortlens.identity.sessions.keeper import SessionKeeper

INTROSPECT = "internal.introspect"
_SHOWN = ("scope", "client_id", "exp", "iat", "sub", "iss", "jti", "tenant_id", "sid")


@dataclass(frozen=True)
class Introspection:
    """What is told of a token.

    Attributes:
        active: Whether it would be taken now.
        claims: Its claims; empty for one that is not active, or not the asker's business.
    """

    active: bool
    claims: dict[str, Any] = field(default_factory=dict)


_NOTHING = Introspection(active=False)


class OAuthInspection:
    """Ends and explains tokens.

    Args:
        db: Database as the runtime role.
        clients: Proves clients.
        sessions: Where refresh tokens belong.
        verifier: Knows access tokens.
        revocations: Tells the processes of a token that ends.
        issuer: Value of ``iss``.
        clock: Current time.
    """

    def __init__(
        self,
        db: Database,
        clients: ClientAuthenticator,
        sessions: SessionKeeper,
        verifier: AccessTokenVerifier,
        revocations: Revocations,
        issuer: str,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._clients = clients
        self._sessions = sessions
        self._verifier = verifier
        self._revocations = revocations
        self._issuer = issuer
        self._clock = clock

    async def revoke(self, ctx: RequestContext, proof: ClientProof, token: str) -> None:
        """End a token of the client, with its session if it has one.

        Of anything else nothing happens and nothing is told.

        Raises:
            InvalidClient: The client did not prove who it is.
        """
        client = await self._clients.authenticate(proof, ctx.address)
        client_id = str(client.id if isinstance(client, OAuthClient) else client.account_id)
        kind = "oauth_client" if isinstance(client, OAuthClient) else "service_account"
        who = Actor(kind, client_id, request_id=ctx.request_id, address=ctx.address)
        found = await self._examined(token)
        if found is None:
            await self._sessions.revoke_token(token, client_id=client_id, who=who)
        elif found.principal.client_id == client_id:
            await self._end(found, who)

    async def _end(self, found: Examined, who: Actor) -> None:
        principal = found.principal
        if principal.kind is PrincipalKind.USER:
            await self._sessions.end(
                principal.tenant_id, principal.user_id, principal.session_id, "TOKEN_REVOKED", who=who
            )
            return
        jti = found.claims["jti"]
        async with self._db.tenant_transaction(principal.tenant_id) as tx:
            await AccessChanges(tx, principal.tenant_id).token(UUID(jti))
            await AuditTrail(tx).append(who, "identity.token.ended", details={"jti": jti})
        await self._revocations.publish()

    async def introspect(self, ctx: RequestContext, proof: ClientProof, token: str) -> Introspection:
        """What is known of a token, to its client or to whoever has the scope ``internal.introspect``.

        Raises:
            InvalidClient: The caller did not prove who it is.
            InvalidRequest: More than one proof.
            PermissionDenied: SCOPE_MISSING: a bearer without the scope.
        """
        asker = await self._asker(ctx, proof)
        found = await self._access(token) or await self._refresh(token)
        is_own = asker is None or found.claims.get("client_id") == asker
        return found if found.active and is_own else _NOTHING

    async def _asker(self, ctx: RequestContext, proof: ClientProof) -> str | None:
        """The client that asks, or None for one that may see every token."""
        if len(proof.authorization) == 1 and proof.authorization[0][:7].lower() == "bearer ":
            if proof.assertion:
                raise InvalidRequest("prove yourself in one way")
            principal = await self._verifier.verify(proof.authorization[0][7:].strip())
            principal.require(INTROSPECT)
            return None
        client = await self._clients.authenticate(proof, ctx.address)
        if INTROSPECT in client.scopes:
            return None
        return str(client.id if isinstance(client, OAuthClient) else client.account_id)

    async def _examined(self, token: str) -> Examined | None:
        try:
            return await self._verifier.examined(token)
        except Unauthenticated:
            return None

    async def _access(self, token: str) -> Introspection | None:
        found = await self._examined(token)
        if found is None:
            return None
        claims = found.claims
        shown = {name: claims[name] for name in _SHOWN if name in claims}
        return Introspection(
            active=True, claims={**shown, "aud": " ".join(claims["aud"]), "token_type": "Bearer"}
        )

    async def _refresh(self, token: str) -> Introspection:
        state = await self._sessions.state_of(token)
        if state is None:
            return _NOTHING
        scope = "" if state.scopes is None else " ".join(sorted(state.scopes))
        return Introspection(
            active=True,
            claims={
                "scope": scope,
                "client_id": state.client_id,
                "exp": int(self._clock().timestamp() + state.expires_in_s),
                "sub": str(state.user_id),
                "iss": self._issuer,
                "tenant_id": str(state.tenant_id),
                "sid": str(state.session_id),
                "token_type": "refresh_token",
            },
        )
