"""The user's side of OAuth: look at what a client asks for, show the choices, turn a decision into a code."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence

from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import NotFound
from cohortlens.core.ids import TenantId, UserId, parse_uuid
from cohortlens.identity.models import ROLE_SCOPES, field_fault
from cohortlens.identity.oauth.clients import person
from cohortlens.identity.oauth.models import (
    Authorization,
    AuthorizationParameters,
    AuthorizationRefused,
    Choice,
    Grant,
    OAuthClient,
)
from cohortlens.identity.oauth.redirects import is_registered, with_parameters
from cohortlens.identity.oauth.rows import OAuthLookups, OAuthRows

CODE_LIFE_S = 60
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


class OAuthAuthorization:
    """Decides with a user whether a client gets a code.

    Args:
        db: Database as the runtime role.
        issuer: Value of ``iss`` in every answer (RFC 9207), so that a client that talks to several
            servers knows which one answered.
    """

    def __init__(self, db: Database, issuer: str) -> None:
        self._db = db
        self._issuer = issuer

    async def check(self, parameters: AuthorizationParameters) -> Authorization:
        """Look at what a client asks for.

        Raises:
            AuthorizationRefused: The client is unknown or the address is none of its own, so that nothing
                may be sent there.
        """
        client = await self._trusted(parameters)
        fault = _fault(parameters)
        scopes = requested_scopes(client, parameters.scope)
        if fault or scopes is None:
            code, text = fault or ("invalid_scope", "a scope is unknown or beyond those of the client")
            return Authorization(client, (), self._answer(parameters, error=code, error_description=text))
        return Authorization(client, scopes)

    async def review(
        self, ctx: RequestContext, parameters: AuthorizationParameters
    ) -> tuple[Authorization, list[Choice]]:
        """What the caller could consent to: tenants with what the client would get there.

        Raises:
            AuthorizationRefused: As ``check``.
            PermissionDenied: FIRST_PARTY_ONLY, ROLE_REQUIRED.
        """
        user_id = UserId(person(ctx))
        asked = await self.check(parameters)
        return asked, [] if asked.error_uri else await self._choices(asked, user_id)

    async def decide(
        self,
        ctx: RequestContext,
        parameters: AuthorizationParameters,
        *,
        approved: bool,
        tenant: str,
        scopes: Sequence[str],
    ) -> str:
        """Where to send the browser after the caller's decision.

        Args:
            ctx: The request of the user.
            parameters: As the client sent them.
            approved: Whether the user consents.
            tenant: Which of the user's tenants; the caller's when empty.
            scopes: What the user grants of what was asked for.

        Raises:
            AuthorizationRefused: As ``check``.
            InvalidArgument: FIELD_INVALID: a scope that was not asked for, or none.
            NotFound: The user has no such tenant, or the client may not act there.
            PermissionDenied: FIRST_PARTY_ONLY, ROLE_REQUIRED.
        """
        user_id = UserId(person(ctx))
        asked = await self.check(parameters)
        if asked.error_uri:
            return asked.error_uri
        if not approved:
            await self._note_refusal(ctx, asked.client)
            return self._answer(
                parameters, error="access_denied", error_description="the user did not consent"
            )
        choice = _chosen(await self._choices(asked, user_id), tenant or str(ctx.tenant_id))
        granted = _granted(choice, scopes)
        code = secrets.token_urlsafe(32)
        async with self._db.tenant_transaction(choice.tenant_id) as tx:
            await OAuthRows(tx, choice.tenant_id).add_code(
                code_digest(code),
                client_id=asked.client.id,
                user_id=user_id,
                redirect_uri=parameters.redirect_uri,
                challenge=parameters.code_challenge,
                scopes=granted,
                amr=ctx.caller.amr,
                life_s=CODE_LIFE_S,
            )
            await AuditTrail(tx).append(
                ctx,
                "identity.oauth_consent.granted",
                resource=f"oauthClients/{asked.client.id}",
                details={"scopes": list(granted)},
            )
        return self._answer(parameters, code=code)

    async def _trusted(self, parameters: AuthorizationParameters) -> OAuthClient:
        client_id = parse_uuid(parameters.client_id)
        client = None
        if client_id is not None:
            async with self._db.transaction() as tx:
                client = await OAuthLookups(tx).client(client_id)
        if client is None or Grant.AUTHORIZATION_CODE not in client.grants:
            raise AuthorizationRefused(
                "the application that sent you here is not known; tell its maker: client_id",
                metadata={"parameter": "client_id"},
            )
        if not is_registered(parameters.redirect_uri, client.redirect_uris, is_public=client.is_public):
            raise AuthorizationRefused(
                "the application that sent you here named an address that is not registered for it; tell its "
                "maker: redirect_uri",
                metadata={"parameter": "redirect_uri"},
            )
        return client

    async def _choices(self, asked: Authorization, user_id: UserId) -> list[Choice]:
        async with self._db.transaction() as tx:
            memberships = await OAuthLookups(tx).memberships(user_id)
        return [
            Choice(tenant_id, name, given)
            for tenant_id, name, role in memberships
            if (asked.client.any_tenant or tenant_id == asked.client.tenant_id)
            and (given := tuple(one for one in asked.scopes if one in ROLE_SCOPES.get(role, ())))
        ]

    async def _note_refusal(self, ctx: RequestContext, client: OAuthClient) -> None:
        async with self._db.tenant_transaction(TenantId(ctx.tenant_id)) as tx:
            await AuditTrail(tx).append(
                ctx,
                "identity.oauth_consent.refused",
                resource=f"oauthClients/{client.id}",
                outcome="DENIED",
            )

    def _answer(self, parameters: AuthorizationParameters, **values: str) -> str:
        return with_parameters(
            parameters.redirect_uri, {**values, "state": parameters.state, "iss": self._issuer}
        )


def requested_scopes(client: OAuthClient, scope: str) -> tuple[str, ...] | None:
    """The scopes in a parameter; all of the client's when it is empty, None when one is not the client's."""
    if not scope:
        return client.scopes
    if not _SCOPES.fullmatch(scope):
        return None
    asked = set(scope.split(" "))
    return tuple(sorted(asked)) if asked <= set(client.scopes) else None


def code_digest(code: str) -> bytes:
    """What is stored of a code."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()


def _fault(parameters: AuthorizationParameters) -> tuple[str, str] | None:
    if parameters.response_type != "code":
        return "unsupported_response_type", "response_type must be code"
    if parameters.code_challenge_method != "S256":
        return "invalid_request", "code_challenge_method must be S256"
    if not _CHALLENGE.fullmatch(parameters.code_challenge):
        return "invalid_request", "code_challenge must be 43 characters of base64url"
    return None


def _chosen(choices: list[Choice], tenant: str) -> Choice:
    for choice in choices:
        if str(choice.tenant_id) == tenant:
            return choice
    raise NotFound("tenant: there is no such tenant", metadata={"field": "tenant"})


def _granted(choice: Choice, scopes: Sequence[str]) -> tuple[str, ...]:
    if not scopes:
        raise field_fault("scopes", "grant at least one, or refuse")
    for at, scope in enumerate(scopes):
        if scope not in choice.scopes:
            raise field_fault(f"scopes[{at}]", "was not asked for, or is not the user's to give")
    return tuple(sorted(set(scopes)))
