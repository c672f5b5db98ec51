"""The features of all customers of a tenant at one moment, as columns; what a batch prediction works on.

One statement reads them, so they are one snapshot however long it takes, and they stream through COPY and
Arrow: no Python object is made for a row.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from sqlalchemy import text

from cohortlens.core.db import Database, driver
from cohortlens.core.ids import TenantId
from cohortlens.customers.loading import allow_long_work
from cohortlens.customers.lookup import FeatureLookup
from cohortlens.customers.repository import CustomersRepository, stored_values
from cohortlens.customers.usability import Activity, join_by_hash, usable_among_all

# By customer: stored predictions then meet their index in order. Hex, because CSV is what Arrow reads fast.
_ALL = """
SELECT encode(uuid_send(f.customer_id), 'hex'), c.external_id, encode({values}, 'hex')
  FROM customer_features f JOIN customers c ON c.tenant_id = f.tenant_id AND c.id = f.customer_id
 WHERE f.tenant_id = app.tid() AND {allowed} ORDER BY f.customer_id
"""
_SCHEMA = pa.schema([("customer", pa.string()), ("external", pa.string()), ("vector", pa.string())])
_CHUNK_BYTES = 16 << 20
_QUEUED = 2


@dataclass(frozen=True)
class FrozenRows:
    """Some customers, ordered by identifier.

    Attributes:
        customers: 16 bytes of each identifier.
        externals: Identifiers in the tenant's data, strings.
        vectors: Feature values, or wide rows, little-endian float32, row after row.
    """

    customers: bytes
    externals: pa.StringArray
    vectors: bytes


@dataclass(frozen=True)
class FrozenFeatures:
    """One snapshot of a tenant's features.

    Attributes:
        as_of: Last day of data; None when nothing was imported yet.
        rows: The customers who may be used, in chunks of any size.
        excluded_no_consent: Customers with features who may not.
    """

    as_of: date | None
    rows: AsyncIterator[FrozenRows]
    excluded_no_consent: int = 0


class FeatureFreezer:
    """Reads snapshots of all features.

    Args:
        db: Database as the runtime role.
        lookup: Renews features of an older schema.
    """

    def __init__(self, db: Database, lookup: FeatureLookup) -> None:
        self._db = db
        self._lookup = lookup

    @contextlib.asynccontextmanager
    async def freeze(self, tenant_id: TenantId, *, wide: bool = False) -> AsyncIterator[FrozenFeatures]:
        """A snapshot, whose rows are read inside the block.

        Args:
            tenant_id: The tenant.
            wide: Whether the weekly sequences come behind the features.

        Raises:
            CohortLensError: The database could not be read.
        """
        await self._lookup.features_after(tenant_id, None, 1, Activity.PREDICTION, wide=wide)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await allow_long_work(tx)
            await join_by_hash(tx)
            # An import changes the last day and the features together; none may come in between.
            await tx.execute(text("SELECT 1 FROM customer_data WHERE tenant_id = app.tid() FOR SHARE"))
            state = await CustomersRepository(tx).data_state()
            _, excluded = await CustomersRepository(tx).count_features(Activity.PREDICTION)
            # COPY takes no parameters; an activity is one of ours.
            allowed = usable_among_all("f.customer_id", repr(Activity.PREDICTION.value))
            reading = _Reading(await driver(tx), _ALL.format(values=stored_values(wide), allowed=allowed))
            try:
                yield FrozenFeatures(state[1] if state else None, reading.rows(), excluded)
            finally:
                await reading.close()


class _Reading:
    """COPY on one side, chunks of columns on the other, a short queue between."""

    def __init__(self, connection: Any, query: str) -> None:
        self._query = query
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED)
        self._held = bytearray()
        self._task = asyncio.create_task(self._copy(connection))

    async def rows(self) -> AsyncIterator[FrozenRows]:
        while (data := await self._queue.get()) is not None:
            yield await asyncio.to_thread(_columns, data)
        await self._task

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()

    async def _copy(self, connection: Any) -> None:
        try:
            await connection.copy_from_query(self._query, output=self._take, format="csv")
            if self._held:
                await self._queue.put(bytes(self._held))
        finally:
            # Nothing is lost on the way out: whoever waits learns the fault from the task.
            await self._queue.put(None)

    async def _take(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= _CHUNK_BYTES:
            # PostgreSQL sends whole rows.
            chunk, self._held = bytes(self._held), bytearray()
            await self._queue.put(chunk)


def _columns(data: bytes) -> FrozenRows:
    table = pacsv.read_csv(
        pa.py_buffer(data),
        read_options=pacsv.ReadOptions(
            column_names=_SCHEMA.names, use_threads=False, block_size=len(data) + 1
        ),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(column_types=_SCHEMA, strings_can_be_null=False),
    ).combine_chunks()
    return FrozenRows(_unhex(table["customer"]), table["external"].combine_chunks(), _unhex(table["vector"]))


def _unhex(column: pa.ChunkedArray) -> bytes:
    array = column.combine_chunks()
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int32)[[array.offset, array.offset + len(array)]]
    return bytes.fromhex(memoryview(data)[bounds[0] : bounds[1]].tobytes().decode("ascii"))
