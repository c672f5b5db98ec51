"""Stored features for analytics: of named customers in one round trip, of all customers chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any, TypeAlias, cast
from uuid import UUID

import pyarrow as pa
from sqlalchemy import text

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import SEQUENCE
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, driver
from cohortlens.core.ids import CustomerId, TenantId
from cohortlens.customers.models import DataState, FeatureRows, customer_key
from cohortlens.customers.repository import CustomersRepository, feature_rows, stored_values
from cohortlens.customers.service import CustomersService

_Name: TypeAlias = UUID | str
_Found: TypeAlias = "dict[_Name, Any]"
_BY_NAME = """
SELECT c.id AS customer_id, c.external_id, f.as_of, f.data_revision, f.schema_hash, {values} AS vector,
       d.currency
  FROM customers c
  JOIN customer_features f ON f.tenant_id = c.tenant_id AND f.customer_id = c.id
  JOIN customer_data d ON d.tenant_id = c.tenant_id
 WHERE c.tenant_id = app.tid() AND f.schema_hash = $1
   AND (c.id = ANY($2::uuid[]) OR c.external_id = ANY($3::text[]))
"""
_NARROW = _BY_NAME.format(values=stored_values(wide=False))
_WIDE = _BY_NAME.format(values=stored_values(wide=True)) + "   AND f.sequence_hash = $4"


class FeatureLookup:
    """Reads features for the analytics slice.

    Args:
        db: Database as the runtime role.
        customers: Answers what the short way cannot: it names what is missing and renews what is out of date.
    """

    def __init__(self, db: Database, customers: CustomersService) -> None:
        self._db = db
        self._customers = customers
        self._reader = _GroupReader(db, _NARROW, (SCHEMA.hash,), ())
        self._wide_reader = _GroupReader(db, _WIDE, (SCHEMA.hash,), (SEQUENCE.hash,))

    async def features_by_name(
        self, ctx: RequestContext, names: Sequence[str], *, wide: bool = False
    ) -> FeatureRows:
        """Features of customers named by identifier or ``external:`` identifier, in the order given.

        Args:
            ctx: The request.
            names: The customers.
            wide: Whether their weekly sequences come behind the features.

        Raises:
            CustomerNotFound: The first that does not exist, or belongs to another tenant.
            InvalidArgument: The first that is neither form.
            FailedPrecondition: FEATURES_MISSING: the first without a purchase.
        """
        found = await self._short(ctx.tenant_id, names, wide)
        if found is not None:
            return found
        resolved = await self._customers.resolve(ctx, names)
        return await self._customers.features(ctx, [customer_id for customer_id, _ in resolved], wide=wide)

    async def features_after(
        self, tenant_id: TenantId, after: CustomerId | None, limit: int, *, wide: bool = False
    ) -> FeatureRows | None:
        """Features of the customers behind ``after``, by identifier; None when there are no more."""
        if after is None:
            # The service's own way renews rows of an older schema before it reads the first.
            chunks = self._customers.all_features(tenant_id, limit, wide=wide)
            async with aclosing(cast("AsyncGenerator[FeatureRows, None]", chunks)):
                return await anext(chunks, None)
        async with self._db.tenant_transaction(tenant_id) as tx:
            return await CustomersRepository(tx).features_after(after, limit, wide=wide)

    async def count_customers(self, tenant_id: TenantId) -> int:
        """Customers that have features."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            counted = await tx.scalar(
                text("SELECT count(*) FROM customer_features WHERE tenant_id = app.tid()")
            )
        return int(counted or 0)

    async def data_state(self, tenant_id: TenantId) -> DataState:
        """How much data there is, and of which day."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            state = await CustomersRepository(tx).data_state()
            counted = await tx.scalar(text("SELECT count(*) FROM purchase_days WHERE tenant_id = app.tid()"))
        return DataState(int(counted or 0), *(state[1:] if state else (None, 0)))

    async def training_snapshot(self, tenant_id: TenantId) -> tuple[pa.Table, date, str]:
        """As ``CustomersService.training_snapshot``."""
        return await self._customers.training_snapshot(tenant_id)

    async def _short(self, tenant_id: TenantId, names: Sequence[str], wide: bool) -> FeatureRows | None:
        """One statement; None when a name cannot be read or has no current features."""
        # PostgreSQL cannot hold a NUL in a text.
        keys = [key for name in names if (key := customer_key(name)) is not None and "\0" not in name]
        if len(keys) < len(names) or not keys:
            return None
        rows = await (self._wide_reader if wide else self._reader).read(tenant_id, keys)
        chosen = [row for key in keys if (row := rows.get(key)) is not None]
        return None if len(chosen) < len(keys) else feature_rows(chosen)


class _GroupReader:
    """Reads features so that concurrent calls of a tenant share a statement.

    While one is under way, what arrives waits for the next; so each call still reads what was committed
    before it came.

    Args:
        db: Database as the runtime role.
        statement: Reads rows by identifiers and external identifiers.
        before: Its parameters before these two.
        behind: Its parameters behind them.
    """

    def __init__(
        self, db: Database, statement: str, before: tuple[str, ...], behind: tuple[str, ...]
    ) -> None:
        self._db = db
        self._statement, self._before, self._behind = statement, before, behind
        self._waiting: dict[TenantId, list[tuple[Sequence[_Name], asyncio.Future[_Found]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, tenant_id: TenantId, keys: Sequence[_Name]) -> _Found:
        """Rows by identifier and by external identifier; those of other calls may be among them."""
        answer: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(tenant_id)
        if waiting is not None:
            waiting.append((keys, answer))
        else:
            self._waiting[tenant_id] = [(keys, answer)]
            task = asyncio.create_task(self._drain(tenant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _drain(self, tenant_id: TenantId) -> None:
        while group := self._waiting[tenant_id]:
            self._waiting[tenant_id] = []
            try:
                found = await self._fetch(tenant_id, {key for keys, _ in group for key in keys})
            except Exception as error:
                for _, answer in group:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for _, answer in group:
                    if not answer.done():
                        answer.set_result(found)
        del self._waiting[tenant_id]

    async def _fetch(self, tenant_id: TenantId, keys: set[_Name]) -> _Found:
        ids = [key for key in keys if isinstance(key, UUID)]
        externals = [key for key in keys if isinstance(key, str)]
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = await (await driver(tx)).fetch(
                self._statement, *self._before, ids, externals, *self._behind
            )
        found: _Found = {}
        for row in rows:
            found[row["customer_id"]] = found[row["external_id"]] = row
        return found
