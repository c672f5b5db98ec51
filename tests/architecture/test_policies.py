"""Who may call what: the lists of methods without credentials and without a scope are read, not grown by chance."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from gateway.composition import public_table
from gateway.registry import RateClass

FOLDER = Path(__file__).parent
METHODS = [*public_table(with_reflection=True)]
LISTS = {
    "public_methods.txt": [m for m in METHODS if m.policy.public],
    "self_service_methods.txt": [m for m in METHODS if not m.policy.public and not m.policy.scopes],
}


@pytest.mark.parametrize("name", LISTS)
def test_the_methods_that_need_no_credentials_or_no_scope_are_the_agreed_ones(name):
    agreed = (FOLDER / name).read_text().splitlines()
    found = sorted(method.full_name for method in LISTS[name])
    difference = "\n".join(
        difflib.unified_diff(agreed, found, f"tests/architecture/{name}", "the methods", lineterm="")
    )
    assert not difference, (
        f"decide each line, then change the policy of the method or the file:\n{difference}"
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_a_policy_does_not_contradict_itself(method):
    policy = method.policy
    is_for_staff = any(scope.startswith("platform.") for scope in policy.scopes)
    assert not (policy.public and policy.scopes), "a scope of a public method would never be asked for"
    assert policy.platform == is_for_staff, "ACCESS_PLATFORM and a scope platform.* go together"
    assert policy.platform == (policy.rate_class is RateClass.PLATFORM)
    assert not (policy.public and policy.platform)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_what_checks_a_guessable_secret_is_counted_as_such(method):
    secrets = {"password", "totp", "code", "otp", "recovery_code"}
    asked = {field.name for field in method.descriptor.input_type.fields}
    if asked & secrets and method.service == "cohortlens.v1.AuthService":
        assert method.policy.rate_class in (RateClass.AUTH_SENSITIVE, RateClass.AUTH_REFRESH)
