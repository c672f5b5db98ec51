"""Access tokens: JWTs after RFC 9068 that carry the tenant; see ``token_check`` for their verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from cohortlens.core.clock import Clock, now
from cohortlens.core.ids import SessionId, TenantId, UserId
from cohortlens.identity.access import jws
from cohortlens.identity.access.signing_keys import SigningKeys
from cohortlens.identity.models import ROLE_SCOPES, Membership

AUDIENCE = "cohortlens"
CLIENT_ID = "cohortlens"
"""Client of our own pages and command line; the others are OAuth clients."""
SERVICE_ROLE = "service"
LEEWAY_S = 30


@dataclass(frozen=True)
class TokenPolicy:
    """What both sides agree on.

    Attributes:
        issuer: Value of ``iss``.
        ttl_s: Life of a token.
    """

    issuer: str
    ttl_s: int


@dataclass(frozen=True)
class Delegation:
    """The user for whom a program acts.

    Attributes:
        user_id: The user.
        ver: Version of the user's rights in the tenant; a change ends the token.
    """

    user_id: UserId
    ver: int


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
        self,
        user_id: UserId,
        session_id: SessionId,
        membership: Membership,
        generation: int,
        *,
        amr: Sequence[str] = ("pwd",),
        client_id: str = CLIENT_ID,
        scopes: frozenset[str] | None = None,
    ) -> tuple[str, int]:
        """A token for one generation of a session, and the seconds it lives.

        Args:
            user_id: The user.
            session_id: The session.
            membership: The user in the tenant, as it is now.
            generation: Number of the refresh token it is issued with.
            amr: How the user proved who it is.
            client_id: OAuth client of the session.
            scopes: What of the role's scopes the client was given; None for all of them.
        """
        role_scopes = ROLE_SCOPES[membership.role]
        return await self._signed(
            {
                "aud": [AUDIENCE],
                "sub": str(user_id),
                "tenant_id": str(membership.tenant_id),
                "sid": str(session_id),
                "scope": " ".join(sorted(role_scopes if scopes is None else role_scopes & scopes)),
                "role": membership.role,
                "ver": membership.ver,
                "tver": membership.tver,
                "gen": generation,
                "amr": list(amr),
                "client_id": client_id,
            }
        )

    async def issue_service(
        self,
        account_id: UUID,
        tenant_id: TenantId,
        *,
        scopes: frozenset[str],
        client_id: str,
        tver: int,
        audience: Sequence[str] = (AUDIENCE,),
        acting_for: Delegation | None = None,
        amr: Sequence[str] = (),
    ) -> tuple[str, int]:
        """A token of a program, and the seconds it lives; there is no refresh token with it.

        Its ``sid`` is the account, so ``AccessChanges.key(account_id)`` ends it like a session.

        Args:
            account_id: Service account or OAuth client.
            tenant_id: Its tenant.
            scopes: Exactly what it may do.
            client_id: Client it authenticated as.
            tver: Version of the tenant's state.
            audience: Services that take it.
            acting_for: The user it acts for: then that user is ``sub`` and the program stands in ``act``
                (RFC 8693), and what ends the user's rights ends the token.
            amr: How the program proved who it is.
        """
        claims: dict[str, Any] = {
            "aud": list(audience),
            "sub": str(account_id),
            "tenant_id": str(tenant_id),
            "sid": str(account_id),
            "scope": " ".join(sorted(scopes)),
            "role": SERVICE_ROLE,
            "ver": 0,
            "tver": tver,
            "gen": 0,
            "amr": list(amr),
            "client_id": client_id,
        }
        if acting_for is not None:
            claims |= {
                "sub": str(acting_for.user_id),
                "ver": acting_for.ver,
                "act": {"sub": str(account_id)},
            }
        return await self._signed(claims)

    async def _signed(self, claims: dict[str, Any]) -> tuple[str, int]:
        key = await self._keys.active()
        issued = int(self._clock().timestamp())
        stamped = {
            "iss": self._policy.issuer,
            "iat": issued,
            "exp": issued + self._policy.ttl_s,
            "jti": str(uuid4()),
        }
        return jws.sign(key.kid, key.private, stamped | claims), self._policy.ttl_s
