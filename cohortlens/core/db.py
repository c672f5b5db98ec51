"""PostgreSQL: the pool, transactions bound to a tenant, the only commit, and the translation of its failures.

One round trip opens a transaction and sets its tenant; COMMIT takes along what was put off (``deferred``).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from cohortlens.core.deferred import DeferredCalls, attach, bind_tenant, deferred
from cohortlens.core.disk import DiskFull
from cohortlens.core.errors import (
    Aborted,
    CohortLensError,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    QuotaViolation,
    ResourceExhausted,
    Unavailable,
)
from cohortlens.core.failpoints import failpoint
from cohortlens.core.idempotency import TAKEN_OVER_STATE, KeyTakenOver, mark_of

ResultT = TypeVar("ResultT")

STATEMENT_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 3_000
CONNECT_TIMEOUT_S = 5.0
_CONTROL_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = STATEMENT_TIMEOUT_MS / 1000
_RETRIES = 2

_LOST_STATES = {"57P01", "57P02", "57P03", "57P05", "53300", "25P03", "25P04"}
_CONFLICT_STATES = {"40001", "40P01", "55P03"}
_DRIVER_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_CANCELED_STATE = "57014"
REFUSED = "CL"
"""Class of the SQLSTATEs by which functions of our schema refuse what would pass a limit."""
_DISK_FULL_STATE = "53100"
_FAILED_STATE = "25P02"
_SESSION = {
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "jit": "off",
    "timezone": "UTC",
}


class Database:
    """A pool of connections to PostgreSQL as the runtime role.

    Args:
        url: ``postgresql://user:password@host:port/name``; a socket folder goes into ``?host=``.
        pool_size: Connections kept; a caller that waits over 5 s for one gets Unavailable (OVERLOADED).
        pooled: The address is a transaction pooler, which shares connections between sessions: statements
            are not cached, and what holds for a session is set in each transaction.
    """

    def __init__(self, url: str, pool_size: int, *, pooled: bool = False) -> None:
        arguments: dict[str, Any] = {"timeout": CONNECT_TIMEOUT_S}
        if pooled:
            arguments["statement_cache_size"] = 0
            arguments["prepared_statement_cache_size"] = 0
            arguments["prepared_statement_name_func"] = lambda: f"cl_{uuid4().hex}"
            self._begin = "BEGIN; " + "".join(
                f"SET LOCAL {name} = {value}; " for name, value in _SESSION.items()
            )
        else:
            arguments["server_settings"] = {**_SESSION, "application_name": "cohortlens"}
            self._begin = "BEGIN; "
        self._pool_size = pool_size
        self._engine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            isolation_level="AUTOCOMMIT",  # BEGIN and COMMIT are sent here, together with the tenant
            poolclass=AsyncAdaptedQueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5.0,
            pool_recycle=1800,
            hide_parameters=True,
            connect_args=arguments,
        )
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def tenant_transaction(
        self, tenant_id: UUID, *, generic_plans: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees and writes only rows of ``tenant_id``; commits when the body ends well.

        Raises:
            Unavailable: DATABASE_UNAVAILABLE when the connection is lost, OVERLOADED when none is free.
            DeadlineExceeded: A statement took longer than 10 s.
            Aborted: SERIALIZATION_RETRY after a conflict or a lock not granted within 3 s.
        """
        if not isinstance(tenant_id, UUID):
            raise TypeError("tenant_id must be a UUID")
        bound = bind_tenant(tenant_id, generic_plans=generic_plans)
        async with self._transaction(self._begin + bound, tenant_id) as tx:
            yield tx

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction without a tenant: tables without row-level security and functions of schema ``app``.

        Raises as ``tenant_transaction``.
        """
        async with self._transaction(self._begin, None) as tx:
            yield tx

    async def ping(self) -> None:
        """Raise Unavailable unless PostgreSQL answers."""
        async with self.transaction() as tx:
            await tx.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        if self._ending:
            await asyncio.wait(self._ending)
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, begin: str, tenant_id: UUID | None) -> AsyncIterator[AsyncConnection]:
        with _translated(control=True):
            connection = await self._opened(begin)
        calls = DeferredCalls(tenant_id)
        try:
            attach(connection, calls)
            with _translated(control=False):
                yield connection
        except BaseException:
            calls.close()
            await self._ended(connection, "ROLLBACK")
            raise
        calls.close()
        mark = mark_of(calls)
        with _translated(control=True):
            await self._ended(connection, "COMMIT", calls.taken() + mark)
        if mark:
            failpoint("idempotency.committed")

    async def _opened(self, begin: str) -> AsyncConnection:
        # After a restart of PostgreSQL every pooled connection is dead: drop each until a fresh one is made.
        for left in range(self._pool_size, -1, -1):
            connection = await self._engine.connect()
            try:
                await (await driver(connection)).execute(begin, timeout=_CONTROL_TIMEOUT_S)
            except BaseException as error:
                await connection.invalidate()
                await connection.close()
                if left == 0 or not _is_lost(error):
                    raise
            else:
                return connection
        raise AssertionError("unreachable")

    async def _ended(self, connection: AsyncConnection, command: str, before: str = "") -> None:
        # A cancelled request must not leave a commit half sent or a connection in an open transaction.
        task = asyncio.create_task(_end(connection, command, before))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if task.done() and not task.cancelled():
                task.exception()
            raise


async def retried(work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """The result of ``work``, run again, at most twice, after a conflict of transactions or a refused lock.

    Args:
        work: Runs one whole transaction.

    Raises:
        Aborted: SERIALIZATION_RETRY when the last run met a conflict too.
    """
    for attempt in range(_RETRIES):
        try:
            return await work()
        except Aborted as fault:
            if fault.reason != "SERIALIZATION_RETRY":
                raise
            await asyncio.sleep(random.uniform(0.01, 0.05) * (attempt + 1))  # noqa: S311
    return await work()


async def go_on_for(tx: AsyncConnection, tenant_id: UUID) -> None:
    """Bind an open transaction to another tenant, so that what concerns two of them commits together.

    Args:
        tx: A connection inside ``Database.tenant_transaction`` or ``Database.transaction``.
        tenant_id: Whose rows it sees and writes from now on.
    """
    await tx.execute(
        text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": str(UUID(int=tenant_id.int))}
    )
    deferred(tx).bind(tenant_id)


async def locked_in_tenant(tx: AsyncConnection, name: str) -> None:
    """Wait until no other transaction of the tenant holds the lock ``name``; then hold it to the end.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        name: What may be done by one at a time, such as ``api_keys``.
    """
    lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name || app.tid()::text, 0))")
    await tx.execute(lock, {"name": name})


async def send_deferred(tx: AsyncConnection) -> None:
    """Make the deferred calls now, so that what they did can be read; their locks are held until the commit.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.

    Raises:
        RuntimeError: The transaction is inside a savepoint, whose end could undo calls from before it.
    """
    if tx.in_nested_transaction():
        raise RuntimeError("deferred calls cannot be made inside a savepoint")
    if calls := deferred(tx).taken():
        await (await driver(tx)).execute(calls)


async def driver(connection: AsyncConnection) -> Any:
    """The asyncpg connection underneath, for COPY and for scripts of several statements."""
    return (await connection.get_raw_connection()).driver_connection


async def assert_runtime_role(db: Database) -> None:
    """Refuse to run as a role that row-level security does not bind.

    Raises:
        FailedPrecondition: DATABASE_ROLE_UNSAFE for a superuser, BYPASSRLS or an owner of tables.
    """
    async with db.transaction() as tx:
        row = (await tx.execute(text(_ROLE_QUERY))).one()
    faults = [
        words
        for is_so, words in (
            (row.rolsuper, "is a superuser"),
            (row.rolbypassrls, "has BYPASSRLS"),
            (row.owns, "owns tables"),
        )
        if is_so
    ]
    if faults:
        raise FailedPrecondition(
            f"the database role {row.rolname} {' and '.join(faults)}, so tenants would not be separated; "
            "connect as the runtime role cl_app",
            reason="DATABASE_ROLE_UNSAFE",
            metadata={"role": row.rolname},
        )


_ROLE_QUERY = """
SELECT r.rolname, r.rolsuper, r.rolbypassrls,
       EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname IN ('public', 'app')
                 AND pg_has_role(current_user, c.relowner, 'MEMBER')) AS owns
