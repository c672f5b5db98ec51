"""Access tokens: JWTs after RFC 9068 that carry the tenant, and their strict verifier."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from cohortlens.core.clock import Clock, now
from cohortlens.core.context import Principal
from cohortlens.core.ids import SessionId, TenantId, UserId, parse_uuid
from cohortlens.identity import jws
from cohortlens.identity.generations import UsedGenerations
from cohortlens.identity.models import ROLE_SCOPES, Membership, TokenExpired, TokenRevoked
from cohortlens.identity.revocations import Revocations
from cohortlens.identity.signing_keys import SigningKeys

AUDIENCE = "cohortlens"
CLIENT_ID = "cohortlens"
LEEWAY_S = 30
_CACHED_S = 30.0
# A token takes up to a kilobyte.
_CACHE_ENTRIES = 20_000
_LATEST_S = 250_000_000_000
_TEXTS = ("sub", "tenant_id", "sid", "jti", "scope", "role")
_WHOLES = ("iat", "exp", "ver", "tver", "gen")


@dataclass(frozen=True)
class TokenPolicy:
    """What both sides agree on.

    Attributes:
        issuer: Value of ``iss``.
        ttl_s: Life of a token.
    """

    issuer: str
    ttl_s: int


class AccessTokens:
    """Signs access tokens.

    Args:
        keys: The signing keys.
        policy: Issuer and life.
        clock: Current time.
    """

    def __init__(self, keys: SigningKeys, policy: TokenPolicy, clock: Clock = now) -> None:
        self._keys = keys
        self._policy = policy
        self._clock = clock

    async def issue(
        self, user_id: UserId, session_id: SessionId, membership: Membership, generation: int
    ) -> tuple[str, int]:
        """A token for one generation of a session, and the seconds it lives."""
        key = await self._keys.active()
        issued = int(self._clock().timestamp())
        claims = {
            "iss": self._policy.issuer,
            "aud": [AUDIENCE],
            "sub": str(user_id),
            "tenant_id": str(membership.tenant_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": issued,
            "exp": issued + self._policy.ttl_s,
            "scope": " ".join(sorted(ROLE_SCOPES[membership.role])),
            "role": membership.role,
            "ver": membership.ver,
            "tver": membership.tver,
            "gen": generation,
            "amr": ["pwd"],
            "client_id": CLIENT_ID,
        }
        return jws.sign(key.kid, key.private, claims), self._policy.ttl_s


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    refused_from: datetime
    generation: int
    cached_until: float


class AccessTokenVerifier:
    """Turns an access token into a principal.

    A verified token is remembered for 30 s; its expiry and its session's revocation are tested on every call.

    Args:
        keys: The signing keys.
        policy: Issuer and life.
        revocations: Sessions that were ended.
        generations: Told which generation of a session is in use.
        clock: Current time.
    """

    def __init__(
        self,
        keys: SigningKeys,
        policy: TokenPolicy,
        revocations: Revocations,
        generations: UsedGenerations,
        clock: Clock = now,
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._revocations = revocations
        self._generations = generations
        self._clock = clock
        self._cache: OrderedDict[str, _Verified] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The principal of a token.

        Raises:
            TokenInvalid: Not an access token of ours.
            TokenExpired: Its time is over; refresh the session.
            TokenRevoked: Its session was ended; log in again.
            Unavailable: Neither Redis nor PostgreSQL can tell whether the session was ended.
        """
        verified = self._cache.get(token)
        fresh = verified is None or verified.cached_until <= time.monotonic()
        if verified is None or fresh:
            self._cache.pop(token, None)
            verified = await self._proven(token)
        if verified.refused_from <= self._clock():
            raise TokenExpired("the access token has expired; refresh the session")
        session_id = verified.principal.session_id
        revoked = self._revocations.known(session_id)
        if revoked is None:
            revoked = await self._revocations.is_revoked(session_id)
        if revoked:
            raise TokenRevoked("the session of this token was ended; log in again")
        if fresh:
            self._remember(token, verified)
        return verified.principal

    async def _proven(self, token: str) -> _Verified:
        parsed = jws.parse(token)
        key = await self._keys.public(parsed.kid)
        if key is None:
            raise jws.invalid()
        return self._checked(jws.claims_of(parsed, key))

    def _checked(self, claims: dict[str, Any]) -> _Verified:
        texts = all(type(claims.get(name)) is str for name in _TEXTS)
        wholes = all(type(claims.get(name)) is int for name in _WHOLES)
        audience = claims.get("aud")
        if not (texts and wholes and isinstance(audience, list) and AUDIENCE in audience):
            raise jws.invalid()
        user, tenant, session = (parse_uuid(claims[name]) for name in ("sub", "tenant_id", "sid"))
        if user is None or tenant is None or session is None or claims.get("iss") != self._policy.issuer:
            raise jws.invalid()
        if claims["iat"] > self._clock().timestamp() + LEEWAY_S or claims["role"] not in ROLE_SCOPES:
            raise jws.invalid()
        principal = Principal(
            TenantId(tenant),
            UserId(user),
            SessionId(session),
            claims["role"],
            frozenset(claims["scope"].split()),
        )
        ends = datetime.fromtimestamp(max(0, min(claims["exp"], _LATEST_S)) + LEEWAY_S, UTC)
        return _Verified(principal, ends, claims["gen"], time.monotonic() + _CACHED_S)

    def _remember(self, token: str, verified: _Verified) -> None:
        self._generations.note(verified.principal.session_id, verified.generation)
        self._cache[token] = verified
        if len(self._cache) > _CACHE_ENTRIES:
            self._cache.popitem(last=False)
