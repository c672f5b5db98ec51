"""Customers and their features in the database; imports have a file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import CustomerId, plain_uuid
from cohortlens.customers.models import Customer, FeatureRows
from cohortlens.customers.usability import Activity, join_by_hash, usable

_CUSTOMER = """
SELECT c.id, c.external_id, c.country, c.created_at, d.currency, s.days, s.orders, s.spend, s.first, s.last
  FROM customers c LEFT JOIN customer_data d ON d.tenant_id = c.tenant_id
  LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE p.orders > 0) AS days, coalesce(sum(p.orders), 0) AS orders,
           coalesce(sum(p.amount_minor), 0) AS spend, min(p.day) FILTER (WHERE p.orders > 0) AS first,
           max(p.day) FILTER (WHERE p.orders > 0) AS last
      FROM purchase_days p WHERE p.tenant_id = c.tenant_id AND p.customer_id = c.id) s ON true
 WHERE c.tenant_id = app.tid()
"""
_AFTER = """
   AND c.external_id > coalesce((SELECT l.external_id FROM customers l
                                  WHERE l.tenant_id = app.tid() AND l.id = CAST(:after_id AS uuid)), :after)
 ORDER BY c.external_id LIMIT :limit
"""
_FEATURES = """
SELECT f.customer_id, c.external_id, f.as_of, f.data_revision, f.schema_hash, {values} AS vector, d.currency
  FROM customer_features f JOIN customers c ON c.tenant_id = f.tenant_id AND c.id = f.customer_id
  JOIN customer_data d ON d.tenant_id = f.tenant_id
 WHERE f.tenant_id = app.tid() AND {allowed}
"""
_ALLOWED = usable("f.customer_id", "CAST(:activity AS text)")
_COUNT = """
SELECT count(u.customer_id), count(*) - count(u.customer_id)
  FROM customer_features f
  LEFT JOIN app.usable_customers(CAST(:activity AS text)) u ON u.customer_id = f.customer_id
 WHERE f.tenant_id = app.tid()
