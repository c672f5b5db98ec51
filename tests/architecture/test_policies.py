"""Who may call what: the lists of methods without credentials and without a scope are read, not grown by chance."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from gateway.composition import public_table
from gateway.registry import RateClass, fields_of

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


NAMING = {"customer", "customers", "customer_id", "external_id"}
USING = {"cohortlens.v1.AnalyticsService", "cohortlens.v1.ModelsService"}
# What a person decides about the own data, and the proof and the reward of it.
OF_THE_PERSON = {"cohortlens.v1.ConsentService", "cohortlens.v1.RewardService"}


def names_customers(method):
    ends = (method.descriptor.input_type, method.descriptor.output_type)
    return any(one.name in NAMING and one.type == one.TYPE_STRING for end in ends for one in fields_of(end))


def test_a_method_that_can_reach_customers_says_what_it_uses_them_for_or_why_it_does_not():
    agreed = dict(
        line.split("  ", 1) for line in (FOLDER / "methods_without_activity.txt").read_text().splitlines()
    )
    found = sorted(
        method.full_name
        for method in METHODS
        if not method.policy.activity
        and method.service not in OF_THE_PERSON
        and (method.service in USING or names_customers(method))
    )
    missing = sorted(set(found) - set(agreed))
    assert not missing, (
        "name in option (policy).activity what the method uses customers for; if it uses them for nothing, "
        f"write it with two spaces and the reason into methods_without_activity.txt: {missing}"
    )
    assert sorted(agreed) == found, "lines of methods that are gone, or name an activity now"
