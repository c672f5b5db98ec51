"""Settings of payments: what cannot work is refused, and no secret is repeated."""

from __future__ import annotations

import pytest

from cohortlens.core.payment_settings import payment_faults, webhook_secrets

KEY, SECRET = "sk_test_51Habcdef", "whsec_abcdefghijkl"


def faults(key=KEY, secrets=SECRET, base="", account="", *, is_production=False):
    return payment_faults(key, secrets, base, account, is_production=is_production)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"key": "", "secrets": ""},
        {"secrets": ""},
        {"secrets": f"{SECRET}, {SECRET}2"},
        {"account": "acct_1ABC"},
        {"base": "http://127.0.0.1:12111"},
        {"base": "https://proxy.example"},
        {"key": "rk_live_123456", "is_production": True},
    ],
)
def test_what_works_has_no_fault(values):
    assert faults(**values) == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"key": "pk_test_51Habcdef"}, "STRIPE_API_KEY"),
        ({"key": "hush_hush"}, "STRIPE_API_KEY"),
        ({"secrets": "abcdefghijkl"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"secrets": f"{SECRET},x"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"key": ""}, "STRIPE_WEBHOOK_SECRETS"),
        ({"account": "me"}, "STRIPE_ACCOUNT"),
        ({"base": "http://stripe.example"}, "STRIPE_API_BASE"),
        ({"base": "http://127.0.0.1:12111", "is_production": True}, "STRIPE_API_BASE"),
    ],
)
def test_what_cannot_work_is_named_without_a_secret(values, named):
    [fault] = faults(**values)
    assert named in fault
    for secret in (values.get("key", KEY), values.get("secrets", SECRET)):
        assert not secret or secret not in fault


def test_secrets_are_separated_by_commas_or_white_space():
    assert webhook_secrets(" a,b\n c ,") == ("a", "b", "c")
