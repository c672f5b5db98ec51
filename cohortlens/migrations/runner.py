"""Bring a database to the newest schema, and ask which one it has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ResultT = TypeVar("ResultT")

_LOCK = 0x434C4D49  # one migration at a time in a database


def upgrade(admin_url: str, revision: str = "head") -> None:
    """Run every revision the database lacks, in one transaction; concurrent runs wait for one another.

    Blocks; may be called with or without a running event loop.

    Args:
        admin_url: Address of the database as the owner role ``cl_owner``.
        revision: The last one to run; the newest when omitted.

    Raises:
        sqlalchemy.exc.DBAPIError: The roles are missing or PostgreSQL refused a statement.
        OSError: PostgreSQL cannot be reached.
    """
    _apart(lambda: _connected(admin_url, lambda it: _upgrade(it, revision)))


def current(url: str) -> str | None:
    """The revision the database has, None for an empty one. Blocks; any role may ask."""
    return _apart(lambda: _connected(url, lambda it: MigrationContext.configure(it).get_current_revision()))


def head() -> str:
    """The newest revision this release knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, revision: str) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def _connected(url: str, work: Callable[[Connection], ResultT]) -> ResultT:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _apart(work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    # A thread has no running event loop, so callers inside one may call too.
    results: list[ResultT] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(work()))
        except BaseException as fault:  # handed to the caller below
            faults.append(fault)

    thread = threading.Thread(target=run, name="migration")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return results[0]
