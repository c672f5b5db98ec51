"""What an API key or a service account may be allowed: scopes its maker has, and never those of a person."""

from __future__ import annotations

from collections.abc import Sequence

from cohortlens.core.context import Principal
from cohortlens.identity.models import ROLE_SCOPES, field_fault

MOST_SCOPES = 50
_FOR_PEOPLE = frozenset(
    {
        "users.write",
        "billing.write",
        # A stolen key must not be able to make its successor.
        "api_keys.write",
        "service_accounts.write",
        "tenant.delete",
        "tenant.transfer",
    }
)
_FOR_STAFF = "platform."
INTERNAL = frozenset({"internal.introspect"})
"""Scopes of programs of the installation itself; the staff of the platform alone give them."""
GRANTABLE = (frozenset().union(*ROLE_SCOPES.values()) | INTERNAL) - _FOR_PEOPLE
"""Every scope that a program can be given."""


def granted(caller: Principal, scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes a program gets, sorted, each once.

    Args:
        caller: Who makes the program's credential.
        scopes: What is asked for.

    Raises:
        InvalidArgument: FIELD_INVALID: none, too many, an unknown one, or one that only people hold.
        PermissionDenied: SCOPE_MISSING: the caller lacks one.
    """
    if not 1 <= len(scopes) <= MOST_SCOPES:
        raise field_fault("scopes", f"name 1 to {MOST_SCOPES} scopes")
    for at, scope in enumerate(scopes):
        if scope in _FOR_PEOPLE or scope.startswith(_FOR_STAFF):
            raise field_fault(f"scopes[{at}]", "is for people who have logged in; a program never holds it")
        if scope not in GRANTABLE:
            raise field_fault(f"scopes[{at}]", "is no scope; GetMe lists those you can give")
    for scope in scopes:
        if scope not in INTERNAL or caller.role != "platform":
            caller.require(scope)
    return tuple(sorted(set(scopes)))
