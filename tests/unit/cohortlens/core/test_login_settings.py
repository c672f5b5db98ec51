"""Settings of log-in that cannot work are named before anything starts."""

import pytest

from cohortlens.core.config import read
from cohortlens.core.settings import CoreConfig


def _faults(**environ):
    values = {f"COHORTLENS_{name}": value for name, value in environ.items()}
    return read(CoreConfig, values).faults()


def test_the_defaults_work():
    assert _faults() == []


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"LOGIN_AT_ONCE": "0"}, "COHORTLENS_LOGIN_AT_ONCE"),
        ({"LOGIN_PER_EMAIL": "-3"}, "COHORTLENS_LOGIN_PER_EMAIL"),
        ({"LOGIN_WAIT": "20m"}, "COHORTLENS_LOGIN_WAIT"),
        ({"LOGIN_WAIT": "0s"}, "COHORTLENS_LOGIN_WAIT"),
        ({"PASSWORD_PEPPER": "too short a pepper"}, "COHORTLENS_PASSWORD_PEPPER"),
    ],
)
def test_what_cannot_work_is_named(environ, named):
    (fault,) = _faults(**environ)
    assert named in fault
    assert "too short a pepper" not in fault
