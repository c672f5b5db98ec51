"""The authorisation server's values and its errors, one per code of RFC 6749 5.2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from cohortlens.core.errors import CohortLensError, InvalidArgument, PermissionDenied, Unauthenticated
from cohortlens.core.ids import SessionId, TenantId, UserId


class ClientAuthentication(StrEnum):
    """How a client proves who it is."""

    NONE = "NONE"
    SECRET_BASIC = "SECRET_BASIC"  # noqa: S105 - a name, not a secret
    PRIVATE_KEY_JWT = "PRIVATE_KEY_JWT"


class Grant(StrEnum):
    """How a client gets tokens."""

    AUTHORIZATION_CODE = "AUTHORIZATION_CODE"
    CLIENT_CREDENTIALS = "CLIENT_CREDENTIALS"


class InvalidRequest(InvalidArgument):
    """A parameter is missing, twice there, or makes no sense."""

    reason = "INVALID_REQUEST"


class InvalidClient(Unauthenticated):
    """The client is unknown or did not prove who it is."""

    reason = "INVALID_CLIENT"


class InvalidGrant(InvalidArgument):
    """The code or refresh token is not good, not any more, or not this client's."""

    reason = "INVALID_GRANT"


class UnauthorizedClient(InvalidArgument):
    """The client may not use this way to get tokens."""

    reason = "UNAUTHORIZED_CLIENT"


class UnsupportedGrantType(InvalidArgument):
    """No such way to get tokens."""

    reason = "UNSUPPORTED_GRANT_TYPE"


class InvalidScope(InvalidArgument):
    """A scope is unknown or more than may be asked for."""

    reason = "INVALID_SCOPE"


class AuthorizationRefused(InvalidArgument):
    """Who asks cannot be trusted with an answer: unknown client, or an address that is none of its own."""

    reason = "AUTHORIZATION_REFUSED"


class FirstPartyOnly(PermissionDenied):
    """A token that was issued to an application, where the user has to be there in person."""

    reason = "FIRST_PARTY_ONLY"


OAUTH_ERRORS: dict[str, str] = {
    "INVALID_REQUEST": "invalid_request",
    "INVALID_CLIENT": "invalid_client",
    "INVALID_GRANT": "invalid_grant",
    "UNAUTHORIZED_CLIENT": "unauthorized_client",
    "UNSUPPORTED_GRANT_TYPE": "unsupported_grant_type",
    "INVALID_SCOPE": "invalid_scope",
}
"""Code of RFC 6749 5.2 of each reason."""


@dataclass(frozen=True)
class OAuthClient:
    """An application that may ask for tokens.

    Attributes:
        tenant_id: Tenant that registered it.
        id: Its identifier.
        display_name: Its name.
        authentication: How it proves who it is.
        grants: How it gets tokens.
        redirect_uris: Where codes may go.
        scopes: The most it may ask for, sorted.
        any_tenant: Whether users of other tenants may consent.
        jwks: Its public keys; None when it signs nothing.
        secret_created_at: When its secret was made; None when it has none.
        created_at: When it was registered.
        publisher: Name of the tenant that registered it; empty in lists of that tenant.
        tver: Version of that tenant's state; 0 in lists.
        secrets: SHA-256 of the secrets that are good now.
    """

    tenant_id: TenantId
    id: UUID
    display_name: str
    authentication: ClientAuthentication
    grants: frozenset[Grant]
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    any_tenant: bool
    jwks: dict[str, Any] | None
    secret_created_at: datetime | None
    created_at: datetime
    publisher: str = ""
    tver: int = 0
    secrets: tuple[bytes, ...] = ()

    @property
    def is_public(self) -> bool:
        """Whether it can keep no secret."""
        return self.authentication is ClientAuthentication.NONE


@dataclass(frozen=True)
class AuthorizationParameters:
    """What a client asks a user for (RFC 6749 4.1.1, RFC 7636 4.3), as sent.

    Attributes:
        response_type: ``code``.
        client_id: The client.
        redirect_uri: Where the answer goes.
        scope: Scopes, separated by spaces; all of the client's when empty.
        state: Handed back.
        code_challenge: base64url of the SHA-256 of the verifier.
        code_challenge_method: ``S256``.
    """

    response_type: str
    client_id: str
    redirect_uri: str
    scope: str
    state: str
    code_challenge: str
    code_challenge_method: str


@dataclass(frozen=True)
class Authorization:
    """Parameters that were looked at.

    Attributes:
        client: Who asks.
        scopes: What for.
        error_uri: Where to send the browser because something else is wrong; empty when all is well.
    """

    client: OAuthClient
    scopes: tuple[str, ...]
    error_uri: str = ""


@dataclass(frozen=True)
class Choice:
    """A tenant of the user.

    Attributes:
        tenant_id: The tenant.
        display_name: Its name.
        scopes: What the client would get there.
    """

    tenant_id: TenantId
    display_name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class CodeState:
    """A code as stored.

    Attributes:
        tenant_id: Tenant it acts for.
        client_id: Client it was issued to.
        user_id: User who consented.
        redirect_uri: Address it was sent to.
        challenge: What the verifier must hash to.
        scopes: What the user granted.
        amr: How the user had signed in.
        is_over: Whether its 60 s have passed.
        session_id: The session it opened; None while it was not used.
    """

    tenant_id: TenantId
    client_id: UUID
    user_id: UserId
    redirect_uri: str
    challenge: str
    scopes: tuple[str, ...]
    amr: tuple[str, ...]
    is_over: bool
    session_id: SessionId | None


@dataclass(frozen=True)
class IssuedTokens:
    """Answer of the token endpoint.

    Attributes:
        access_token: JWT after RFC 9068.
        expires_in_s: Its life.
        scope: Its scopes, separated by spaces.
        refresh_token: For the next exchange; None for a client that acts for itself.
    """

    access_token: str
    expires_in_s: int
    scope: str
    refresh_token: str | None = None


@dataclass(frozen=True)
class ClientProof:
    """By what a client wants to be known.

    Attributes:
        client_id: Parameter ``client_id``.
        authorization: Values of the Authorization header.
        assertion_type: Parameter ``client_assertion_type``.
        assertion: Parameter ``client_assertion``.
        certificate_names: Names of the certificate that the connection proved; empty without one.
    """

    client_id: str = ""
    authorization: tuple[str, ...] = ()
    assertion_type: str = ""
    assertion: str = ""
    certificate_names: tuple[str, ...] = ()


def oauth_code_of(error: CohortLensError) -> str:
    """The code of RFC 6749 for any failure at the token, revocation or introspection endpoint."""
    found = OAUTH_ERRORS.get(error.reason)
    if found is not None:
        return found
    if isinstance(error, InvalidArgument):
        return "invalid_request"
    if isinstance(error, Unauthenticated):
        return "invalid_grant"
    return "temporarily_unavailable" if error.retry_delay_s is not None else "server_error"