FROM pg_roles r WHERE r.rolname = current_user
"""


async def _end(connection: AsyncConnection, command: str, before: str) -> None:
    try:
        if connection.invalidated:
            if command == "COMMIT":
                raise _lost()
            return
        # In one message: what the calls lock is free again before their answer is on its way.
        timeout = _CONTROL_TIMEOUT_S + (_STATEMENT_TIMEOUT_S if before else 0.0)
        status = await (await driver(connection)).execute(before + command, timeout=timeout)
        if status != command:
            raise _failed_before()
    except CohortLensError:
        raise
    except BaseException as error:
        await _given_up(connection, error)
        if command != "COMMIT":
            return
        if _sqlstate(error) == _FAILED_STATE:
            raise _failed_before() from error
        if isinstance(error, asyncpg.PostgresError) and _fault(error) is None:
            raise Internal("the transaction could not be committed; nothing of it is stored") from error
        raise
    finally:
        await connection.close()


async def _given_up(connection: AsyncConnection, error: BaseException) -> None:
    """Roll back what PostgreSQL refused to commit; drop a connection that did not answer."""
    if isinstance(error, asyncpg.PostgresError) and not _is_lost(error):
        with suppress(*_DRIVER_FAULTS, OSError):
            if (raw := await driver(connection)).is_in_transaction():
                await raw.execute("ROLLBACK", timeout=_CONTROL_TIMEOUT_S)
            return
    await connection.invalidate()


def _failed_before() -> Internal:
    return Internal("a transaction that had failed was to be committed")


@contextmanager
def _translated(*, control: bool) -> Iterator[None]:
    """Turn PostgreSQL's failures into our errors; with ``control`` an OSError is a lost connection too."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable("no database connection became free within 5 s", retry_delay_s=1.0) from error
    except (exc.DBAPIError, *_DRIVER_FAULTS, OSError) as error:
        if isinstance(error, OSError) and not (control or isinstance(error, ConnectionError)):
            raise
        fault = _fault(error)
        if fault is None:
            raise
        raise fault from error


