"""What a process keeps of changes of access: in any order, any number of times, until no token can meet them."""

from __future__ import annotations

import itertools
from uuid import uuid4

import pytest

from cohortlens.identity.access.changes import Change
from cohortlens.identity.access.changes_known import KnownChanges

TENANT, USER, SESSION = uuid4(), uuid4(), uuid4()
WINDOW_S = 690.0


def user_change(ver, cause, kept=None):
    return Change(TENANT, "USER", USER, ver, cause, kept, 0.0)


CHANGES = [user_change(2, "ROLE"), user_change(3, "PASSWORD", SESSION), user_change(4, "ROLE")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_versions_of_a_user_do_not_depend_on_the_order_of_the_reading(order):
    known = KnownChanges()
    for number in order:
        assert known.learn([CHANGES[number], CHANGES[number]], 0.0, WINDOW_S)
    versions = known.of_user(TENANT, USER)
    assert (versions.ver, versions.revoked_ver, versions.kept) == (4, 3, SESSION)
    assert known.of_user(uuid4(), USER) is None


def test_an_older_version_of_a_tenant_does_not_replace_a_newer_one():
    known = KnownChanges()
    for ver in (5, 3):
        known.learn([Change(TENANT, "TENANT", TENANT, ver, "SUSPENDED", None, 0.0)], 0.0, WINDOW_S)
    assert (known.tver(TENANT), known.tver(uuid4())) == (5, 0)


def test_nothing_new_is_told_apart_from_something_new():
    assert not KnownChanges().learn([], 0.0, WINDOW_S)


def test_what_no_living_token_can_meet_is_forgotten_and_not_before():
    known = KnownChanges()
    kinds = [
        Change(TENANT, "ENDED", SESSION, 0, "LOGOUT", None, 90.0),
        Change(TENANT, "TENANT", TENANT, 2, "SUSPENDED", None, 90.0),
        Change(TENANT, "USER", USER, 2, "ROLE", None, 90.0),
    ]
    known.learn(kinds, 1000.0, WINDOW_S)
    known.learn([], 1000.0 + WINDOW_S - 91, WINDOW_S)
    assert (SESSION in known.ended, known.tver(TENANT), known.of_user(TENANT, USER).ver) == (True, 2, 2)
    known.learn([], 1000.0 + WINDOW_S, WINDOW_S)
    assert (known.ended, known.tver(TENANT), known.of_user(TENANT, USER)) == ({}, 0, None)
