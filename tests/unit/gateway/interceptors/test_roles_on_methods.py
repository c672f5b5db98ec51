"""Every method of the public API against every role: who lacks a scope never reaches the servicer."""

from __future__ import annotations

import pytest

from cohortlens.core.context import Principal
from cohortlens.core.errors import PermissionDenied
from cohortlens.core.ids import PLATFORM_TENANT_ID, uuid7
from cohortlens.identity.models import ROLE_SCOPES
from gateway.composition import public_table
from gateway.interceptors.authn import AuthnStep
from gateway.interceptors.chain import Call

METHODS = [one for one in public_table(with_reflection=False) if not one.policy.public]
ROLES = ("viewer", "analyst", "admin", "owner", "platform")
# What only the named roles may do, whatever a table of scopes says.
CLOSED = {
    "InviteUser": {"admin", "owner"},
    "UpdateUser": {"admin", "owner"},
    "DeleteUser": {"admin", "owner"},
    "RevokeInvitation": {"admin", "owner"},
    "ListUsers": {"admin", "owner"},
    "UpdateTenant": {"admin", "owner"},
    "DeleteTenant": {"owner"},
    "CreateApiKey": {"admin", "owner"},
    "PromoteModel": {"admin", "owner"},
    "ListTenants": {"platform"},
    "SuspendTenant": {"platform"},
    "ResumeTenant": {"platform"},
}


def person(role):
    tenant = PLATFORM_TENANT_ID if role == "platform" else uuid7()
    return Principal(tenant, uuid7(), uuid7(), role, ROLE_SCOPES[role], amr=("pwd", "otp"))


async def reaches(method, principal):
    """Whether a call of the principal comes through to the servicer."""
    reached = []

    async def verify(_token, *, strict=False):
        return principal

    async def proceed(call):
        reached.append(call)

    call = Call("grpc", method, {"authorization": ["Bearer a.b.c"]}, peer="192.0.2.7")
    try:
        await AuthnStep(verify)(call, proceed)
    except PermissionDenied as fault:
        assert fault.reason in {"SCOPE_MISSING", "ROLE_REQUIRED"}
    return bool(reached)


@pytest.mark.parametrize("method", METHODS, ids=lambda one: one.full_name)
async def test_a_method_is_reached_by_the_roles_that_have_its_scopes_and_no_other(method):
    needed = set(method.policy.scopes)
    let_in = {role for role in ROLES if await reaches(method, person(role))}
    assert let_in == {
        role
        for role in ROLES
        if needed <= ROLE_SCOPES[role] and (role == "platform" or not method.policy.platform)
    }
    if method.name in CLOSED:
        assert let_in == CLOSED[method.name]


@pytest.mark.parametrize("method", METHODS, ids=lambda one: one.full_name)
async def test_a_program_without_scopes_reaches_no_method_that_asks_for_one(method):
    program = Principal(uuid7(), uuid7(), uuid7(), "service", frozenset())
    assert await reaches(method, program) == (not method.policy.scopes and not method.policy.platform)


@pytest.mark.parametrize("method", [one for one in METHODS if one.policy.platform], ids=lambda one: one.name)
async def test_staff_without_a_second_factor_and_owners_with_stolen_scopes_are_refused(method):
    scopes = frozenset(method.policy.scopes)
    assert not await reaches(
        method, Principal(PLATFORM_TENANT_ID, uuid7(), uuid7(), "platform", scopes, amr=("pwd",))
    )
    assert not await reaches(
        method, Principal(uuid7(), uuid7(), uuid7(), "owner", scopes, amr=("pwd", "otp"))
    )


def test_every_name_of_the_closed_list_is_a_method():
    assert set(CLOSED) <= {one.name for one in METHODS}
