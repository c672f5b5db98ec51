"""Synthetic customers with features, straight into the demo tenant's tables: a million in seconds.

Each is one of the demo's customers with another amount of money and some more days gone by, so that the
vectors differ and still keep to the schema.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.features import SCHEMA
from cohortlens.core.config import Url

_CHUNK = 100_000
_WIDTH = 4 * len(SCHEMA.columns)
_BASE = """
SELECT f.tenant_id, f.as_of, f.data_revision, f.vector FROM customer_features f
  JOIN customers c ON c.tenant_id = f.tenant_id AND c.id = f.customer_id
 WHERE c.external_id NOT LIKE 'bench-%'
   AND f.tenant_id = (SELECT tenant_id FROM customer_features GROUP BY 1 ORDER BY count(*) DESC LIMIT 1)
"""
_COUNTS = """
SELECT count(*) FILTER (WHERE times = 1), count(*) FILTER (WHERE times > 1), count(*) FILTER (WHERE times = 0)
  FROM (SELECT count(p.id) AS times FROM customer_features f
          LEFT JOIN predictions p ON p.tenant_id = f.tenant_id AND p.customer_id = f.customer_id
               AND p.request_id = $2
         WHERE f.tenant_id = $1 GROUP BY f.customer_id) counted
"""


@dataclass(frozen=True)
class Customers:
    """What was made.

    Attributes:
        tenant_id: The demo tenant.
        matrix: Feature values of the synthetic customers, shape (n, columns), float32, horizon 0.
    """

    tenant_id: UUID
    matrix: NDArray[np.float32]


async def make(url: Url, rows: int, seed: int = 1) -> Customers:
    """Replace the synthetic customers by ``rows`` new ones.

    Args:
        url: Address of the database's superuser, whom row-level security does not bind.
        rows: How many.
        seed: Seed of the amounts and days.
    """
    connection = await asyncpg.connect(url)
    try:
        # Foreign keys hold by construction; checking each would take longer than all else.
        await connection.execute("SET session_replication_role = replica")
        base = await connection.fetch(_BASE)
        if not base:
            raise SystemExit("error DEMO_MISSING: the demo tenant has no features\nnext: cohortlens seed")
        tenant_id = UUID(int=base[0]["tenant_id"].int)
        for table in ("predictions", "customer_features", "customers"):
            which = "external_id LIKE 'bench-%'"
            if table == "customer_features":
                which = "customer_id IN (SELECT id FROM customers WHERE external_id LIKE 'bench-%')"
            await connection.execute(f"DELETE FROM {table} WHERE {which}")
        matrix = _matrix(np.stack([np.frombuffer(row["vector"], "<f4") for row in base]), rows, seed)
        ids = _ids(rows)
        tenant = np.frombuffer(tenant_id.bytes, "V16")[0]
        for first in range(0, rows, _CHUNK):
            end = min(rows, first + _CHUNK)
            await _copy_customers(connection, tenant, ids[first:end], first)
            await _copy_features(connection, tenant, ids[first:end], matrix[first:end], base[0])
        await connection.execute("ANALYZE customers; ANALYZE customer_features")
        return Customers(tenant_id, matrix)
    finally:
        await connection.close()


async def times_scored(url: Url, tenant_id: UUID, batch: str) -> tuple[int, int, int]:
    """Customers that a batch scored once, more than once, and never."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(_COUNTS, tenant_id, f"batch-{batch}")
        return row[0], row[1], row[2]
    finally:
        await connection.close()


def _matrix(base: NDArray[np.float32], rows: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    matrix = base[random.integers(0, len(base), rows)].copy()
    factors = random.lognormal(0.0, 0.5, rows).astype(np.float32)
    days = random.integers(0, 60, rows).astype(np.float32)
    for at, column in enumerate(SCHEMA.columns):
        if column.unit == "money":
            matrix[:, at] *= factors
        elif column.name in {"age", "since"}:
            matrix[:, at] += days
    SCHEMA.check(matrix)
    return matrix


def _ids(rows: int) -> NDArray[np.void]:
    """UUIDv7 of this millisecond, ascending: as an import would have made them one after the other."""
    counted = np.arange(rows, dtype=np.uint64)
    pairs = np.empty((rows, 2), ">u8")
    pairs[:, 0] = (np.uint64(time.time_ns() // 1_000_000) << np.uint64(16)) | np.uint64(0x7000)
    pairs[:, 1] = np.uint64(1 << 63) | (counted << np.uint64(24))
    return pairs.view("V16").reshape(rows)


async def _copy_customers(connection: Any, tenant: np.void, ids: NDArray[np.void], first: int) -> None:
    names = np.array([f"bench-{first + at:08d}".encode() for at in range(len(ids))], "S14")
    now = np.frombuffer(int((time.time() - 946_684_800) * 1e6).to_bytes(8, "big", signed=True), "V8")[
        0
    ]  # microseconds since 2000, as PostgreSQL writes times
    columns = [("tenant_id", tenant, 16), ("id", ids, 16), ("external_id", names, 14), ("created_at", now, 8)]
    await _copy(connection, "customers", columns, len(ids))


async def _copy_features(
    connection: Any, tenant: np.void, ids: NDArray[np.void], matrix: NDArray[np.float32], base: Any
) -> None:
    day = (base["as_of"] - date(2000, 1, 1)).days
    columns = [
        ("tenant_id", tenant, 16),
        ("customer_id", ids, 16),
        ("as_of", np.frombuffer(day.to_bytes(4, "big", signed=True), "V4")[0], 4),
        ("data_revision", np.frombuffer(base["data_revision"].to_bytes(8, "big"), "V8")[0], 8),
        ("schema_hash", np.frombuffer(SCHEMA.hash.encode(), "V64")[0], 64),
        ("vector", np.ascontiguousarray(matrix, "<f4").view(f"V{_WIDTH}").reshape(-1), _WIDTH),
    ]
    await _copy(connection, "customer_features", columns, len(ids))


async def _copy(connection: Any, table: str, columns: list[tuple[str, Any, int]], rows: int) -> None:
    """Copy columns of fixed length in PostgreSQL's binary form."""
    kind: list[tuple[str, str]] = [("fields", ">i2")]
    for name, _, size in columns:
        kind += [(f"{name}_bytes", ">i4"), (name, f"V{size}")]
    record = np.empty(rows, np.dtype(kind))
    record["fields"] = len(columns)
    for name, values, size in columns:
        record[f"{name}_bytes"] = size
        is_column = isinstance(values, np.ndarray) and values.dtype.kind == "S"
        record[name] = values.view(f"V{size}") if is_column else values
    data = b"PGCOPY\n\xff\r\n\0" + bytes(8) + record.tobytes() + b"\xff\xff"

    async def once() -> AsyncIterator[bytes]:
        yield data

    await connection.copy_to_table(
        table, source=once(), columns=[name for name, _, _ in columns], format="binary"
    )
