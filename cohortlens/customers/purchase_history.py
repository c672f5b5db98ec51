"""Purchase-days of single usable customers, to compute their features again with what might come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import text

from cohortlens.contracts.currency import minor_digits
from cohortlens.contracts.purchase_days import PurchaseDays
from cohortlens.core.db import Database
from cohortlens.core.ids import CustomerId, TenantId
from cohortlens.customers.usability import Activity, usable

_DAYS = """
SELECT d.customer_id, d.day - DATE '1970-01-01' AS day, d.amount_minor, d.orders, d.items, d.skus, d.lines,
       d.returns_minor
  FROM purchase_days d
 WHERE d.tenant_id = app.tid()
   AND d.customer_id = ANY(ARRAY(
     SELECT c.id FROM unnest(CAST(:customers AS uuid[])) AS c (id) WHERE {allowed}))
 ORDER BY d.customer_id, d.day
""".format(allowed=usable("c.id", "CAST(:activity AS text)"))  # noqa: S608 - a condition of ours


class PurchaseHistories:
    """Reads purchase-days for the analytics slice.

    Args:
        db: Database as the runtime role.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(
        self, tenant_id: TenantId, customer_ids: Sequence[CustomerId], currency: str
    ) -> PurchaseDays:
        """Purchase-days of customers, numbered by their place in ``customer_ids``.

        Args:
            tenant_id: Whose customers.
            customer_ids: Customers, each once.
            currency: ISO 4217 code of the tenant's money; amounts are given in its major unit.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            asked = {"customers": list(map(str, customer_ids)), "activity": Activity.EXPLANATION.value}
            rows = (await tx.execute(text(_DAYS), asked)).all()
        place = {str(customer): at for at, customer in enumerate(customer_ids)}
        unit = 10 ** minor_digits(currency)
        return PurchaseDays.from_columns(
            {
                "customer": np.array([place[str(row.customer_id)] for row in rows], np.int32),
                "day": np.array([row.day for row in rows], np.int32),
                "amount": np.array([int(row.amount_minor) / unit for row in rows], np.float64),
                "orders": np.array([row.orders for row in rows], np.int32),
                "items": np.array([np.nan if row.items is None else float(row.items) for row in rows]),
                "skus": np.array([row.skus for row in rows], np.int32),
                "lines": np.array([row.lines for row in rows], np.int32),
                "returns": np.array([int(row.returns_minor) / unit for row in rows], np.float64),
            }
        )