def _fault(error: BaseException) -> CohortLensError | None:
    state = _sqlstate(error)
    if _is_lost(error):
        return _lost()
    if state is not None and state.startswith(REFUSED):
        return _refused(error)
    if state in _CONFLICT_STATES:
        return Aborted(
            "another request changed the same rows; try again",
            reason="SERIALIZATION_RETRY",
            retry_delay_s=0.1,
        )
    if state == TAKEN_OVER_STATE:
        return KeyTakenOver()
    if state == _DISK_FULL_STATE:
        return DiskFull("the database has no space left on its disk; free some and try again")
    if state == _CANCELED_STATE:
        return DeadlineExceeded("the database did not finish the statement in time")
    return None


def _refused(error: BaseException) -> ResourceExhausted:
    """What a function of our schema refused: its message is for the caller, its detail for programs."""
    raised = next(link for link in _chain(error) if isinstance(link, asyncpg.PostgresError))
    detail = json.loads(str(raised.detail))
    metric, facts = detail["metric"], detail["metadata"]
    fault = ResourceExhausted(raised.message, reason=detail["reason"], metadata=facts)
    fault.quota = (QuotaViolation("tenant", raised.message, metric, f"max_{metric}", int(facts["limit"])),)
    return fault


def _lost() -> Unavailable:
    return Unavailable(
        "the database cannot be reached; try again", reason="DATABASE_UNAVAILABLE", retry_delay_s=1.0
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = getattr(link, "orig", None) or link.__cause__


def _sqlstate(error: BaseException) -> str | None:
    return next((state for link in _chain(error) if (state := getattr(link, "sqlstate", None))), None)


def _is_lost(error: BaseException) -> bool:
    state = _sqlstate(error) or ""
    if state.startswith("08") or state in _LOST_STATES:
        return True
    if getattr(error, "connection_invalidated", False):
        return True
    return any(
        # The driver refuses a connection with InternalClientError once the server has said that it ends.
        isinstance(link, OSError | asyncpg.PostgresConnectionError | asyncpg.InternalClientError)
        or (isinstance(link, asyncpg.InterfaceError) and "connection" in str(link))
        for link in _chain(error)
    )
