"""Statements about who pays for a tenant, its subscription, its invoices, and what was noted once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.payments.models import Customer, Invoice
from cohortlens.core.ids import TenantId

_COLUMNS = (
    "stripe_subscription_id",
    "stripe_customer_id",
    "livemode",
    "status",
    "plan_id",
    "plan_version",
    "price_id",
    "item_id",
    "billing_interval",
    "period_start",
    "period_end",
    "anchor",
    "trial_end",
    "cancel_at_period_end",
    "cancel_at",
    "canceled_at",
    "ended_at",
    "past_due_since",
    "schedule_id",
    "planned_plan_id",
    "planned_at",
    "has_pending_update",
    "access",
)


@dataclass(frozen=True)
class SubscriptionRecord:
    """The subscription of a tenant that counts, as last fetched.

    Attributes:
        stripe_subscription_id: Identifier at the provider; empty with status NONE.
        stripe_customer_id: Who pays.
        livemode: Whether it is about real money.
        status: A ``SubscriptionStatus``, or NONE for a customer without any.
        plan_id: Plan of its price; empty when no plan of the catalogue has it.
        plan_version: Version of that plan.
        price_id: What it costs.
        item_id: The line of the plan.
        billing_interval: ``month`` or ``year``; empty with status NONE.
        period_start: Start of the paid period.
        period_end: End of the paid period.
        anchor: Begin of the subscription, from which the months of the quota count.
        trial_end: End of the trial.
        cancel_at_period_end: Whether it ends with the period.
        cancel_at: When it will end.
        canceled_at: When that was asked for.
        ended_at: When it ended.
        past_due_since: Since when it is not paid; None unless it is past due.
        schedule_id: The planned change; empty for none.
        planned_plan_id: Plan it changes to; empty for none.
        planned_at: When it does.
        has_pending_update: Whether a change waits for its payment.
        access: How far the plan may be used: FULL or READ_ONLY.
    """

    stripe_subscription_id: str
    stripe_customer_id: str
    livemode: bool
    status: str
    plan_id: str
    plan_version: int | None
    price_id: str
    item_id: str
    billing_interval: str
    period_start: datetime | None
    period_end: datetime | None
    anchor: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    past_due_since: datetime | None
    schedule_id: str
    planned_plan_id: str
    planned_at: datetime | None
    has_pending_update: bool
    access: str


_PUT_SUBSCRIPTION = text(
    f"INSERT INTO subscriptions AS s (tenant_id, {', '.join(_COLUMNS)}, fetch_no, raw)"  # noqa: S608
    f" VALUES (:tenant, {', '.join(f':{name}' for name in _COLUMNS)}, :fetch_no, CAST(:raw AS jsonb))"
    " ON CONFLICT (tenant_id) DO UPDATE SET"
    f" {', '.join(f'{name} = EXCLUDED.{name}' for name in _COLUMNS)},"
    " fetch_no = EXCLUDED.fetch_no, raw = EXCLUDED.raw, updated_at = clock_timestamp()"
    # Numbers of two customers cannot be compared: the one that pays now goes before the one before.
    " WHERE s.fetch_no < EXCLUDED.fetch_no OR s.stripe_customer_id <> EXCLUDED.stripe_customer_id"
    " RETURNING 1"
)
_INVOICE_COLUMNS = (
    "stripe_subscription_id",
    "number",
    "status",
    "billing_reason",
    "currency",
    "amount_due_minor",
    "amount_paid_minor",
    "attempt_count",
    "next_attempt_at",
    "hosted_url",
    "pdf_url",
    "period_start",
    "period_end",
    "invoiced_at",
    "finalized_at",
    "paid_at",
    "due_at",
)
_PUT_INVOICE = text(
    f"INSERT INTO invoices AS i (tenant_id, stripe_invoice_id, {', '.join(_INVOICE_COLUMNS)}, fetch_no)"  # noqa: S608
    f" VALUES (:tenant, :id, {', '.join(f':{name}' for name in _INVOICE_COLUMNS)}, :fetch_no)"
    " ON CONFLICT (tenant_id, stripe_invoice_id) DO UPDATE SET"
    f" {', '.join(f'{name} = EXCLUDED.{name}' for name in _INVOICE_COLUMNS)},"
    " fetch_no = EXCLUDED.fetch_no, updated_at = clock_timestamp() WHERE i.fetch_no < EXCLUDED.fetch_no"
)


class PaymentRows:
    """What is stored about the payments of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``; writing is for the role of jobs.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def subscription(self, *, lock: bool = False) -> SubscriptionRecord | None:
        """The subscription that counts; kept from changing until the transaction ends if asked for."""
        row = (
            await self._tx.execute(
                text(
                    f"SELECT {', '.join(_COLUMNS)} FROM subscriptions WHERE tenant_id = :tenant"  # noqa: S608
                    + (" FOR UPDATE" if lock else "")
                ),
                {"tenant": self._tenant_id},
            )
        ).one_or_none()
        return None if row is None else SubscriptionRecord(**row._mapping)

    async def put_subscription(
        self, record: SubscriptionRecord, fetch_no: int, raw: Mapping[str, Any]
    ) -> bool:
        """Store what was fetched; False when a later fetch was stored before."""
        values = {name: getattr(record, name) for name in _COLUMNS}
        return bool(
            await self._tx.scalar(
                _PUT_SUBSCRIPTION,
                {
                    **values,
                    "tenant": self._tenant_id,
                    "fetch_no": fetch_no,
                    "raw": json.dumps(dict(raw), default=str),
                },
            )
        )

    async def put_access(self, access: str) -> None:
        """Store how far the plan may be used, when time alone changed it."""
        await self._tx.execute(
            text(
                "UPDATE subscriptions SET access = :access, updated_at = clock_timestamp()"
                " WHERE tenant_id = :tenant"
            ),
            {"tenant": self._tenant_id, "access": access},
        )

    async def put_invoices(self, invoices: Iterable[Invoice], fetch_no: int) -> None:
        """Store invoices; one that a later fetch stored before stays."""
        rows = [
            {
                "tenant": self._tenant_id,
                "id": one.id,
                "fetch_no": fetch_no,
                "stripe_subscription_id": one.subscription_id,
                "invoiced_at": one.created_at,
                **{
                    name: getattr(one, name)
                    for name in _INVOICE_COLUMNS
                    if name not in {"stripe_subscription_id", "invoiced_at", "status"}
                },
                "status": one.status.upper(),
            }
            for one in sorted(invoices, key=lambda one: one.id)
        ]
        if rows:
            await self._tx.execute(_PUT_INVOICE, rows)

    async def put_customer(
        self, customer_id: str, customer: Customer | None, fetch_no: int, *, has_payment_method: bool
    ) -> None:
        """Store what the provider says of who pays."""
        is_gone = customer is None or customer.deleted
        await self._tx.execute(
            text(
                "UPDATE billing_profiles SET fetch_no = :fetch_no, updated_at = clock_timestamp(),"
                " email = CASE WHEN :gone THEN '' ELSE :email END, has_payment_method = :card,"
                " customer_deleted_at = CASE WHEN :gone"
                " THEN coalesce(customer_deleted_at, clock_timestamp()) END"
                " WHERE tenant_id = :tenant AND stripe_customer_id = :customer AND fetch_no < :fetch_no"
            ),
            {
                "tenant": self._tenant_id,
                "customer": customer_id,
                "fetch_no": fetch_no,
                "gone": is_gone,
                "email": "" if customer is None else customer.email[:320],
                "card": has_payment_method and not is_gone,
            },
        )

    async def mark(self, kind: str, subject: str, details: Mapping[str, Any] | None = None) -> bool:
        """Note something once; False when it was noted before."""
        return bool(
            await self._tx.scalar(
                text(
                    "INSERT INTO billing_marks (tenant_id, kind, subject, details)"
                    " VALUES (:tenant, :kind, :subject, CAST(:details AS jsonb))"
                    " ON CONFLICT DO NOTHING RETURNING 1"
                ),
                {
                    "tenant": self._tenant_id,
                    "kind": kind,
                    "subject": subject,
                    "details": json.dumps(dict(details or {})),
                },
            )
        )


async def plans_of_prices(
    tx: AsyncConnection, prices: Iterable[str], *, livemode: bool
) -> dict[str, tuple[str, int]]:
    """Plan and version of the catalogue by price."""
    rows = await tx.execute(
        text(
            "SELECT stripe_price_id, plan_id, plan_version FROM plan_prices"
            " WHERE stripe_price_id = ANY (:prices) AND livemode = :livemode"
        ),
        {"prices": sorted(set(prices)), "livemode": livemode},
    )
    return {row.stripe_price_id: (row.plan_id, row.plan_version) for row in rows}


async def overdue(tx: AsyncConnection, grace_s: float) -> list[TenantId]:
    """Tenants whose grace is over and whose access does not say so yet."""
    rows = await tx.scalars(text("SELECT app.billing_overdue(:grace)"), {"grace": grace_s})
    return [TenantId(one) for one in rows]
