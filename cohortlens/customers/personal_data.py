"""What the customers slice holds of one person: their rows, and what imports kept of the tenant's files."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import text

from cohortlens.contracts.features import SCHEMA
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.core.personal_data import PersonalTable, Rows, StoreBusy, Subject, TableStore, as_word

# A fault shows what stood in a cell of a refused row; the person may be the cell's, or the row's.
_FAULTS = """
FROM import_faults f WHERE f.tenant_id = app.tid() AND f.preview <> '' AND (
  (:external <> '' AND position(:external IN f.preview) > 0)
  OR f.import_id IN (SELECT DISTINCT t.import_id FROM transactions t
                      WHERE t.tenant_id = app.tid() AND t.customer_id = :customer))
"""
# A tenant that sends the orders of one customer may name the file after them.
_FILE_NAMES = "FROM imports WHERE tenant_id = app.tid() AND options ->> 'file_name' ~ :word"
_UNNAME = """
UPDATE imports SET options = jsonb_set(options, '{file_name}', '""')
 WHERE tenant_id = app.tid() AND options ->> 'file_name' ~ :word
"""
_OPEN_IMPORTS = "SELECT count(*) FROM imports WHERE tenant_id = app.tid() AND state IN ('PENDING', 'RUNNING')"


def features_of(vector: bytes) -> dict[str, float | None]:
    """A stored feature vector by name of the feature; None for one that has no value.

    Args:
        vector: float32, little-endian, in the order of the feature schema; what follows it is left out.
    """
    width = len(SCHEMA.names)
    if len(vector) < 4 * width:
        return {}  # of an older schema, which this release cannot name
    values = np.frombuffer(vector[: 4 * width], "<f4")
    return {
        name: round(float(value), 6) if np.isfinite(value) else None
        for name, value in zip(SCHEMA.names, values, strict=True)
    }


def customer_store(db: Database) -> TableStore:
    """The rows of a customer; what other slices keep of the customer goes first, it hangs on these.

    Args:
        db: The database.
    """
    # Both are the transactions once more: packed, and by day.
    packed = frozenset({"orders"})
    return TableStore(
        db,
        "customers",
        (
            PersonalTable("purchase_days"),
            PersonalTable("order_histories", hidden=packed),
            PersonalTable(
                "customer_features",
                hidden=frozenset({"sequence", "sequence_hash", "schema_hash"}),
                decoded={"vector": features_of},
            ),
            PersonalTable("transactions", hidden=frozenset({"source_key"})),
            PersonalTable("customers", by="id"),
        ),
        is_provided=True,
    )


class ImportStore:
    """What imports kept: previews of refused rows, names of files, and uploads that wait for their import.

    Args:
        db: The database.
    """

    name = "imports"
    tables: tuple[str, ...] = ()
    is_provided = False

    def __init__(self, db: Database) -> None:
        self._db = db

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """Previews that may show the person, and names of files that do."""
        query = f"SELECT (SELECT count(*) {_FAULTS}) + (SELECT count(*) {_FILE_NAMES})"
        async with self._db.tenant_transaction(tenant_id) as tx:
            values = _named(subject) | {"word": as_word(subject.external_id)}
            return int(await tx.scalar(text(query), values) or 0)

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:
        """Previews and names of files in which the person's identifier stands."""
        files = text(f"SELECT id::text AS import_id, options ->> 'file_name' AS file_name {_FILE_NAMES}")
        query = text(
            "SELECT import_id::text, row_number, column_name, reason, preview FROM import_faults"
            " WHERE tenant_id = app.tid() AND :external <> '' AND position(:external IN preview) > 0"
        )
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = (await tx.execute(query, {"external": subject.external_id})).mappings().all()
            named = (await tx.execute(files, {"word": as_word(subject.external_id)})).mappings().all()
        return {"import_faults": [dict(row) for row in rows], "imports": [dict(row) for row in named]}

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Blank the previews of every import that brought rows of the person, and names of files after them.

        Raises:
            StoreBusy: An import that began before still holds its file.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            if await tx.scalar(text(_OPEN_IMPORTS)):
                raise StoreBusy("an import")
            query = (
                "UPDATE import_faults SET preview = '' WHERE (tenant_id, import_id, position) IN"  # noqa: S608
                f" (SELECT f.tenant_id, f.import_id, f.position {_FAULTS})"
            )
            await tx.execute(text(query), _named(subject))
            await tx.execute(text(_UNNAME), {"word": as_word(subject.external_id)})


def _named(subject: Subject) -> dict[str, Any]:
    return {"external": subject.external_id, "customer": subject.customer_id}
