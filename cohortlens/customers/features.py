"""Purchase-days and features in step with the transactions; inside a transaction of the caller.

Also the training snapshot. Features are kept of all customers, so that a consent counts at once; who may be
used is asked by whoever reads them. Customers are row numbers here, in the order of their external ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.contracts.currency import minor_digits
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays, purchase_days
from cohortlens.contracts.sequences import SEQUENCE, weekly_sequences
from cohortlens.customers.loading import copy_in, copy_out
from cohortlens.customers.usability import Activity, join_by_hash, usable_among_all

_EPOCH = date(1970, 1, 1)
_BATCH_ROWS = 50_000
_ORDERS = """
SELECT t.customer_id::text, min(t.occurred_at)::date - DATE '1970-01-01', sum(t.amount_minor),
       CASE WHEN bool_or(t.quantity IS NULL) THEN NULL ELSE sum(t.quantity) END,
       count(DISTINCT t.sku), count(*), max(t.known_at)::date - DATE '1970-01-01'
  FROM transactions t JOIN cl_touched USING (customer_id)
 WHERE t.tenant_id = app.tid()
 GROUP BY t.customer_id, coalesce('r' || t.order_ref, 'k' || encode(t.source_key, 'hex'))
"""
_ORDERS_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("day", pa.int64()),
        ("amount_minor", pa.int64()),
        ("items", pa.float64()),
        ("skus", pa.int64()),
        ("lines", pa.int64()),
        ("known", pa.int64()),
    ]
)
# In the order of the tenant's own identifiers: ours are random, and a training must not depend on them.
# What happened before the first import counts from its own day, whenever it was loaded: a history that comes
# in several files is not late.
_DAYS = """
SELECT d.customer_id::text, d.day - DATE '1970-01-01', d.amount_minor, d.orders, d.items, d.skus, d.lines,
       d.returns_minor,
       CASE WHEN d.day < o.day AND d.known_on >= o.day THEN d.day ELSE d.known_on END - DATE '1970-01-01'
  FROM purchase_days d JOIN customers c ON c.tenant_id = d.tenant_id AND c.id = d.customer_id
       CROSS JOIN (SELECT min(created_at)::date AS day FROM imports
                    WHERE tenant_id = app.tid() AND state = 'SUCCEEDED'
                      AND NOT coalesce((options ->> 'dry_run')::boolean, false)) o
 WHERE d.tenant_id = app.tid(){allowed} ORDER BY c.external_id COLLATE "C", d.day
