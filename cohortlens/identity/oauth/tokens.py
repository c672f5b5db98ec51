"""The token endpoint: codes, refresh tokens and a client's own credentials against access tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import NotFound, Unauthenticated
from cohortlens.core.ids import SessionId
from cohortlens.identity.access import jws
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.access.tokens import AUDIENCE, AccessTokens
from cohortlens.identity.models import TokenPair
from cohortlens.identity.oauth.authentication import ClientAuthenticator
from cohortlens.identity.oauth.authorization import code_digest, requested_scopes
from cohortlens.identity.oauth.models import (
    ClientProof,
    CodeState,
    Grant,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    IssuedTokens,
    OAuthClient,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from cohortlens.identity.oauth.rows import OAuthLookups, OAuthRows
from cohortlens.identity.programs.service_account_verifier import ServiceAccount
from cohortlens.identity.sessions.keeper import SessionKeeper
from cohortlens.identity.sessions.rows import Sessions

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class _CodeTakenError(Exception):
    """Another call used the code first."""


@dataclass(frozen=True)
class TokenRequest:
    """Parameters of the token endpoint.

    Attributes:
        grant_type: How the client asks.
        code: The code.
        redirect_uri: Address it was sent to.
        code_verifier: What hashes to its challenge.
        refresh_token: The refresh token.
        scope: Fewer scopes than granted; all of them when empty.
        user_agent: As the client's program names itself.
    """

    grant_type: str
    code: str = ""
    redirect_uri: str = ""
    code_verifier: str = ""
    refresh_token: str = ""
    scope: str = ""
    user_agent: str = ""


class OAuthTokens:
    """Exchanges what a client holds for access tokens.

    Args:
        db: Database as the runtime role.
        clients: Proves clients.
        sessions: Opens and renews sessions; a refresh token is one of a session that belongs to a client.
        tokens: Signs access tokens.
        revocations: Tells the other processes of a session that ends.
    """

    def __init__(
        self,
        db: Database,
        clients: ClientAuthenticator,
        sessions: SessionKeeper,
        tokens: AccessTokens,
        revocations: Revocations,
    ) -> None:
        self._db = db
        self._clients = clients
        self._sessions = sessions
        self._tokens = tokens
        self._revocations = revocations

    async def exchange(self, ctx: RequestContext, proof: ClientProof, asked: TokenRequest) -> IssuedTokens:
        """The tokens a client gets.

        Raises:
            InvalidRequest: A parameter is missing.
            InvalidClient: The client did not prove who it is.
            InvalidGrant: The code or refresh token is not good. A code that was used before ends the session
                it opened, a refresh token that was used before the session it is of.
            InvalidScope: More than was granted.
            UnauthorizedClient: The client may not ask in this way.
            UnsupportedGrantType: No such way.
        """
        if asked.grant_type not in {"authorization_code", "refresh_token", "client_credentials"}:
            raise UnsupportedGrantType(
                "grant_type must be authorization_code, refresh_token or client_credentials"
            )
        client = await self._clients.authenticate(proof, ctx.address)
        if asked.grant_type == "client_credentials":
            return await self._own(ctx, client, asked)
        if not isinstance(client, OAuthClient) or Grant.AUTHORIZATION_CODE not in client.grants:
            raise UnauthorizedClient(f"this client may not use {asked.grant_type}")
        if asked.grant_type == "refresh_token":
            return await self._renewed(ctx, client, asked)
        return await self._redeemed(ctx, client, asked)

    async def _redeemed(self, ctx: RequestContext, client: OAuthClient, asked: TokenRequest) -> IssuedTokens:
        for name in ("code", "redirect_uri", "code_verifier"):
            if not getattr(asked, name):
                raise InvalidRequest(f"{name} is missing")
        digest = code_digest(asked.code)
        state = await self._code(digest)
        if state is None:
            raise _bad_code()
        if state.client_id != client.id:
            # No word to the holder of a stolen code, and no harm to the one it belongs to.
            await self._note(ctx, client, state, "CLIENT")
            raise _bad_code()
        if state.session_id is not None:
            await self._end_replayed(ctx, client, state)
            raise _bad_code()
        await self._require_bound(ctx, client, state, asked)
        try:
            pair = await self._opened(ctx, client, state, digest, asked.user_agent)
        except _CodeTakenError:
            later = await self._code(digest)
            if later is not None and later.session_id is not None:
                await self._end_replayed(ctx, client, later)
            raise _bad_code() from None
        except NotFound:
            # The user or the tenant is no longer active.
            raise _bad_code() from None
        return _issued(pair)

    async def _require_bound(
        self, ctx: RequestContext, client: OAuthClient, state: CodeState, asked: TokenRequest
    ) -> None:
        if not hmac.compare_digest(state.redirect_uri.encode(), asked.redirect_uri.encode()):
            await self._note(ctx, client, state, "REDIRECT_URI")
            raise _bad_code()
        is_verifier = _VERIFIER.fullmatch(asked.code_verifier) is not None
        if not hmac.compare_digest(state.challenge, _challenge(asked.code_verifier if is_verifier else "")):
            await self._note(ctx, client, state, "CODE_VERIFIER")
            raise _bad_code()
        if state.is_over:
            raise _bad_code()

    async def _opened(
        self, ctx: RequestContext, client: OAuthClient, state: CodeState, digest: bytes, user_agent: str
    ) -> TokenPair:
        async def use(tx: AsyncConnection, session_id: SessionId) -> None:
            if not await OAuthRows(tx, state.tenant_id).use_code(digest, session_id):
                raise _CodeTakenError
            await AuditTrail(tx).append(
                Actor("user", str(state.user_id), request_id=ctx.request_id, address=ctx.address),
                "identity.session.opened",
                resource=f"sessions/{session_id}",
                details={"oauth_client": str(client.id), "scopes": list(state.scopes)},
            )

        return await self._sessions.open(
            state.tenant_id,
            state.user_id,
            device_name=client.display_name,
            address=ctx.address,
            user_agent=user_agent,
            amr=state.amr,
            client_id=str(client.id),
            scopes=frozenset(state.scopes),
            within=use,
        )

    async def _renewed(self, ctx: RequestContext, client: OAuthClient, asked: TokenRequest) -> IssuedTokens:
        if not asked.refresh_token:
            raise InvalidRequest("refresh_token is missing")
        try:
            pair = await self._sessions.renew(
                asked.refresh_token,
                client_id=str(client.id),
                address=ctx.address,
                request_id=ctx.request_id,
                narrowed=frozenset(_scopes(client, asked.scope)) if asked.scope else None,
            )
        except Unauthenticated as fault:
            raise InvalidGrant(fault.message, metadata={"cause": fault.reason}) from None
        return _issued(pair)

    async def _own(
        self, ctx: RequestContext, client: OAuthClient | ServiceAccount, asked: TokenRequest
    ) -> IssuedTokens:
        """A token that the client gets for itself."""
        audience: tuple[str, ...] = (AUDIENCE,)
        if isinstance(client, OAuthClient):
            if Grant.CLIENT_CREDENTIALS not in client.grants:
                raise UnauthorizedClient("this client may not use client_credentials")
            scopes, subject = frozenset(_scopes(client, asked.scope)), client.id
            actor = Actor("oauth_client", str(client.id), request_id=ctx.request_id, address=ctx.address)
        else:
            scopes, subject = _within(client.scopes, asked.scope), client.account_id
            audience = client.audiences
            actor = Actor("service_account", str(subject), request_id=ctx.request_id, address=ctx.address)
        access, expires_in = await self._tokens.issue_service(
            subject,
            client.tenant_id,
            scopes=scopes,
            client_id=str(subject),
            tver=client.tver,
            audience=audience,
        )
        async with self._db.tenant_transaction(client.tenant_id) as tx:
            await AuditTrail(tx).append(actor, "identity.token.issued", details={"scopes": sorted(scopes)})
        return IssuedTokens(access, expires_in, " ".join(sorted(scopes)))

    async def _code(self, digest: bytes) -> CodeState | None:
        async with self._db.transaction() as tx:
            return await OAuthLookups(tx).code(digest)

    async def _end_replayed(self, ctx: RequestContext, client: OAuthClient, state: CodeState) -> None:
        """End the session of a code that came again: one of the two who hold it is not the client."""
        assert state.session_id is not None
        async with self._db.tenant_transaction(state.tenant_id) as tx:
            await Sessions(tx, state.tenant_id).revoke(state.session_id, "CODE_REUSED")
            await self._append(tx, ctx, client, state, "USED")
        await self._revocations.publish()

    async def _note(self, ctx: RequestContext, client: OAuthClient, state: CodeState, cause: str) -> None:
        async with self._db.tenant_transaction(state.tenant_id) as tx:
            await self._append(tx, ctx, client, state, cause)

    async def _append(
        self, tx: AsyncConnection, ctx: RequestContext, client: OAuthClient, state: CodeState, cause: str
    ) -> None:
        session = {} if state.session_id is None else {"session": str(state.session_id)}
        await AuditTrail(tx).append(
            Actor("oauth_client", str(client.id), request_id=ctx.request_id, address=ctx.address),
            "identity.oauth_code.refused",
            resource=f"users/{state.user_id}",
            outcome="DENIED",
            details={"cause": cause, **session},
        )


def _scopes(client: OAuthClient, scope: str) -> tuple[str, ...]:
    found = requested_scopes(client, scope)
    if found is None:
        raise InvalidScope("scope: one is unknown or beyond those of the client")
    return found


def _within(granted: Iterable[str], scope: str) -> frozenset[str]:
    most = frozenset(granted)
    asked = frozenset(scope.split()) or most
    if not asked <= most:
        raise InvalidScope("scope: one is unknown or beyond those of the service account")
    return asked


def _issued(pair: TokenPair) -> IssuedTokens:
    # Signed a moment ago, so the claims say what was granted.
    claims = jws.json_object(jws.decode(pair.access_token.split(".")[1]))
    return IssuedTokens(pair.access_token, pair.expires_in_s, claims["scope"], pair.refresh_token)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _bad_code() -> InvalidGrant:
    return InvalidGrant(
        "the code is unknown, over 60 s old, was used before, or belongs to another client, redirect_uri or "
        "code_verifier; send the user to authorize again"
    )
