"""Limits as texts, and what of the settings cannot work."""

import pytest

from gateway.rate_settings import Limit, RateSettings
from load.bench.raised import RAISED


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60/60s;burst=30", Limit(60, 60.0, 30)),
        ("60/60s; burst=30", Limit(60, 60.0, 30)),
        ("10/1s", Limit(10, 1.0, 10)),
        ("10/1", Limit(10, 1.0, 10)),
        ("5/500ms;burst=7", Limit(5, 0.5, 7)),
        ("100/1h", Limit(100, 3600.0, 100)),
        ("3/2m", Limit(3, 120.0, 3)),
    ],
)
def test_a_limit_reads_as_units_window_and_burst(text, limit):
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    "text",
    ["", "60", "60/", "/60s", "0/60s", "60/0s", "60/60s;burst=0", "60/60d", "-1/60s", "60/60s;shadow",
     "2000000/1s", "1e3/1s", "60/60s;burst=30;burst=3", "٣/60s"],
)  # fmt: skip
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"rate_public": "many"}, "COHORTLENS_RATE_PUBLIC='many': expected units/window;burst=units"),
        ({"rate_read": "0/1s"}, "COHORTLENS_RATE_READ='0/1s': expected"),
        ({"rate_bulk": 0}, "COHORTLENS_RATE_BULK=0: expected 1 or more"),
        ({"rate_internal": 0}, "COHORTLENS_RATE_INTERNAL=0: expected 1 or more"),
        ({"rate_shadow": "read,wirte"}, "COHORTLENS_RATE_SHADOW: no limit is called 'wirte'"),
        ({"rate_redis_timeout": 0.0}, "COHORTLENS_RATE_REDIS_TIMEOUT: expected a duration above zero"),
        ({"trusted_proxies": "10.0.0.1/8"}, "COHORTLENS_TRUSTED_PROXIES: '10.0.0.1/8' is no network"),
    ],
)
def test_a_setting_that_cannot_work_is_named(given, named):
    faults = RateSettings(**given).rate_faults()
    assert len(faults) == 1
    assert faults[0].startswith(named)


def test_the_defaults_and_the_raised_limits_of_tests_work():
    raised = {name.removeprefix("COHORTLENS_").lower(): value for name, value in RAISED.items()}
    counts = {name: int(value) for name, value in raised.items() if "/" not in value}
    assert RateSettings().rate_faults() == []
    assert RateSettings(**(raised | counts)).rate_faults() == []
