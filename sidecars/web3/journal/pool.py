"""Transactions of the sidecar on the schema ``web3``: bound to a tenant, short, never across a network call.

One round trip opens a transaction and sets ``app.tenant_id``, which row-level security reads; the setting
ends with the transaction, so a pooled connection never carries a tenant to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg

from cohortlens.core.errors import Aborted, FailedPrecondition, Unavailable

POOL_SIZE = 6
_CONNECT_TIMEOUT_S = 5.0
_ACQUIRE_TIMEOUT_S = 5.0
_SESSION = {
    "application_name": "cohortlens-web3",
    "search_path": "web3",
    "statement_timeout": "10000",
    "idle_in_transaction_session_timeout": "15000",
    "lock_timeout": "5000",
    "jit": "off",
    "timezone": "UTC",
}
_ALL_TENANTS = "BEGIN; SELECT set_config('app.tenant_id', '', true), set_config('web3.every', 'on', true)"
_ONE_TENANT = "BEGIN; SELECT set_config('app.tenant_id', '{}', true), set_config('web3.every', '', true)"
_CONFLICTS = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
)


class JournalUnavailable(Unavailable):
    """PostgreSQL does not answer, or no connection is free."""

    reason = "DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The journal cannot be reached; try again in a moment.", retry_delay_s=1.0)


class JournalTransaction:
    """An open transaction. What raises in it is rolled back with all the rest.

    Args:
        connection: The driver's connection, inside the transaction.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def execute(self, statement: str, *arguments: object) -> int:
        """Run a statement with arguments ``$1``, ``$2``, ...; answers how many rows it touched."""
        status: str = await self._connection.execute(statement, *arguments)
        last = status.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    async def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once per row, in one round trip."""
        await self._connection.executemany(statement, rows)

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """All rows; a row gives its values by name and by position."""
        rows: list[Any] = await self._connection.fetch(statement, *arguments)
        return rows

    async def fetchrow(self, statement: str, *arguments: object) -> Any:
        """The first row, or None."""
        return await self._connection.fetchrow(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: object) -> Any:
        """The first value of the first row, or None."""
        return await self._connection.fetchval(statement, *arguments)

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert many rows of schema ``web3`` with COPY."""
        await self._connection.copy_records_to_table(
            table, schema_name="web3", columns=list(columns), records=rows
        )


class Journal:
    """The pool of connections of one sidecar.

    Args:
        dsn: ``postgresql://cl_web3:...@host:port/name``.
        size: Connections kept at most.
    """

    def __init__(self, dsn: str, size: int = POOL_SIZE) -> None:
        self._dsn = dsn
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            JournalUnavailable: PostgreSQL does not answer.
            FailedPrecondition: DATABASE_ROLE_UNSAFE: the role is not bound by row-level security;
                DATABASE_SCHEMA_OUTDATED: the schema ``web3`` is missing.
        """
        with translated():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._size,
                timeout=_CONNECT_TIMEOUT_S,
                server_settings=_SESSION,
                # What a session keeps is set per transaction, and every transaction ends before its release.
                reset=_nothing_to_reset,
            )
        await self._assert_role()

    @asynccontextmanager
    async def transaction(self, tenant_id: UUID | None) -> AsyncIterator[JournalTransaction]:
        """A transaction that commits when the body ends well.

        Args:
            tenant_id: Whose rows it sees and writes; None for work on all tenants' rows, such as sending open
                transactions: never for what a caller asked for.

        Raises:
            JournalUnavailable: The connection is lost, or none is free.
            Aborted: SERIALIZATION_RETRY after a conflict or a lock not granted within 5 s.
        """
        begin = _ALL_TENANTS if tenant_id is None else _ONE_TENANT.format(UUID(int=tenant_id.int))
        with translated():
            connection = await self._opened(begin)
            try:
                yield JournalTransaction(connection)
                await _to_its_end(connection.execute("COMMIT"))
            finally:
                await _to_its_end(self._returned(connection))

    async def ping(self) -> None:
        """Raise ``JournalUnavailable`` unless PostgreSQL answers."""
        async with self.transaction(None) as tx:
            await tx.fetchval("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def _opened(self, begin: str) -> Any:
        assert self._pool is not None
        # After a restart of PostgreSQL every kept connection is dead: drop each until a fresh one is made.
        for left in range(self._size, -1, -1):
            connection = await self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S)
            try:
                await connection.execute(begin)
            except BaseException as error:
                _drop(connection)
                await self._pool.release(connection)
                if left == 0 or not isinstance(error, _LOST):
                    raise
            else:
                return connection
        raise AssertionError("unreachable")

    async def _returned(self, connection: Any) -> None:
        assert self._pool is not None
        try:
            if not connection.is_closed() and connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=_CONNECT_TIMEOUT_S)
        except (*_LOST, asyncpg.PostgresError):
            _drop(connection)
        finally:
            await self._pool.release(connection)

    async def _assert_role(self) -> None:
        async with self.transaction(None) as tx:
            role = await tx.fetchrow(
                "SELECT rolname,"
                " rolsuper OR rolbypassrls OR pg_has_role(rolname, 'cl_owner', 'MEMBER') AS unsafe,"
                " to_regclass('web3.operation') IS NULL AS outdated"
                " FROM pg_roles WHERE rolname = current_user"
            )
        if role["unsafe"]:
            raise FailedPrecondition(
                f"the database role {role['rolname']} is not bound by row-level security; "
                "put the address of the role cl_web3 into COHORTLENS_WEB3_DSN",
                reason="DATABASE_ROLE_UNSAFE",
            )
        if role["outdated"]:
            raise FailedPrecondition(
                "the schema web3 is missing, or the role may not use it; run: cohortlens migrate",
                reason="DATABASE_SCHEMA_OUTDATED",
            )


@contextmanager
def translated() -> Iterator[None]:
    """Turn failures of the driver into errors with a reason."""
    try:
        yield
    except _CONFLICTS as error:
        raise Aborted(
            "Another call changed the same rows; try again.",
            reason="SERIALIZATION_RETRY",
            retry_delay_s=0.1,
        ) from error
    except _LOST as error:
        raise JournalUnavailable from error


async def _to_its_end(work: Coroutine[Any, Any, object]) -> None:
    # Nobody knows what a commit half sent did, and two must not use a connection: a cancelled caller waits.
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


def _drop(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool noticed first that the server had cut it
        connection.terminate()


async def _nothing_to_reset(_connection: Any) -> None:
    return
