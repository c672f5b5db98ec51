"""The strict verifier of access tokens, run on every call that is not public."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cohortlens.core.clock import Clock, now
from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import SessionId, TenantId, parse_uuid
from cohortlens.identity.access import jws
from cohortlens.identity.access.generations import UsedGenerations
from cohortlens.identity.access.revocations import Grant, Revocations
from cohortlens.identity.access.signing_keys import SigningKeys
from cohortlens.identity.access.tokens import AUDIENCE, LEEWAY_S, SERVICE_ROLE, TokenPolicy
from cohortlens.identity.models import ROLE_SCOPES, TokenExpired

_CACHED_S = 30.0
# A token takes up to a kilobyte.
_CACHE_ENTRIES = 20_000
_LATEST_S = 250_000_000_000
_TEXTS = ("sub", "tenant_id", "sid", "jti", "scope", "role", "client_id")
_WHOLES = ("iat", "exp", "ver", "tver", "gen")
_METHODS_MAX = 8


@dataclass(slots=True)
class _Verified:
    principal: Principal
    grant: Grant
    refused_from: datetime
    generation: int
    cached_until: float
    edition: int = -1  # of what is known of changes, when the grant was last compared with it


@dataclass(frozen=True, slots=True)
class Examined:
    """An access token that is good now.

    Attributes:
        principal: Whose it is.
        claims: Its claims.
    """

    principal: Principal
    claims: dict[str, Any]


class AccessTokenVerifier:
    """Turns an access token into a principal.

    A verified token is remembered for 30 s; its expiry, and whether it was taken back, are tested each time.

    Args:
        keys: The signing keys.
        policy: Issuer and life.
        revocations: What was taken back.
        generations: Told which generation of a session is in use.
        clock: Current time.
        audience: Whom a token must be for.
    """

    def __init__(
        self,
        keys: SigningKeys,
        policy: TokenPolicy,
        revocations: Revocations,
        generations: UsedGenerations,
        clock: Clock = now,
        audience: str = AUDIENCE,
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._revocations = revocations
        self._generations = generations
        self._clock = clock
        self._audience = audience
        self._cache: OrderedDict[str, _Verified] = OrderedDict()

    async def verify(self, token: str, *, strict: bool = False) -> Principal:
        """The principal of a token.

        Args:
            token: As presented.
            strict: The call changes something: while PostgreSQL does not answer it is refused, where a read
                is answered from what was known a minute ago.

        Raises:
            TokenInvalid: Not an access token of ours.
            TokenExpired: Its time is over, or the user's role changed; refresh the session.
            TokenRevoked: It was taken back; log in again.
            Unavailable: PostgreSQL has not answered for too long.
        """
        at = time.monotonic()
        verified = self._cache.get(token)
        is_new = verified is None or verified.cached_until <= at
        if verified is None or is_new:
            self._cache.pop(token, None)
            verified = await self._ours(token)
        try:
            if verified.refused_from <= self._clock():
                raise TokenExpired("the access token has expired; refresh the session")
            revocations = self._revocations
            revocations.in_use = True
            if at >= revocations.fresh_until:
                await revocations.refreshed(at, strict=strict)
            if verified.edition != revocations.edition:
                edition = revocations.edition
                revocations.check(verified.grant)
                verified.edition = edition
        except Unauthenticated as fault:
            fault.principal = verified.principal
            raise
        if is_new:
            self._remember(token, verified)
        return verified.principal

    def knows(self, token: str) -> bool:
        """Whether a token was verified within the last 30 s; that it still holds is not said."""
        verified = self._cache.get(token)
        return verified is not None and verified.cached_until > time.monotonic()

    def standing(self, token: str) -> Callable[[], None]:
        """What tells later whether a token that ``verify`` took this moment was taken back since.

        It leaves the expiry out, and raises what ``Revocations.check`` raises.
        """
        return partial(self._revocations.check, self._cache[token].grant)

    async def examined(self, token: str) -> Examined:
        """What a token says that is good now, whichever service it is for; nothing is remembered.

        For whoever ends or explains tokens; whoever takes them asks ``verify``.

        Raises:
            TokenInvalid: Not an access token that we issued.
            TokenExpired: Its time is over, or the user's role changed.
            TokenRevoked: It was taken back.
            Unavailable: PostgreSQL does not answer, so that nobody can tell.
        """
        claims = await self._proven(token)
        verified = self._checked(claims)
        if verified.refused_from <= self._clock():
            raise TokenExpired("the access token has expired; refresh the session")
        await self._revocations.require(verified.grant, strict=True)
        self._note_use(verified)
        return Examined(verified.principal, claims)

    async def _ours(self, token: str) -> _Verified:
        claims = await self._proven(token)
        verified = self._checked(claims)
        if self._audience not in claims["aud"]:
            raise jws.invalid()
        return verified

    async def _proven(self, token: str) -> dict[str, Any]:
        parsed = jws.parse(token)
        key = await self._keys.public(parsed.kid)
        if key is None:
            raise jws.invalid()
        return jws.claims_of(parsed, key)

    def _checked(self, claims: dict[str, Any]) -> _Verified:
        texts = all(type(claims.get(name)) is str for name in _TEXTS)
        wholes = all(type(claims.get(name)) is int for name in _WHOLES)
        named = _texts_of(claims.get("aud"))
        if not (texts and wholes and named) or claims.get("iss") != self._policy.issuer:
            raise jws.invalid()
        if claims["iat"] > self._clock().timestamp() + LEEWAY_S or claims["role"] not in ROLE_SCOPES:
            raise jws.invalid()
        principal, grant = _subject_of(claims)
        ends = datetime.fromtimestamp(max(0, min(claims["exp"], _LATEST_S)) + LEEWAY_S, UTC)
        return _Verified(principal, grant, ends, claims["gen"], time.monotonic() + _CACHED_S)

    def _note_use(self, verified: _Verified) -> None:
        if verified.principal.kind is PrincipalKind.USER:
            self._generations.note(verified.principal.session_id, verified.generation)

    def _remember(self, token: str, verified: _Verified) -> None:
        self._note_use(verified)
        self._cache[token] = verified
        if len(self._cache) > _CACHE_ENTRIES:
            self._cache.popitem(last=False)


def _subject_of(claims: dict[str, Any]) -> tuple[Principal, Grant]:
    subject, tenant, session = (parse_uuid(claims[name]) for name in ("sub", "tenant_id", "sid"))
    if subject is None or tenant is None or session is None:
        raise jws.invalid()
    is_program = claims["role"] == SERVICE_ROLE
    is_delegated = "act" in claims
    if (is_delegated and (not is_program or claims["act"] != {"sub": claims["sid"]})) or (
        is_program and not is_delegated and session != subject
    ):
        raise jws.invalid()
    principal = Principal(
        TenantId(tenant),
        session if is_program else subject,
        SessionId(session),
        claims["role"],
        frozenset(claims["scope"].split()),
        PrincipalKind.SERVICE_ACCOUNT if is_program else PrincipalKind.USER,
        tuple(_texts_of(claims.get("amr"))),
        claims["client_id"],
        f"user:{subject}" if is_delegated else "",
    )
    user = None if is_program and not is_delegated else subject
    # A person's token ends with its session; a program's has none and ends alone.
    token = parse_uuid(claims["jti"]) if is_program else None
    return principal, Grant(principal.tenant_id, session, user, claims["ver"], claims["tver"], token)


def _texts_of(value: object) -> list[str]:
    """A short list of texts; raises TokenInvalid for anything else."""
    if not isinstance(value, list) or len(value) > _METHODS_MAX or not all(type(one) is str for one in value):
        raise jws.invalid()
    return value
