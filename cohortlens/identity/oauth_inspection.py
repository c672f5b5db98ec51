"""Ends tokens for the clients that hold them (RFC 7009) and tells what is known of them (RFC 7662)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cohortlens.audit.models import Actor
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import Principal, PrincipalKind, RequestContext
from cohortlens.core.errors import InvalidArgument, Unauthenticated
from cohortlens.identity import jws
from cohortlens.identity.oauth_authentication import ClientAuthenticator
from cohortlens.identity.oauth_models import ClientProof, InvalidRequest, OAuthClient
from cohortlens.identity.sessions import SessionKeeper
from cohortlens.identity.token_check import AccessTokenVerifier

INTROSPECT = "internal.introspect"
_SHOWN = ("scope", "client_id", "exp", "iat", "sub", "iss", "jti", "tenant_id", "sid")


class UnsupportedTokenType(InvalidArgument):
    """A token that cannot be ended before its time."""

    reason = "UNSUPPORTED_TOKEN_TYPE"


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
        clients: Proves clients.
        sessions: Where refresh tokens belong.
        verifier: Knows access tokens.
        issuer: Value of ``iss``.
        clock: Current time.
    """

    def __init__(
        self,
        clients: ClientAuthenticator,
        sessions: SessionKeeper,
        verifier: AccessTokenVerifier,
        issuer: str,
        clock: Clock = now,
    ) -> None:
        self._clients = clients
        self._sessions = sessions
        self._verifier = verifier
        self._issuer = issuer
        self._clock = clock

    async def revoke(self, ctx: RequestContext, proof: ClientProof, token: str) -> None:
        """End the session of a token of the client; of anything else nothing happens and nothing is told.

        Raises:
            InvalidClient: The client did not prove who it is.
            UnsupportedTokenType: An access token that a client got for itself: it has no session and ends
                by itself within ten minutes.
        """
        client = await self._clients.authenticate(proof, ctx.address)
        client_id = str(client.id if isinstance(client, OAuthClient) else client.account_id)
        principal = await self._principal(token)
        if principal is None:
            await self._sessions.revoke_token(token, client_id=client_id)
        elif principal.client_id != client_id:
            return
        elif principal.kind is PrincipalKind.USER:
            who = Actor("oauth_client", client_id, request_id=ctx.request_id, address=ctx.address)
            await self._sessions.end(
                principal.tenant_id, principal.user_id, principal.session_id, "TOKEN_REVOKED", who=who
            )
        else:
            raise UnsupportedTokenType(
                "an access token of client_credentials has no session to end; it expires within 10 minutes"
            )

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

    async def _principal(self, token: str) -> Principal | None:
        try:
            return await self._verifier.verify(token)
        except Unauthenticated:
            return None

    async def _access(self, token: str) -> Introspection | None:
        if await self._principal(token) is None:
            return None
        # The verifier has just proven the signature over these bytes.
        claims = jws.json_object(jws.decode(token.split(".")[1]))
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
