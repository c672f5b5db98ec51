"""Which failures of the driver become which errors; the rest against PostgreSQL in tests/integration."""

from __future__ import annotations

import asyncpg
import pytest

from cohortlens.core import db
from cohortlens.core.errors import Aborted, DeadlineExceeded, Unavailable


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.CannotConnectNowError("starting up"), Unavailable),
        (asyncpg.TooManyConnectionsError("too many"), Unavailable),
        (asyncpg.AdminShutdownError("bye"), Unavailable),
        (asyncpg.ConnectionDoesNotExistError("gone"), Unavailable),
        (ConnectionResetError("reset"), Unavailable),
        (asyncpg.DeadlockDetectedError("deadlock"), Aborted),
        (asyncpg.SerializationError("conflict"), Aborted),
        (asyncpg.LockNotAvailableError("locked"), Aborted),
        (asyncpg.QueryCanceledError("slow"), DeadlineExceeded),
        (asyncpg.DiskFullError('could not extend file "base/1/2": bye'), Unavailable),
    ],
)
def test_failures_of_the_server_become_errors_of_the_domain(error, kind):
    with pytest.raises(kind) as caught, db._translated(control=False):
        raise error
    assert caught.value.__cause__ is error
    assert "bye" not in caught.value.message


def test_a_full_disk_of_the_server_is_told_as_such():
    with pytest.raises(Unavailable) as caught, db._translated(control=False):
        raise asyncpg.DiskFullError("could not extend file")
    assert caught.value.reason == "DISK_FULL"
    assert "free some" in caught.value.message


@pytest.mark.parametrize(
    "error", [asyncpg.UniqueViolationError("twice"), FileNotFoundError("x"), KeyError("x")]
)
def test_what_is_no_failure_of_the_server_passes_unchanged(error):
    with pytest.raises(type(error)) as caught, db._translated(control=False):
        raise error
    assert caught.value is error


async def test_a_tenant_that_is_not_a_uuid_never_reaches_sql():
    database = db.Database("postgresql://cl_app:x@127.0.0.1:1/none", 1)
    with pytest.raises(TypeError):
        async with database.tenant_transaction("' OR true --"):
            pass
    await database.close()
