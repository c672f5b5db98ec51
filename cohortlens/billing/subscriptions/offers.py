"""What can be bought: the plans on offer with the provider's prices, and the plan behind a price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.models import Interval, PlanUnknown
from cohortlens.billing.payments.models import PaymentProviderUnavailable
from cohortlens.billing.payments.ports import ProviderReads
from cohortlens.billing.subscriptions.models import plan_fault

_COLUMNS = (
    "r.plan_id, r.plan_version, r.interval, lower(r.currency) AS currency, r.amount_minor, r.stripe_price_id"
)


@dataclass(frozen=True)
class Terms:
    """How this installation sells.

    Attributes:
        currency: ISO 4217, lower case.
        trial_days: Days of trial by plan; a tenant has one trial in its life.
        grace: How long an unpaid invoice changes nothing.
    """

    currency: str = "eur"
    trial_days: Mapping[str, int] = field(default_factory=dict)
    grace: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Offer:
    """A plan at a price.

    Attributes:
        plan: Name of the plan.
        version: Its version.
        interval: How often it is paid.
        currency: ISO 4217, lower case.
        amount_minor: What an interval costs.
        price_id: The provider's price.
        trial_days: Days of trial for a tenant that has never subscribed.
    """

    plan: str
    version: int
    interval: Interval
    currency: str
    amount_minor: int
    price_id: str
    trial_days: int


class Offers:
    """Finds prices.

    Args:
        terms: How this installation sells.
        provider: Says whether it is about real money.
    """

    def __init__(self, terms: Terms, provider: ProviderReads) -> None:
        self._terms = terms
        self._provider = provider

    async def offer(self, tx: AsyncConnection, plan: str, interval: Interval, currency: str = "") -> Offer:
        """The price of a plan that is on offer.

        Args:
            tx: An open transaction.
            plan: Name of the plan.
            interval: How often it is paid.
            currency: The currency that a customer pays in already; this installation's when empty.

        Raises:
            InvalidArgument: FIELD_INVALID: no such plan, or it is not sold like this.
            Unavailable: STRIPE_UNAVAILABLE: the provider has not been told of it.
        """
        wanted = currency or self._terms.currency
        row = await self._one(
            tx,
            f"SELECT {_COLUMNS} FROM plan_prices r JOIN current_plans p ON p.id = r.plan_id"  # noqa: S608
            " AND p.version = r.plan_version WHERE r.plan_id = :plan AND r.interval = :interval"
            " AND r.currency = upper(:currency) AND r.livemode = :livemode",
            plan=plan,
            interval=interval.value,
            currency=wanted,
        )
        if row is None:
            await self._require_plan(tx, plan)
            raise plan_fault(f"{plan} is not sold by the {interval.value} in {wanted}; see ListPlans")
        if row.stripe_price_id is None:
            raise PaymentProviderUnavailable(
                "the payment provider does not know the prices of the plans yet; "
                "the operator runs: cohortlens billing sync-catalogue"
            )
        return self._offer(row)

    async def of_price(self, tx: AsyncConnection, price_id: str) -> Offer | None:
        """What a price of the provider stands for, of an old version too; None if unknown."""
        row = await self._one(
            tx,
            f"SELECT {_COLUMNS} FROM plan_prices r"  # noqa: S608
            " WHERE r.stripe_price_id = :price AND r.livemode = :livemode",
            price=price_id,
        )
        return None if row is None else self._offer(row)

    async def _require_plan(self, tx: AsyncConnection, plan: str) -> None:
        known = tuple(await tx.scalars(text("SELECT id FROM current_plans ORDER BY rank")))
        if plan not in known:
            raise PlanUnknown(plan, known)

    async def _one(self, tx: AsyncConnection, statement: str, **values: Any) -> Any:
        found = await tx.execute(text(statement), {"livemode": self._provider.livemode, **values})
        return found.one_or_none()

    def _offer(self, row: Any) -> Offer:
        return Offer(
            plan=row.plan_id,
            version=row.plan_version,
            interval=Interval(row.interval),
            currency=row.currency,
            amount_minor=row.amount_minor,
            price_id=row.stripe_price_id,
            trial_days=self._terms.trial_days.get(row.plan_id, 0),
        )
