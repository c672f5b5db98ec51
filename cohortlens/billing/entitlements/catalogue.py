"""The catalogue of plans; a version never changes, so what was read stays true."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.models import Interval, Plan, Price, Rates
from cohortlens.core.db import Database

_FRESH_S = 60.0
# Both modes have the same prices; the one without money is always there.
_PRICES = """
SELECT plan_id, plan_version, interval, currency, amount_minor FROM plan_prices WHERE NOT livemode
 ORDER BY plan_id, currency, interval
"""


class Catalogue:
    """The plans on offer, remembered for a minute.

    Args:
        db: Database as the runtime role.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._plans: tuple[Plan, ...] = ()
        self._fresh_until = float("-inf")

    async def plans(self) -> tuple[Plan, ...]:
        """The newest version of each plan, the smallest first."""
        if time.monotonic() >= self._fresh_until:
            async with self._db.transaction() as tx:
                self._plans = await current_plans(tx)
            self._fresh_until = time.monotonic() + _FRESH_S
        return self._plans

    async def with_feature(self, feature: str, rank: int) -> str:
        """The smallest plan above a rank that contains a feature; empty for none."""
        return next(
            (one.plan_id for one in await self.plans() if one.rank > rank and feature in one.features), ""
        )


async def current_plans(tx: AsyncConnection) -> tuple[Plan, ...]:
    """The newest version of each plan with its prices, the smallest first."""
    prices = (await tx.execute(text(_PRICES))).all()
    rows = await tx.execute(text("SELECT * FROM current_plans ORDER BY rank"))
    return tuple(_plan(row, prices) for row in rows)


def features_of(plans: Iterable[Plan]) -> frozenset[str]:
    """Every feature that some plan contains."""
    return frozenset().union(*(plan.features for plan in plans))


def _plan(row: Row[Any], prices: Sequence[Row[Any]]) -> Plan:
    return Plan(
        plan_id=row.id,
        version=row.version,
        rank=row.rank,
        display_name=row.display_name,
        features=frozenset(row.features),
        max_customers=row.max_customers,
        max_api_calls_per_month=row.max_api_calls_per_month,
        max_users=row.max_users,
        rates=Rates(row.read_per_second, row.write_per_second, row.inference_per_second, row.bulk_in_flight),
        prices=tuple(
            Price(Interval(one.interval), one.currency, one.amount_minor)
            for one in prices
            if (one.plan_id, one.plan_version) == (row.id, row.version)
        ),
    )
