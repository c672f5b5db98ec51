"""Roles and their scopes, what sessions and log-ins look like, and the faults of identity."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from cohortlens.core.errors import InvalidArgument, ResourceExhausted, Unauthenticated, Violation
from cohortlens.core.ids import SessionId, TenantId, UserId

_VIEWER = frozenset({"tenant.read", "customers.read", "analytics.read", "reports.read", "consent.read"})
_ANALYST = _VIEWER | {
    "customers.write",
    "analytics.run",
    "reports.run",
    "assistant.use",
    "consent.write",
    "billing.read",
}
_ADMIN = _ANALYST | {
    "tenant.write",
    "users.read",
    "users.write",
    "api_keys.write",
    "service_accounts.write",
    "billing.write",
    "models.write",
    "marketplace.write",
    "consent.admin",
    "consent.check",
    "dsar.read",
    "dsar.write",
    "dsar.approve",
    "audit.read",
    "audit.export",
}
_OWNER = _ADMIN | {"tenant.delete", "tenant.transfer"}
# Staff read the platform's own audit log and make the service accounts of the installation's own programs.
_PLATFORM = frozenset(
    {
        "platform.tenants",
        "platform.keys",
        "platform.billing",
        "tenant.read",
        "service_accounts.write",
        "audit.read",
        "audit.export",
    }
)

ROLE_SCOPES: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "analyst": _ANALYST,
    "admin": _ADMIN,
    "owner": _OWNER,
    "platform": _PLATFORM,
    "service": frozenset(),
}
"""What each role allows; a program (``service``) has exactly the scopes that were given to it."""

TENANT_DELETION = "tenant.deleted"
"""Topic of the outbox: a tenant was deleted, and what goes on outside of it must end."""
TERMS_VERSION = "2026-11"
"""Version of the terms that the pages of this installation show; a program names what its user has read."""

ROLE_RANKS: dict[str, int] = {"viewer": 1, "analyst": 2, "admin": 3, "owner": 4}
"""Roles a tenant gives to its users; nobody gives or takes one above their own."""


class InvalidCredentials(Unauthenticated):
    """Unknown address, wrong password or disabled user: never told apart."""

    reason = "INVALID_CREDENTIALS"


class LoginRateLimited(ResourceExhausted):
    """Too many attempts to log in; ``retry_delay_s`` says when the next is counted."""

    reason = "LOGIN_RATE_LIMITED"


class TokenInvalid(Unauthenticated):
    """Not a token of ours."""

    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """A token of ours whose time is over."""

    reason = "TOKEN_EXPIRED"


class TokenRevoked(Unauthenticated):
    """A token of a session that was ended."""

    reason = "TOKEN_REVOKED"


class RefreshReused(Unauthenticated):
    """A refresh token was used twice; its session is dead."""

    reason = "REFRESH_REUSED"


class ApiKeyInvalid(Unauthenticated):
    """Not an API key that may be used here and now; why is never told to whoever shows it."""

    reason = "API_KEY_INVALID"


class ClientInvalid(Unauthenticated):
    """A service account that did not prove itself; never told apart from one that is not there."""

    reason = "CLIENT_INVALID"


class KeyQuotaExceeded(ResourceExhausted):
    """As many credentials of a kind as are allowed; waiting does not help."""

    reason = "KEY_QUOTA_EXCEEDED"


@dataclass(frozen=True)
class Membership:
    """A user in a tenant.

    Attributes:
        tenant_id: The tenant.
        role: owner, admin, analyst or viewer.
        ver: Version of the user's rights in the tenant.
        tver: Version of the tenant's state.
    """

    tenant_id: TenantId
    role: str
    ver: int
    tver: int


@dataclass(frozen=True)
class SessionState:
    """A session as a refresh sees it, by the database's clock.

    Attributes:
        session_id: The session.
        tenant_id: Tenant it acts for.
        user_id: Its user.
        refresh_counter: Number of the newest refresh token.
        refresh_key_enc: Sealed key of the tokens' MAC.
        used_gen: Newest generation of which an access token was seen.
        refreshed_age_s: Seconds since the last rotation.
        expires_in_s: Seconds until the idle or the absolute end, whichever is first; negative when past.
        revoked: Whether it was ended.
        usable: Whether user, tenant and membership still allow a session.
        membership: Role and versions; None when the user left the tenant.
        amr: How the user proved who it is.
        client_id: OAuth client it is for.
        scopes: What of the role's scopes the client was given; None for all of them.
    """

    session_id: SessionId
    tenant_id: TenantId
    user_id: UserId
    refresh_counter: int
    refresh_key_enc: bytes
    used_gen: int
    refreshed_age_s: float
    expires_in_s: float
    revoked: bool
    usable: bool
    membership: Membership | None
    amr: tuple[str, ...] = ("pwd",)
    client_id: str = "cohortlens"
    scopes: frozenset[str] | None = None


@dataclass(frozen=True)
class TokenPair:
    """The two tokens of a session.

    Attributes:
        access_token: JWT after RFC 9068.
        expires_in_s: Life of the access token.
        refresh_token: For the next renewal, usable once.
        refresh_expires_in_s: Its life if it is not used.
        session_id: The session.
        tenant_id: Tenant the session acts for.
        replayed: True when a lost answer was given again.
    """

    access_token: str
    expires_in_s: int
    refresh_token: str
    refresh_expires_in_s: int
    session_id: SessionId
    tenant_id: TenantId
    replayed: bool = False


@dataclass(frozen=True)
class Me:
    """Who the caller is.

    Attributes:
        user_id: The user.
        tenant_id: Tenant of the token.
        tenant_display_name: Its name.
        role: Role in the tenant.
        scopes: What the role gives, sorted.
        session_id: Session of the token.
        created_at: When the user was registered.
        email: Log-in name.
        status: ACTIVE or DISABLED.
        last_login_at: Last log-in to any tenant; None before the first.
    """

    user_id: UserId
    tenant_id: TenantId
    tenant_display_name: str
    role: str
    scopes: tuple[str, ...]
    session_id: SessionId
    created_at: datetime
    email: str
    status: str
    last_login_at: datetime | None


def normal_email(email: str) -> str:
    """The form under which an address is stored and looked up: NFKC, lower case, no surrounding space."""
    return unicodedata.normalize("NFKC", email).strip().lower()


def field_fault(field: str, description: str, *, reason: str = "FIELD_INVALID") -> InvalidArgument:
    """A fault of one field of the request."""
    return InvalidArgument(
        f"{field}: {description}", reason=reason, violations=(Violation(field, description),)
    )
