"""Calls that a transaction sends together with its COMMIT, in one message.

What takes a lock that many transactions want is called here: the lock is held while PostgreSQL works through
the message, never while an answer travels or a busy process comes to read it.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

_OPTION = "cohortlens_deferred"
_FUNCTION = re.compile(r"app\.[a-z_]+")


class DeferredCalls:
    """The calls that one transaction has put off, each for the tenant it was put off for.

    Args:
        tenant_id: Tenant of the transaction; None for one without.

    Attributes:
        is_effect: Whether what the transaction writes is an effect of the request it runs for.
        claims: The keyed requests it works for, when those are not its own task's.
    """

    is_effect = True
    claims: tuple[Any, ...] = ()

    def __init__(self, tenant_id: UUID | None) -> None:
        self._tenant_id = tenant_id
        self._calls: list[tuple[UUID, str, bytes]] = []
        self._is_closed = False

    def bind(self, tenant_id: UUID) -> None:
        """From now on calls are put off for ``tenant_id``."""
        self._tenant_id = tenant_id

    def add(self, function: str, argument: bytes) -> None:
        """Put a call off; see ``call_at_commit``."""
        if self._is_closed:
            raise RuntimeError(f"{function} cannot be called: its transaction has ended")
        if self._tenant_id is None:
            raise RuntimeError(f"{function} needs a tenant; open the transaction with tenant_transaction")
        if not _FUNCTION.fullmatch(function):
            raise ValueError(f"a deferred call names a function of the schema app, not {function!r}")
        self._calls.append((self._tenant_id, function, argument))

    def taken(self) -> str:
        """The statements of the calls in their order; nothing is put off any more."""
        bound, statements = self._tenant_id, []
        for tenant_id, function, argument in self._calls:
            if tenant_id != bound:
                statements.append(f"{bind_tenant(tenant_id)}; ")
                bound = tenant_id
            # Hexadecimal digits alone: nothing an argument holds can end the literal.
            statements.append(f"SELECT {function}(decode('{argument.hex()}', 'hex')); ")
        if bound != self._tenant_id and self._tenant_id is not None:
            statements.append(f"{bind_tenant(self._tenant_id)}; ")
        self._calls.clear()
        return "".join(statements)

    def close(self) -> None:
        """Refuse further calls: the transaction ends."""
        self._is_closed = True


def bind_tenant(tenant_id: UUID, *, generic_plans: bool = False) -> str:
    """The statement that binds the open transaction to a tenant.

    Args:
        tenant_id: The tenant.
        generic_plans: Keep the plan of each prepared statement, whatever its parameters. For few rows by key,
            where planning anew costs more than the work: 0.8 against 0.2 ms for the features of one customer.
    """
    plans = ", set_config('plan_cache_mode', 'force_generic_plan', true)" if generic_plans else ""
    return f"SELECT set_config('app.tenant_id', '{UUID(int=tenant_id.int)}', true){plans}"


def attach(connection: AsyncConnection, calls: DeferredCalls) -> None:
    """Make ``calls`` those of the transaction that was opened on ``connection``."""
    # An option lives as long as this one check-out of the connection: nothing passes to the next transaction.
    _sync(connection).execution_options(**{_OPTION: calls})


def deferred(tx: AsyncConnection) -> DeferredCalls:
    """The calls of an open transaction.

    Raises:
        RuntimeError: ``tx`` is no transaction of ``Database``, so nobody would send them.
    """
    calls = _sync(tx).get_execution_options().get(_OPTION)
    if not isinstance(calls, DeferredCalls):
        raise RuntimeError("the connection is no transaction of Database, which sends deferred calls")
    return calls


def call_at_commit(tx: AsyncConnection, function: str, argument: bytes) -> None:
    """Call ``function`` when the transaction commits, in one message with the COMMIT.

    A call that fails rolls the whole transaction back, and the transaction raises at its end.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        function: Function of the schema ``app`` that takes one ``bytea``.
        argument: The bytes.

    Raises:
        RuntimeError: The transaction has ended, has no tenant, or is inside a savepoint: the call would stay
            when the savepoint is rolled back.
        ValueError: ``function`` is no name of a function of the schema ``app``.
    """
    if tx.in_nested_transaction():
        raise RuntimeError(f"{function} cannot be deferred inside a savepoint; call it after its end")
    deferred(tx).add(function, argument)


def _sync(connection: AsyncConnection) -> Any:
    found = connection.sync_connection
    if found is None:
        raise RuntimeError("the connection is not open")
    return found
