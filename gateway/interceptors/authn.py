"""Step 6: a token, an API key or a client certificate becomes a principal; its rights are required of it.

Works on the resolved method, never on a raw path. Public methods need no credential and read none. What a
proxy or a caller writes about itself (``x-internal-*``, ``x-forwarded-client-cert``) is read nowhere: a
tenant comes from a signed token, a stored key or a certificate that this process proved.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.errors import PermissionDenied, Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.core.telemetry import TENANT_ID
from gateway.interceptors.chain import Call, Proceed
from gateway.registry import Policy, RateClass

_CHALLENGE = 'Bearer realm="cohortlens"'
_REFUSED = f'{_CHALLENGE}, error="invalid_token"'
_TOKEN_CHARACTERS_MAX = 8192
_KEY_START = "cl_"
_READING = frozenset({RateClass.PUBLIC, RateClass.READ, RateClass.INFERENCE})
_OWN_CLIENTS = frozenset({"", "cohortlens"})
_OPEN_TO_APPLICATIONS = frozenset({"/cohortlens.v1.AuthService/GetMe"})
_PLATFORM_ROLE, _SECOND_FACTOR = "platform", "otp"


class Authenticate(Protocol):
    """Verifies an access token; raises Unauthenticated."""

    def __call__(self, token: str, *, strict: bool = False) -> Awaitable[Principal]:
        """The principal of a token; ``strict`` never answers from what may be over 2 s old."""


class AuthenticateKey(Protocol):
    """Verifies an API key; raises Unauthenticated."""

    def __call__(self, text: str, address: str, *, strict: bool = False) -> Awaitable[Principal]:
        """The principal of a key used from an address."""


class AuthenticateCertificate(Protocol):
    """Names the service account of a proven client certificate; raises Unauthenticated."""

    def __call__(self, pem: str, address: str) -> Awaitable[Principal]:
        """The principal of a certificate used from an address."""


@dataclass(frozen=True)
class Authenticators:
    """Who verifies which kind of credential.

    Attributes:
        token: Access tokens.
        key: API keys; None where there are none.
        certificate: Client certificates of the internal port; None where it is not served.
    """

    token: Authenticate
    key: AuthenticateKey | None = None
    certificate: AuthenticateCertificate | None = None


class AuthnStep:
    """Names the caller of a method that is not public.

    Args:
        authenticate: Verifies credentials; a function alone verifies access tokens.
    """

    def __init__(self, authenticate: Authenticators | Authenticate) -> None:
        verifiers = authenticate if isinstance(authenticate, Authenticators) else Authenticators(authenticate)
        self._token = verifiers.token
        self._key = verifiers.key
        self._certificate = verifiers.certificate

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Set the principal, then run the rest with the tenant bound to every log line.

        Raises:
            Unauthenticated: No credential, or one that does not hold (TOKEN_INVALID, API_KEY_INVALID ...).
            PermissionDenied: The principal lacks a scope of the method (SCOPE_MISSING) or is not of the
                platform's staff (ROLE_REQUIRED).
        """
        policy = call.method.policy
        if policy.public and call.certificate is None:
            await proceed(call)
            return
        try:
            principal = await self._principal(call, policy)
        except Unauthenticated:
            shown = call.metadata.first("authorization") is not None
            call.response_headers.append(("www-authenticate", _REFUSED if shown else _CHALLENGE))
            raise
        if policy.public:
            await proceed(call)
            return
        call.principal = principal
        if policy.platform:
            _require_staff(principal)
        for scope in policy.scopes:
            principal.require(scope)
        if not policy.scopes and principal.client_id not in _OWN_CLIENTS:
            _require_person(call, principal)
        token = TENANT_ID.set(principal.tenant_id)
        try:
            await proceed(call)
        finally:
            TENANT_ID.reset(token)

    def _principal(self, call: Call, policy: Policy) -> Awaitable[Principal]:
        strict = policy.rate_class not in _READING
        if call.certificate is not None:
            return self._inside(call, call.certificate, strict)
        text = _bearer(call)
        if text.startswith(_KEY_START) and self._key is not None:
            return self._key(text, call.peer, strict=strict)
        return self._token(text, strict=strict)

    async def _inside(self, call: Call, certificate: str, strict: bool) -> Principal:
        """Whoever calls on the internal port: the account of the certificate, or of a token issued to it."""
        if self._certificate is None:
            raise Unauthenticated("this port takes no calls")
        account = await self._certificate(certificate, call.peer)
        if call.metadata.first("authorization") is None or call.method.policy.public:
            return account
        principal = await self._token(_bearer(call), strict=strict)
        # A token that was stolen from another program is worth nothing without that program's certificate.
        if principal.kind is not PrincipalKind.SERVICE_ACCOUNT or principal.id != account.id:
            raise Unauthenticated("the access token was not issued to the account of the certificate")
        return principal


def _require_person(call: Call, principal: Principal) -> None:
    """Keep applications that users consented to from what no scope names: sessions, passwords, consents.

    Such a call would give it more than the user granted.
    """
    if principal.kind is PrincipalKind.USER and call.method.full_name not in _OPEN_TO_APPLICATIONS:
        raise PermissionDenied(
            "this call needs the user's own session; a token issued to an application does not do",
            reason="FIRST_PARTY_ONLY",
        )


def _require_staff(principal: Principal) -> None:
    is_staff = principal.role == _PLATFORM_ROLE and principal.tenant_id == PLATFORM_TENANT_ID
    if not is_staff or principal.kind is not PrincipalKind.USER:
        raise PermissionDenied("this call is for the staff of the platform", reason="ROLE_REQUIRED")
    if _SECOND_FACTOR not in principal.amr:
        raise PermissionDenied(
            "this call needs a session that was opened with a second factor; set one up and log in with it",
            reason="ROLE_REQUIRED",
            metadata={"amr": _SECOND_FACTOR},
        )


def _bearer(call: Call) -> str:
    values = call.metadata.values("authorization")
    if not values:
        raise Unauthenticated("this call needs an access token: authorization: Bearer <token>")
    if len(values) > 1:
        raise Unauthenticated("exactly one authorization header is allowed")
    scheme, _, token = values[0].partition(" ")
    token = token.strip(" ")
    if (scheme != "Bearer" and scheme.lower() != "bearer") or not 0 < len(token) <= _TOKEN_CHARACTERS_MAX:
        raise Unauthenticated("the authorization header must read: Bearer <token>")
    return token
