"""Which version serves while the database does not answer."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.registry import service
from cohortlens.registry.service import RegistryService

TENANT = uuid7()


class Away:
    """A database that cannot be reached."""

    @asynccontextmanager
    async def tenant_transaction(self, _tenant_id):
        raise Unavailable("away", reason="DATABASE_UNAVAILABLE")
        yield


@pytest.fixture
def registry():
    return RegistryService(Away())


async def test_the_last_known_version_serves_while_the_database_is_away(registry):
    known = SimpleNamespace(version=3)
    registry._active[TENANT, "prediction"] = (0.0, known)
    assert await registry.active(TENANT, "prediction") is known


async def test_a_database_that_hangs_holds_calls_for_a_moment_only_once(registry, monkeypatch):
    monkeypatch.setattr(service, "_PATIENCE_S", 0.01)
    known = SimpleNamespace(version=3)
    registry._active[TENANT, "prediction"] = (0.0, known)
    never = registry._reading[TENANT, "prediction"] = _never()
    assert await registry.active(TENANT, "prediction") is known
    monkeypatch.setattr(service, "_PATIENCE_S", 60)
    # Known again for a second: no call waits.
    assert await registry.active(TENANT, "prediction") is known
    never.cancel()


async def test_a_version_nobody_knows_is_an_error_of_the_database(registry):
    with pytest.raises(Unavailable):
        await registry.active(TENANT, "prediction")


def _never():
    return asyncio.get_running_loop().create_future()
