"""Order histories as the database keeps them: one row a customer, all of a tenant's read as two values.

Half a million orders come as 8 MB of bytes in some 50 ms; grouping the rows of ``transactions`` instead takes
over a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.cohorts.models import ORDERS_MAX, CohortBy, Population, TooManyOrders
from cohortlens.customers.usability import Activity

_STATE = """
SELECT d.currency, d.data_revision, d.orders, u.customers,
       (extract(epoch FROM d.last_order_at) * 1000000)::bigint AS last_us,
       (SELECT r.id FROM segmentation_runs r WHERE r.tenant_id = app.tid() AND r.current) AS run_id,
       concat_ws(':', app.consent_version(), app.consent_losses()) AS consents
  FROM customer_data d JOIN tenant_usage u ON u.tenant_id = d.tenant_id
 WHERE d.tenant_id = app.tid() AND d.last_order_at IS NOT NULL
"""
_LIMITED = """
LEFT JOIN (
  SELECT customer_id,
         string_agg(timestamptz_send(at) || int8send(amount), ''::bytea ORDER BY at, amount) AS orders
    FROM (SELECT t.customer_id, min(t.occurred_at) AS at, sum(t.amount_minor)::bigint AS amount
            FROM transactions t WHERE t.tenant_id = app.tid() AND t.sku = ANY (CAST(:skus AS text[]))
           GROUP BY t.customer_id, t.order_ref, CASE WHEN t.order_ref IS NULL THEN t.source_key END) o
   GROUP BY customer_id) f ON f.customer_id = h.customer_id
"""
_ALLOWED = (
    "LEFT JOIN app.usable_customers(CAST(:activity AS text)) allowed ON allowed.customer_id = h.customer_id"
)
_KEPT = "FILTER (WHERE allowed.customer_id IS NOT NULL)"
_CUSTOMERS = "JOIN customers c ON c.tenant_id = h.tenant_id AND c.id = h.customer_id"
_SEGMENTS = """
{kind} JOIN (
  SELECT s.customer_id, s.segment_key FROM segmentation_runs r
    JOIN segments s ON s.tenant_id = r.tenant_id AND s.created_at = r.created_at AND s.run_id = r.id
   WHERE r.tenant_id = app.tid() AND r.current) s ON s.customer_id = h.customer_id
