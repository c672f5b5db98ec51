"""Step 5: a bearer token becomes a principal, and the scopes of the method are required of it.

Works on the resolved method, never on a raw path. Public methods need no token and read none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cohortlens.core.context import Principal
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.telemetry import TENANT_ID
from gateway.interceptors.chain import Call, Proceed

Authenticate = Callable[[str], Awaitable[Principal]]
"""Verifies an access token; raises Unauthenticated."""

_CHALLENGE = ("www-authenticate", 'Bearer realm="cohortlens"')
_TOKEN_CHARACTERS_MAX = 8192


class AuthnStep:
    """Names the caller of a method that is not public.

    Args:
        authenticate: Verifies an access token.
    """

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Set the principal, then run the rest with the tenant bound to every log line.

        Raises:
            Unauthenticated: No token, or one that does not hold (TOKEN_INVALID, TOKEN_EXPIRED ...).
            PermissionDenied: The principal lacks a scope of the method (SCOPE_MISSING).
        """
        policy = call.method.policy
        if policy.public:
            await proceed(call)
            return
        try:
            principal = await self._authenticate(_bearer(call))
        except Unauthenticated:
            call.response_headers.append(_CHALLENGE)
            raise
        call.principal = principal
        for scope in policy.scopes:
            principal.require(scope)
        token = TENANT_ID.set(principal.tenant_id)
        try:
            await proceed(call)
        finally:
            TENANT_ID.reset(token)


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
