"""Each role has exactly the scopes it was designed with, and ranks decide who gives which role."""

from __future__ import annotations

import pytest

from cohortlens.identity.models import ROLE_RANKS, ROLE_SCOPES
from cohortlens.identity.tenancy.roles import EtagMismatch, RoleRequired, require_etag, require_rank

VIEWER = "tenant.read customers.read analytics.read reports.read consent.read"
ANALYST = f"{VIEWER} customers.write analytics.run reports.run assistant.use consent.write billing.read"
ADMIN = (
    f"{ANALYST} tenant.write users.read users.write api_keys.write service_accounts.write billing.write"
    " models.write marketplace.write consent.admin consent.check dsar.read dsar.write dsar.approve"
    " audit.read audit.export"
)
GOLDEN = {
    "viewer": VIEWER,
    "analyst": ANALYST,
    "admin": ADMIN,
    "owner": f"{ADMIN} tenant.delete tenant.transfer",
    "service": "",
    "platform": "platform.tenants platform.keys platform.billing tenant.read service_accounts.write audit.read"
    " audit.export",
}


def test_there_is_no_role_beside_the_agreed_ones():
    assert set(ROLE_SCOPES) == set(GOLDEN)
    assert sorted(ROLE_RANKS, key=ROLE_RANKS.__getitem__) == ["viewer", "analyst", "admin", "owner"]


@pytest.mark.parametrize("role", GOLDEN)
def test_a_role_has_exactly_its_scopes(role):
    assert ROLE_SCOPES[role] == frozenset(GOLDEN[role].split())


@pytest.mark.parametrize("own", [*ROLE_RANKS, "platform", "service", None])
@pytest.mark.parametrize("role", ROLE_RANKS)
def test_a_role_is_given_by_those_who_rank_as_high(own, role):
    if own in ROLE_RANKS and list(ROLE_RANKS).index(own) >= list(ROLE_RANKS).index(role):
        require_rank(own, role)
    else:
        with pytest.raises(RoleRequired):
            require_rank(own, role)


def test_an_empty_tag_asks_for_no_care_and_another_one_is_refused():
    require_etag("", "a")
    require_etag("a", "a")
    with pytest.raises(EtagMismatch):
        require_etag("b", "a")
