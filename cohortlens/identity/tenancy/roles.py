"""Who may give or take which role, and what is answered to one who may not."""

from __future__ import annotations

from cohortlens.core.errors import Aborted, FailedPrecondition, NotFound, PermissionDenied
from cohortlens.identity.models import ROLE_RANKS


class LastOwner(FailedPrecondition):
    """A tenant keeps an owner."""

    reason = "LAST_OWNER"


class RoleRequired(PermissionDenied):
    """The caller's role is too low for this change."""

    reason = "ROLE_REQUIRED"


class EtagMismatch(Aborted):
    """What was to be changed is no longer as it was read."""

    reason = "ETAG_MISMATCH"


def require_rank(own: str | None, *roles: str) -> None:
    """Refuse a change of a role above the caller's own.

    Args:
        own: Role of the caller as it is now; None when the caller has left the tenant.
        roles: Roles that are given or taken.

    Raises:
        RoleRequired: One of them ranks above the caller's.
    """
    rank = ROLE_RANKS.get(own or "", 0)
    for role in roles:
        if ROLE_RANKS.get(role, 0) > rank:
            raise RoleRequired(
                f"only one with the role {role} gives it, takes it or removes a user who has it",
                metadata={"role": role},
            )


def require_etag(sent: str, current: str) -> None:
    """Refuse a change of what has changed since it was read; an empty tag asks for no such care.

    Raises:
        EtagMismatch: The tags differ.
    """
    if sent and sent != current:
        raise EtagMismatch("etag: it was changed meanwhile; read it again and repeat the change")


def missing(field: str) -> NotFound:
    """The fault of an identifier that is not of this tenant, or of nobody."""
    return NotFound(f"{field}: there is no such {field}", metadata={"field": field})