"""


def stored_values(wide: bool) -> str:
    """What a row of ``customer_features f`` is read as: its features, or the wide row."""
    return "f.vector || f.sequence" if wide else "f.vector"


class CustomersRepository:
    """Rows of ``customers``, ``customer_data`` and ``customer_features`` of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def get(self, customer_id: UUID) -> Customer | None:
        """One customer with their facts."""
        result = await self._tx.execute(text(_CUSTOMER + "AND c.id = :id"), {"id": customer_id})
        row = result.one_or_none()
        return None if row is None else _customer(row)

    async def get_many(self, ids: Sequence[UUID]) -> dict[UUID, Customer]:
        """Customers with their facts by identifier, of those that exist."""
        result = await self._tx.execute(
            text(_CUSTOMER + "AND c.id = ANY (CAST(:ids AS uuid[]))"), {"ids": list(ids)}
        )
        found = (_customer(row) for row in result)
        return {one.customer_id: one for one in found}

    async def page(self, after_id: UUID | None, after_external: str, limit: int) -> list[Customer]:
        """Customers by external id, after a customer (or, if that one is gone, after a text)."""
        result = await self._tx.execute(
            text(_CUSTOMER + _AFTER),
            {"after_id": after_id, "after": after_external, "limit": limit},
        )
        return [_customer(row) for row in result]

    async def count(self) -> int:
        """Customers of the tenant."""
        return int(
            await self._tx.scalar(text("SELECT count(*) FROM customers WHERE tenant_id = app.tid()")) or 0
        )

    async def delete(self, customer_id: UUID) -> bool:
        """Delete a customer and every row that hangs on them; False when there is none."""
        result = await self._tx.execute(
            text("DELETE FROM customers WHERE tenant_id = app.tid() AND id = :id"), {"id": customer_id}
        )
        return result.rowcount == 1

    async def by_ids(self, ids: Sequence[UUID]) -> dict[UUID, str]:
        """External id by identifier, of those that exist."""
        result = await self._tx.execute(
            text(
                "SELECT id, external_id FROM customers "
                "WHERE tenant_id = app.tid() AND id = ANY (CAST(:ids AS uuid[]))"
            ),
            {"ids": list(ids)},
        )
        return {plain_uuid(row.id): row.external_id for row in result}

    async def by_external_ids(self, names: Sequence[str]) -> dict[str, UUID]:
        """Identifier by external id, of those that exist."""
        result = await self._tx.execute(
            text(
                "SELECT id, external_id FROM customers "
                "WHERE tenant_id = app.tid() AND external_id = ANY (CAST(:names AS text[]))"
            ),
            {"names": list(names)},
        )
        return {row.external_id: plain_uuid(row.id) for row in result}

    async def data_state(self) -> tuple[str, date, int] | None:
        """Currency, last day of data and data revision of the tenant; None before its first import."""
        result = await self._tx.execute(
            text("SELECT currency, as_of, data_revision FROM customer_data WHERE tenant_id = app.tid()")
        )
        row = result.one_or_none()
        return None if row is None else (row.currency, row.as_of, row.data_revision)

    async def features_of(
        self, ids: Sequence[UUID], activity: Activity, *, wide: bool = False
    ) -> FeatureRows | None:
        """Features of those who have any and may be used, in the order of ``ids``; None for nobody."""
        result = await self._tx.execute(
            text(
                _FEATURES.format(values=stored_values(wide), allowed=_ALLOWED)
                + "AND f.customer_id = ANY (CAST(:ids AS uuid[])) "
                "ORDER BY array_position(CAST(:ids AS uuid[]), f.customer_id)"
            ),
            {"ids": list(ids), "activity": activity.value},
        )
        return feature_rows(result.mappings().all())

    async def features_after(
        self, after: UUID | None, limit: int, activity: Activity, *, wide: bool = False
    ) -> FeatureRows | None:
        """Stored features of usable customers by identifier, after a customer; None at the end."""
        result = await self._tx.execute(
            text(
                _FEATURES.format(values=stored_values(wide), allowed=_ALLOWED)
                + "AND (CAST(:after AS uuid) IS NULL OR f.customer_id > :after) "
                "ORDER BY f.customer_id LIMIT :limit"
            ),
            {"after": after, "limit": limit, "activity": activity.value},
        )
        return feature_rows(result.mappings().all())

    async def count_features(self, activity: Activity) -> tuple[int, int]:
        """Customers with features: those who may be used, and those left out."""
        await join_by_hash(self._tx)
        row = (await self._tx.execute(text(_COUNT), {"activity": activity.value})).one()
        return int(row[0]), int(row[1])

    async def has_stale_features(self, schema_hash: str, sequence_hash: str = "") -> bool:
        """Whether a feature row was made with another schema, or its sequence, if its schema is named."""
        return bool(
            await self._tx.scalar(
                text(
                    "SELECT EXISTS (SELECT 1 FROM customer_features WHERE tenant_id = app.tid() "
                    "AND (schema_hash <> :hash OR (CAST(:sequence AS text) <> '' "
                    "AND sequence_hash IS DISTINCT FROM CAST(:sequence AS text))))"
                ),
                {"hash": schema_hash, "sequence": sequence_hash},
            )
        )


def _customer(row: Any) -> Customer:
    return Customer(
        customer_id=CustomerId(plain_uuid(row.id)),
        external_id=row.external_id,
        country=row.country or "",
        purchase_days=row.days,
        orders=int(row.orders),
        spend_minor=int(row.spend),
        currency=row.currency or "",
        first_purchase_on=row.first,
        last_purchase_on=row.last,
        segment_name="",
        created_at=row.created_at,
    )


def feature_rows(rows: Sequence[Mapping[Any, Any]]) -> FeatureRows | None:
    """Rows as the driver or SQLAlchemy gives them, with the columns of ``_FEATURES``; None for none."""
    if not rows:
        return None
    data = b"".join(row["vector"] for row in rows)
    return FeatureRows(
        customer_ids=tuple(CustomerId(plain_uuid(row["customer_id"])) for row in rows),
        external_ids=tuple(row["external_id"] for row in rows),
        matrix=np.frombuffer(data, "<f4").reshape(len(rows), -1).astype(np.float32),
        as_of=rows[0]["as_of"],
        data_revision=rows[0]["data_revision"],
        schema_hash=rows[0]["schema_hash"],
        currency=rows[0]["currency"],
    )