"""
_DAYS_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("day", pa.int32()),
        ("amount_minor", pa.int64()),
        ("orders", pa.int32()),
        ("items", pa.float64()),
        ("skus", pa.int32()),
        ("lines", pa.int32()),
        ("returns_minor", pa.int64()),
        ("known", pa.int32()),
    ]
)


@dataclass(frozen=True)
class TenantDays:
    """All purchase-days of a tenant; ``customers`` are identifiers as text, in row-number order.

    A row that became known behind the last day of data counts from that day on: by now it is known.
    """

    customers: list[str]
    days: PurchaseDays


async def rebuild_days(tx: AsyncConnection, currency: str) -> None:
    """Rebuild the purchase-days of the customers in ``cl_touched`` from all their transactions."""
    orders = await copy_out(tx, _ORDERS, _ORDERS_SCHEMA)
    rows = await asyncio.to_thread(_fold, orders, 10 ** minor_digits(currency))
    await tx.execute(
        text(
            "DELETE FROM purchase_days d USING cl_touched t "
            "WHERE d.tenant_id = app.tid() AND d.customer_id = t.customer_id"
        )
    )
    await tx.execute(
        text(
            "CREATE TEMPORARY TABLE cl_days (customer_id uuid, day date, orders integer, lines integer, "
            "skus integer, items double precision, amount_minor bigint, returns_minor bigint, known_on date) "
            "ON COMMIT DROP"
        )
    )
    await copy_in(tx, "cl_days", rows.to_batches(_BATCH_ROWS))
    await tx.execute(
        text(
            "INSERT INTO purchase_days (tenant_id, customer_id, day, orders, lines, skus, items, "
            "amount_minor, returns_minor, known_on) "
            "SELECT app.tid(), customer_id, day, orders, lines, skus, items, amount_minor, "
            "returns_minor, known_on FROM cl_days"
        )
    )
    await tx.execute(
        text(
            "UPDATE customers c SET first_seen_on = s.first, last_seen_on = s.last FROM "
            "(SELECT customer_id, min(day) AS first, max(day) AS last FROM cl_days GROUP BY customer_id) s "
            "WHERE c.tenant_id = app.tid() AND c.id = s.customer_id"
        )
    )


async def rebuild_features(tx: AsyncConnection, currency: str, as_of: date, data_revision: int) -> None:
    """Replace the stored features of all customers of the tenant with those at the end of ``as_of``."""
    known = await tenant_days(tx, currency)
    made = await asyncio.to_thread(_made, known, (as_of - _EPOCH).days)
    await tx.execute(text("DELETE FROM customer_features WHERE tenant_id = app.tid()"))
    await tx.execute(
        text(
            "CREATE TEMPORARY TABLE cl_features (customer_id uuid, vector text, sequence text) ON COMMIT DROP"
        ),
    )
    await copy_in(tx, "cl_features", made.batches())
    await tx.execute(
        text(
            "INSERT INTO customer_features (tenant_id, customer_id, as_of, data_revision, schema_hash, "
            "vector, sequence_hash, sequence) "
            "SELECT app.tid(), customer_id, :as_of, :revision, :hash, decode(vector, 'hex'), "
            ":sequence_hash, decode(sequence, 'hex') FROM cl_features"
        ),
        {
            "as_of": as_of,
            "revision": data_revision,
            "hash": SCHEMA.hash,
            "sequence_hash": SEQUENCE.hash,
        },
    )


async def tenant_days(tx: AsyncConnection, currency: str, activity: Activity | None = None) -> TenantDays:
    """Purchase-days of the tenant, amounts in major units, with the days since which they are known.

    Args:
        tx: A transaction of the tenant.
        currency: ISO 4217 code of its money.
        activity: What the customers must be usable for; None for all, which only keeping books may ask for.
    """
    # COPY takes no parameters; an activity is one of ours.
    allowed = "" if activity is None else f" AND {usable_among_all('d.customer_id', repr(activity.value))}"
    await join_by_hash(tx)
    table = await copy_out(tx, _DAYS.format(allowed=allowed), _DAYS_SCHEMA)
    return await asyncio.to_thread(_days, table, 10 ** minor_digits(currency))


def snapshot(known: TenantDays) -> pa.Table:
    """The training snapshot: ``customer, day, amount, orders, items, skus, lines, returns, known``."""
    return pa.table({name: pa.array(values) for name, values in known.days.columns().items()})


def _fold(orders: pa.Table, unit: int) -> pa.Table:
    names, numbers = _numbered(orders["customer"])
    items = orders["items"].to_numpy()
    days = purchase_days(
        numbers,
        orders["day"].to_numpy(),
        orders["amount_minor"].to_numpy() / unit,
        items=items,
        skus=orders["skus"].to_numpy(),
        lines=orders["lines"].to_numpy(),
        known=orders["known"].to_numpy(),
    )
    return pa.table(
        {
            "customer_id": names.take(pa.array(days.customer)),
            "day": pa.array(days.day).cast(pa.date32()),
            "orders": pa.array(days.orders),
            "lines": pa.array(days.lines),
            "skus": pa.array(days.skus),
            "items": pa.array(days.items, mask=np.isnan(days.items)),
            "amount_minor": pa.array(np.rint(days.amount * unit).astype(np.int64)),
            "returns_minor": pa.array(np.rint(days.returns * unit).astype(np.int64)),
            "known_on": pa.array(days.known).cast(pa.date32()),
        }
    )


def _days(table: pa.Table, unit: int) -> TenantDays:
    names, numbers = _numbered(table["customer"])
    day = table["day"].to_numpy()
    days = PurchaseDays.from_columns(
        {
            "customer": numbers,
            "day": day,
            "amount": table["amount_minor"].to_numpy() / unit,
            "orders": table["orders"].to_numpy(),
            "items": table["items"].to_numpy(),
            "skus": table["skus"].to_numpy(),
            "lines": table["lines"].to_numpy(),
            "returns": table["returns_minor"].to_numpy() / unit,
            "known": np.minimum(table["known"].to_numpy(), np.max(day, initial=0)),
        }
    )
    return TenantDays(names.to_pylist(), days)


@dataclass(frozen=True)
class _Made:
    """Features and sequences of the customers who have bought: names, (n, 36) and (n, 40, 4), float32."""

    customers: pa.Array
    features: NDArray[np.float32]
    sequences: NDArray[np.float32]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows as hex, a batch at a time: all at once would take ten times the memory of the values."""
        for at in range(0, len(self.features), _BATCH_ROWS):
            part = slice(at, at + _BATCH_ROWS)
            yield pa.record_batch(
                {
                    "customer_id": self.customers[part],
                    "vector": _hex(self.features[part]),
                    "sequence": _hex(self.sequences[part]),
                }
            )


def _made(known: TenantDays, as_of_day: int) -> _Made:
    matrix = featurize(known.days, as_of_day, len(known.customers))
    has_bought = np.isfinite(matrix[:, SCHEMA.index("age")])
    kept = matrix[has_bought]
    SCHEMA.check(kept)
    sequences = weekly_sequences(known.days, as_of_day, len(known.customers))[has_bought]
    SEQUENCE.check(sequences.reshape(len(sequences), len(SEQUENCE.columns)))
    return _Made(pa.array(known.customers, pa.string()).filter(pa.array(has_bought)), kept, sequences)


def _hex(rows: NDArray[np.float32]) -> pa.Array:
    digits = np.ascontiguousarray(rows, "<f4").tobytes().hex()
    width = len(digits) // max(1, len(rows))
    return pa.array([digits[at : at + width] for at in range(0, len(digits), width or 1)], pa.string())


def _numbered(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int32]]:
    names = pc.unique(column)
    numbers = pc.index_in(column, names).to_numpy()
    return names, np.asarray(numbers, np.int32)
