"""Settings of selling: currency, trials, meters and origins that cannot work stop the start."""

from __future__ import annotations

import pytest

from cohortlens.core.config import read
from cohortlens.core.selling_settings import selling_faults
from cohortlens.core.settings import CoreConfig


def faults_of(currency="eur", trials="", meters="", origins="", *, is_production=False):
    return selling_faults(currency, trials, meters, origins, is_production=is_production, has_payments=True)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org/",
        "app.example.org",
        "https://App.example.org",
        "https://*.example.org",
        "*",
        "https://app.example.org:443",
        "http://a@b",
        "ftp://app.example.org",
        "null",
    ],
)
def test_what_is_no_origin_stops_the_start(origin):
    faults = faults_of(origins=f"https://good.example {origin}")
    assert len(faults) == 1
    assert repr(origin) in faults[0]


def test_production_returns_to_https_alone():
    assert faults_of(origins="http://127.0.0.1:3000") == []
    [fault] = faults_of(origins="http://127.0.0.1:3000", is_production=True)
    assert "http://127.0.0.1:3000" in fault


@pytest.mark.parametrize(
    ("currency", "trials", "meters", "named"),
    [
        ("EUR", "", "", "BILLING_CURRENCY"),
        ("euro", "", "", "BILLING_CURRENCY"),
        ("eur", "professional", "", "TRIAL_DAYS"),
        ("eur", "professional=0", "", "TRIAL_DAYS"),
        ("eur", "professional=731", "", "TRIAL_DAYS"),
        ("eur", "", "api_calls", "STRIPE_METERS"),
        ("eur", "", "tokens=x", "STRIPE_METERS"),
    ],
)
def test_what_cannot_work_is_named(currency, trials, meters, named):
    (fault,) = faults_of(currency, trials, meters)
    assert f"COHORTLENS_{named}" in fault


def test_meters_without_a_key_of_the_provider_stop_the_start():
    config = read(CoreConfig, {"COHORTLENS_STRIPE_METERS": "api_calls=calls"})
    [fault] = [one for one in config.faults() if "STRIPE_METERS" in one]
    assert "COHORTLENS_STRIPE_API_KEY" in fault
    paid = {"COHORTLENS_STRIPE_METERS": "api_calls=calls", "COHORTLENS_STRIPE_API_KEY": "sk_test_0123456789"}
    assert not [one for one in read(CoreConfig, paid).faults() if "STRIPE" in one]


def test_what_works_has_no_fault():
    assert faults_of("usd", "professional=14, enterprise=30", "api_calls=calls", is_production=True) == []
