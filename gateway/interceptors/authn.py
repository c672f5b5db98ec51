"""Makes a principal of a token, an API key or a client certificate, and requires the rights of a call of it.

Works on the resolved method, never on a raw path. Public methods need no credential and read none. What a
proxy or a caller writes about itself (``x-internal-*``, ``x-forwarded-client-cert``) is read nowhere: a
tenant comes from a signed token, a stored key or a certificate that this process proved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.errors import PermissionDenied, Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.core.telemetry import TENANT_ID
from cohortlens.identity.programs.api_key_text import START
from gateway.interceptors.chain import Call, Proceed
from gateway.interceptors.standing import Ask, Check, Standing, Stream, StreamWatch
from gateway.registry import Policy, RateClass

_CHALLENGE = 'Bearer realm="cohortlens"'
_REFUSED = f'{_CHALLENGE}, error="invalid_token"'
_TOKEN_CHARACTERS_MAX = 8192
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


def _nothing(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Authenticators:
    """Who verifies which kind of credential.

    Attributes:
        token: Access tokens.
        key: API keys; None where there are none.
        certificate: Client certificates of the internal port; None where it is not served.
        standing: Tells of streams under way whether their credential still holds; None where nothing is ever
            taken back (tests of other steps).
        knows: Whether an access token or API key was verified lately.
    """

    token: Authenticate
    key: AuthenticateKey | None = None
    certificate: AuthenticateCertificate | None = None
    standing: Standing | None = None
    knows: Callable[[str], bool] = _nothing


class AuthnStep:
    """Names the caller of a method that is not public.

    Args:
        authenticate: Verifies credentials; a function alone verifies access tokens.
        denied: Counts a call that its caller may not make, before it is refused; nobody does when None.
    """

    def __init__(
        self,
        authenticate: Authenticators | Authenticate,
        denied: Callable[[Call], Awaitable[None]] | None = None,
    ) -> None:
        self._denied = denied
        verifiers = authenticate if isinstance(authenticate, Authenticators) else Authenticators(authenticate)
        self._token = verifiers.token
        self._key = verifiers.key
        self._certificate = verifiers.certificate
        self._standing = verifiers.standing
        self._watch = None if verifiers.standing is None else StreamWatch(verifiers.standing.news)

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Set the principal, then run the rest with the tenant bound to every log line.

        Raises:
            Unauthenticated: No credential, or one that does not hold (TOKEN_INVALID, API_KEY_INVALID ...); of
                a stream also later, within 2 s of the change that made it so.
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
        try:
            _permit(call, principal, policy)
        except PermissionDenied:
            # No later step limits it, and each refusal is noted in the access log.
            if self._denied is not None:
                await self._denied(call)
            raise
        token = TENANT_ID.set(principal.tenant_id)
        try:
            if call.send is not None or call.payloads is not None:
                await self._watched(call, proceed)
            else:
                await proceed(call)
        finally:
            TENANT_ID.reset(token)

    async def _watched(self, call: Call, proceed: Proceed) -> None:
        """Run a stream for as long as its credential holds."""
        task = call.task or asyncio.current_task()
        if self._watch is None or self._standing is None or task is None:
            await proceed(call)
            return
        stream = self._stream(call, task, self._standing)
        self._watch.enter(stream)
        try:
            await proceed(call)
        except BaseException:
            fault = stream.ended()
            if fault is None:
                raise
            if isinstance(fault, Unauthenticated):
                fault.principal = call.principal
                call.response_headers.append(("www-authenticate", _REFUSED))
            raise fault from None
        else:
            # Work that came to its end all the same has its answer; nothing of the cancellation may remain.
            stream.ended()
        finally:
            self._watch.leave(stream)

    def _stream(self, call: Call, task: asyncio.Task[Any], standing: Standing) -> Stream:
        """What a call was let in with, in the form that can be asked again."""
        certificate, key = call.certificate, self._key
        check: Check | None = None
        ask: Ask | None = None
        if certificate is not None and self._certificate is not None:
            ask = partial(_again, call, partial(self._certificate, certificate, call.peer))
        if call.metadata.first("authorization") is not None:
            text = bearer_of(call)
            if certificate is None and key is not None and text.startswith(START):
                ask = partial(_again, call, partial(key, text, call.peer))
            else:
                check = standing.of_token(text)
        return Stream(task, check, ask)

    def _principal(self, call: Call, policy: Policy) -> Awaitable[Principal]:
        strict = policy.rate_class not in _READING
        if call.certificate is not None:
            return self._inside(call, call.certificate, strict)
        text = bearer_of(call)
        if text.startswith(START) and self._key is not None:
            return self._key(text, call.peer, strict=strict)
        return self._token(text, strict=strict)

    async def _inside(self, call: Call, certificate: str, strict: bool) -> Principal:
        """Whoever calls on the internal port: the account of the certificate, or of a token issued to it."""
        if self._certificate is None:
            raise Unauthenticated("this port takes no calls")
        account = await self._certificate(certificate, call.peer)
        if call.metadata.first("authorization") is None or call.method.policy.public:
            return account
        principal = await self._token(bearer_of(call), strict=strict)
        # A token that was stolen from another program is worth nothing without that program's certificate.
        if principal.kind is not PrincipalKind.SERVICE_ACCOUNT or principal.id != account.id:
            raise Unauthenticated("the access token was not issued to the account of the certificate")
        return principal


async def _again(call: Call, prove: Callable[[], Awaitable[Principal]]) -> None:
    """Prove a program once more; what it may do can have become less."""
    principal = await prove()
    for scope in call.method.policy.scopes:
        principal.require(scope)


def _permit(call: Call, principal: Principal, policy: Policy) -> None:
    if policy.platform:
        _require_staff(principal)
    for scope in policy.scopes:
        principal.require(scope)
    if not policy.scopes and principal.client_id not in _OWN_CLIENTS:
        _require_person(call, principal)


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


def bearer_of(call: Call) -> str:
    """The access token or API key that a caller presents.

    Raises:
        Unauthenticated: None, more than one, or not in the form of a bearer token.
    """
    if not call.bearer:
        call.bearer = _bearer(call)
    return call.bearer


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
