"""Order histories in step with the transactions; inside the transaction of an import.

The packed form is what cohorts, survival and retention are counted from.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_HISTORIES = """
INSERT INTO order_histories (tenant_id, customer_id, orders, first_sku)
SELECT app.tid(), h.customer_id, h.orders, s.sku FROM (
  SELECT customer_id,
         string_agg(timestamptz_send(at) || int8send(amount), ''::bytea ORDER BY at, amount) AS orders
    FROM (SELECT t.customer_id, min(t.occurred_at) AS at, sum(t.amount_minor)::bigint AS amount
            FROM transactions t JOIN cl_touched USING (customer_id)
           WHERE t.tenant_id = app.tid()
           GROUP BY t.customer_id, t.order_ref, CASE WHEN t.order_ref IS NULL THEN t.source_key END) o
   GROUP BY customer_id) h
  LEFT JOIN (
    SELECT DISTINCT ON (t.customer_id) t.customer_id, t.sku
      FROM transactions t JOIN cl_touched USING (customer_id)
     WHERE t.tenant_id = app.tid() AND t.sku IS NOT NULL AND t.amount_minor > 0
     ORDER BY t.customer_id, t.occurred_at, t.amount_minor DESC, t.sku) s USING (customer_id)
"""
_STANDING = """
UPDATE customer_data SET
  last_order_at = greatest(last_order_at, (SELECT max(occurred_at) FROM cl_incoming)),
  orders = (SELECT sum(octet_length(orders) >> 4) FROM order_histories WHERE tenant_id = app.tid())
 WHERE tenant_id = app.tid()
"""


async def rebuild_histories(tx: AsyncConnection) -> None:
    """Rebuild the order histories of the customers in ``cl_touched`` from all their transactions."""
    await tx.execute(
        text(
            "DELETE FROM order_histories h USING cl_touched t "
            "WHERE h.tenant_id = app.tid() AND h.customer_id = t.customer_id"
        )
    )
    await tx.execute(text(_HISTORIES))
    await tx.execute(text(_STANDING))
