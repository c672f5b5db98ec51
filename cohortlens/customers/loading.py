"""Phase two of an import, inside one transaction of the caller: accepted rows into the tables.

Rows go through temporary tables, because PostgreSQL refuses COPY into tables with row-level security.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import pyarrow as pa
import pyarrow.csv as pacsv
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.core.db import driver, locked_in_tenant
from cohortlens.customers.models import FileFault

_LIMITS = (
    "SET LOCAL statement_timeout = '20min'; SET LOCAL idle_in_transaction_session_timeout = '20min'; "
    "SET LOCAL lock_timeout = '2min'; SET LOCAL work_mem = '64MB'"
)
_INCOMING = """
CREATE TEMPORARY TABLE cl_incoming (
  external_id text COLLATE "C", order_ref text, occurred_at timestamptz, known_at timestamptz, sku text,
  quantity numeric(18, 4), amount_minor bigint, country text, source_key text COLLATE "C"
) ON COMMIT DROP
"""
_CUSTOMERS = """
INSERT INTO customers (tenant_id, id, external_id, country, created_at)
SELECT app.tid(), app.uuid7(), external_id,
       (array_agg(country ORDER BY occurred_at DESC) FILTER (WHERE country IS NOT NULL))[1], :now
  FROM cl_incoming GROUP BY external_id
ON CONFLICT (tenant_id, external_id) DO NOTHING
"""
_TRANSACTIONS = """
WITH covered AS (
  SELECT min(day) AS first, max(day) AS last FROM purchase_days WHERE tenant_id = app.tid()
), added AS (
  INSERT INTO transactions (tenant_id, source_key, customer_id, order_ref, occurred_at, known_at, sku,
                            quantity, amount_minor, currency, kind, import_id)
  SELECT app.tid(), decode(i.source_key, 'hex'), c.id, i.order_ref, i.occurred_at,
         -- A row for days that earlier data covered was not known before now; it must not leak into the past.
         coalesce(i.known_at, CASE WHEN i.occurred_at::date BETWEEN covered.first AND covered.last
                                   THEN greatest(:now, i.occurred_at) ELSE i.occurred_at END),
         i.sku, i.quantity, i.amount_minor, :currency,
         CASE WHEN i.amount_minor < 0 THEN 'RETURN' ELSE 'SALE' END, :import_id
    FROM cl_incoming i JOIN customers c ON c.tenant_id = app.tid() AND c.external_id = i.external_id
         CROSS JOIN covered
  ON CONFLICT (tenant_id, source_key) DO NOTHING
  RETURNING customer_id
)
INSERT INTO cl_touched SELECT customer_id, count(*) FROM added GROUP BY customer_id
"""


@dataclass(frozen=True)
class Loaded:
    """What phase two wrote, or what a dry run would write.

    ``customers_over`` is for a dry run: how many of the new customers the plan has no room for.
    """

    accepted: int
    duplicate: int
    new_customers: int
    customers_over: int = 0


async def allow_long_work(tx: AsyncConnection) -> None:
    """Let a transaction read or write all rows of a tenant: the limits of a request would end it."""
    await (await driver(tx)).execute(_LIMITS)


async def prepare(tx: AsyncConnection) -> None:
    """Give a transaction the limits of long work, and the tenant's imports an order."""
    await allow_long_work(tx)
    await locked_in_tenant(tx, "import ")


async def stage(tx: AsyncConnection, batches: Iterable[pa.RecordBatch]) -> int:
    """Copy accepted rows into the temporary table ``cl_incoming``; answers how many."""
    await tx.execute(text(_INCOMING))
    await copy_in(tx, "cl_incoming", batches)
    await tx.execute(text("ANALYZE cl_incoming"))
    return int(await tx.scalar(text("SELECT count(*) FROM cl_incoming")) or 0)


