import pytest

from tests.unit.gateway.graphql.door import build

_built = []


@pytest.fixture
def door():
    """(client, servicer) of the whole public API, the servicer empty."""
    if not _built:
        _built.append(build())
    client, servicer = _built[0]
    servicer.asked, servicer.calls, servicer.script, servicer.ended = [], [], {}, []
    return client, servicer


@pytest.fixture(scope="session")
def production():
    """The same as it is served in production."""
    return build(is_production=True)