"""
_LABELS = {
    CohortBy.COUNTRY: "coalesce(c.country, '')",
    CohortBy.SEGMENT: "coalesce(s.segment_key, '')",
    CohortBy.FIRST_SKU: "coalesce(h.first_sku, '')",
    CohortBy.ATTRIBUTE: "coalesce(c.attributes ->> :attribute, '')",
}


@dataclass(frozen=True)
class Standing:
    """What the stored histories are of; two equal ones are the same data.

    Attributes:
        currency: ISO 4217 code.
        revision: Raised by each import that changes the data.
        customers: Between two revisions only deletions change it, and they lower it.
        orders: Orders at the last import.
        last_us: Time of the last row, microseconds since 1970-01-01 UTC.
        run_id: The published segmentation run.
        consents: Mark that changes with every decision about a consent, and when one ends by time.
    """

    currency: str
    revision: int
    customers: int
    orders: int
    last_us: int
    run_id: UUID | None
    consents: str = ""


@dataclass(frozen=True)
class Histories:
    """Packed histories of the customers who may be used, in one sequence.

    Attributes:
        packed: Histories one behind another, as ``orders.unpacked`` reads them.
        sizes: Orders of each customer, shape (customers,).
        limited: The same made of lines of the filter's items alone; None without such a filter.
        limited_sizes: Orders of each customer in ``limited``, shape (customers,).
        labels: What each customer is grouped by; empty where time tells the cohorts.
        excluded_no_consent: Customers of the population left out because they may not be used.
    """

    packed: bytes
    sizes: NDArray[np.int64]
    limited: bytes | None
    limited_sizes: NDArray[np.int64]
    labels: list[str]
    excluded_no_consent: int = 0


class HistoriesRepository:
    """Reads of ``order_histories`` of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def standing(self) -> Standing | None:
        """Which data there is; None before the first import."""
        row = (await self._tx.execute(text(_STATE))).one_or_none()
        if row is None:
            return None
        return Standing(
            row.currency, row.data_revision, row.customers, row.orders, row.last_us, row.run_id, row.consents
        )

    async def read(self, population: Population, orders: int) -> Histories:
        """Histories of the customers of a population.

        Args:
            population: Whose.
            orders: Orders of the tenant, as ``standing`` tells.

        Raises:
            TooManyOrders: They would not fit into a process.
        """
        source, parameters = _source(population)
        if orders > ORDERS_MAX:
            # Only then the lengths are worth a pass of their own.
            found = await self._tx.scalar(
                text(f"SELECT coalesce(sum(octet_length(h.orders) >> 4) {_KEPT}, 0) {source}"),
                parameters,
            )
            if int(found or 0) > ORDERS_MAX:
                raise TooManyOrders(int(found or 0))
        columns = [
            "count(*) FILTER (WHERE allowed.customer_id IS NULL)",
            f"string_agg(h.orders, ''::bytea) {_KEPT}",
            f"array_agg(octet_length(h.orders) >> 4) {_KEPT}",
        ]
        label = _LABELS.get(population.by)
        columns.append("NULL" if label is None else f"array_agg({label}) {_KEPT}")
        if population.filter.skus:
            columns += [
                f"coalesce(string_agg(f.orders, ''::bytea) {_KEPT}, ''::bytea)",
                f"array_agg(coalesce(octet_length(f.orders) >> 4, 0)) {_KEPT}",
            ]
        row = (await self._tx.execute(text(f"SELECT {', '.join(columns)} {source}"), parameters)).one()
        has_limited = bool(population.filter.skus)
        return Histories(
            packed=row[1] or b"",
            sizes=np.array(row[2] or [], np.int64),
            limited=(row[4] or b"") if has_limited else None,
            limited_sizes=np.array((row[5] or []) if has_limited else [], np.int64),
            labels=list(row[3] or []),
            excluded_no_consent=int(row[0]),
        )

    async def segment_names(self) -> dict[str, str]:
        """Names of the segments of the published run by key."""
        rows = await self._tx.execute(
            text(
                "SELECT p.segment_key, p.name FROM segmentation_runs r JOIN segment_profiles p "
                "ON p.tenant_id = r.tenant_id AND p.run_id = r.id WHERE r.tenant_id = app.tid() AND r.current"
            )
        )
        return {row.segment_key: row.name for row in rows}


def _source(population: Population) -> tuple[str, dict[str, Any]]:
    """FROM and WHERE of a population, and their parameters."""
    chosen = population.filter
    joins, where = [_ALLOWED], ["h.tenant_id = app.tid()"]
    parameters: dict[str, Any] = {"activity": Activity.SEGMENTATION.value}
    if chosen.countries or chosen.attribute or population.by in {CohortBy.COUNTRY, CohortBy.ATTRIBUTE}:
        joins.append(_CUSTOMERS)
    if chosen.segments or population.by is CohortBy.SEGMENT:
        joins.append(_SEGMENTS.format(kind="" if chosen.segments else "LEFT"))
    if chosen.skus:
        joins.append(_LIMITED)
        parameters["skus"] = list(chosen.skus)
    if population.by is CohortBy.ATTRIBUTE:
        parameters["attribute"] = population.attribute
    if chosen.countries:
        where.append("c.country = ANY (CAST(:countries AS text[]))")
        parameters["countries"] = list(chosen.countries)
    if chosen.segments:
        where.append("s.segment_key = ANY (CAST(:segments AS text[]))")
        parameters["segments"] = list(chosen.segments)
    if chosen.attribute:
        where.append("c.attributes ->> :name = ANY (CAST(:values AS text[]))")
        parameters |= {"name": chosen.attribute, "values": list(chosen.attribute_values)}
    return f"FROM order_histories h {' '.join(joins)} WHERE {' AND '.join(where)}", parameters