async def count_only(tx: AsyncConnection, staged: int) -> Loaded:
    """What ``load`` would write."""
    duplicate = await tx.scalar(
        text(
            "SELECT count(*) FROM cl_incoming i JOIN transactions t "
            "ON t.tenant_id = app.tid() AND t.source_key = decode(i.source_key, 'hex')"
        )
    )
    fresh = await tx.scalar(
        text(
            "SELECT count(DISTINCT i.external_id) FROM cl_incoming i WHERE NOT EXISTS "
            "(SELECT 1 FROM customers c WHERE c.tenant_id = app.tid() AND c.external_id = i.external_id)"
        )
    )
    over = await EntitlementRows(tx).customers_over(int(fresh or 0))
    return Loaded(staged - int(duplicate or 0), int(duplicate or 0), int(fresh or 0), over)


async def load(tx: AsyncConnection, staged: int, import_id: UUID, currency: str, now: datetime) -> Loaded:
    """Write staged rows that are new; the customers of new rows are left in the table ``cl_touched``."""
    added = await tx.execute(text(_CUSTOMERS), {"now": now})
    await tx.execute(
        text("CREATE TEMPORARY TABLE cl_touched (customer_id uuid PRIMARY KEY, rows bigint) ON COMMIT DROP")
    )
    await tx.execute(text(_TRANSACTIONS), {"now": now, "currency": currency, "import_id": import_id})
    await tx.execute(text("ANALYZE cl_touched"))
    accepted = int(await tx.scalar(text("SELECT coalesce(sum(rows), 0) FROM cl_touched")) or 0)
    return Loaded(accepted, staged - accepted, added.rowcount)


async def customers_of(tx: AsyncConnection) -> list[tuple[UUID, str]]:
    """Identifier and the tenant's own one of each customer of the staged rows."""
    rows = await tx.execute(
        text(
            "SELECT c.id, c.external_id FROM customers c WHERE c.tenant_id = app.tid()"
            " AND c.external_id IN (SELECT i.external_id FROM cl_incoming i)"
        )
    )
    return [(row.id, row.external_id) for row in rows]


async def settle_data(tx: AsyncConnection, currency: str) -> tuple[date, int]:
    """Raise the tenant's data revision; gives the last day of data and the revision.

    Raises:
        FileFault: CURRENCY_MISMATCH: another import settled another currency meanwhile.
    """
    row = (
        await tx.execute(
            text(
                "INSERT INTO customer_data AS d (tenant_id, currency, as_of, data_revision) "
                "SELECT app.tid(), :currency, max(occurred_at)::date, 1 FROM cl_incoming "
                "ON CONFLICT (tenant_id) DO UPDATE SET as_of = greatest(d.as_of, excluded.as_of), "
                "data_revision = d.data_revision + 1 RETURNING currency, as_of, data_revision"
            ),
            {"currency": currency},
        )
    ).one()
    if row.currency != currency:
        raise FileFault(
            f"the amounts are in {currency}, but the data imported before is in {row.currency}",
            reason="CURRENCY_MISMATCH",
        )
    return row.as_of, row.data_revision


async def copy_in(tx: AsyncConnection, table: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Copy batches into a table without row-level security, column by column name."""
    iterator = iter(batches)
    first = await asyncio.to_thread(next, iterator, None)
    if first is None:
        return
    await (await driver(tx)).copy_to_table(
        table, source=_as_csv(first, iterator), columns=first.schema.names, format="csv"
    )


async def copy_out(tx: AsyncConnection, query: str, schema: pa.Schema) -> pa.Table:
    """The result of a query without parameters, as a table of ``schema``; faster than rows of objects."""
    sink = pa.BufferOutputStream()

    async def keep(data: bytes) -> None:
        sink.write(data)

    await (await driver(tx)).copy_from_query(query, output=keep, format="csv")
    data = sink.getvalue()
    if not data.size:
        return schema.empty_table()
    options = pacsv.ReadOptions(column_names=schema.names, use_threads=False)
    convert = pacsv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return await asyncio.to_thread(
        pacsv.read_csv, pa.BufferReader(data), read_options=options, convert_options=convert
    )


async def _as_csv(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> AsyncIterator[bytes]:
    batch: pa.RecordBatch | None = first
    while batch is not None:
        yield await asyncio.to_thread(_csv_bytes, batch)
        batch = await asyncio.to_thread(next, rest, None)


def _csv_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    pacsv.write_csv(batch, sink, pacsv.WriteOptions(include_header=False))
    return bytes(sink.getvalue().to_pybytes())
