"""The tenant's subscription and invoices, as they were last fetched from the provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from cohortlens.billing.models import BASIC
from cohortlens.billing.subscriptions.models import SubscriptionView, interval_of
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database

_ENDED = frozenset({"NONE", "CANCELED", "INCOMPLETE_EXPIRED"})
_SUBSCRIPTION = text(
    "SELECT status, plan_id, billing_interval, period_start, period_end, cancel_at_period_end, trial_end,"
    " planned_plan_id, planned_at, past_due_since FROM subscriptions WHERE tenant_id = :tenant"
)
_INVOICES = text(
    "SELECT stripe_invoice_id, number, status, amount_due_minor, amount_paid_minor, currency, hosted_url,"
    " period_start, period_end, invoiced_at FROM invoices WHERE tenant_id = :tenant"
    " AND (CAST(:at AS timestamptz) IS NULL OR (invoiced_at, stripe_invoice_id) < (:at, :id))"
    " ORDER BY invoiced_at DESC, stripe_invoice_id DESC LIMIT :limit"
)


@dataclass(frozen=True)
class InvoiceRow:
    """An invoice of a tenant.

    Attributes:
        invoice_id: The provider's identifier.
        number: Number on the paper; empty while it is a draft.
        status: ``DRAFT``, ``OPEN``, ``PAID``, ``UNCOLLECTIBLE`` or ``VOID``.
        amount_due_minor: What is to be paid, in minor units.
        amount_paid_minor: What was paid of it.
        currency: ISO 4217, lower case.
        hosted_url: Page on which it can be seen and paid; empty for none.
        period_start: Begin of the time it is for.
        period_end: End of the time it is for.
        invoiced_at: When it was made.
    """

    invoice_id: str
    number: str
    status: str
    amount_due_minor: int
    amount_paid_minor: int
    currency: str
    hosted_url: str
    period_start: datetime
    period_end: datetime
    invoiced_at: datetime


class SubscriptionReads:
    """Reads what is stored; asks the provider nothing.

    Args:
        db: Database as the runtime role.
        grace: How long an unpaid invoice changes nothing.
    """

    def __init__(self, db: Database, grace: timedelta) -> None:
        self._db = db
        self._grace = grace

    async def subscription(self, ctx: RequestContext) -> SubscriptionView:
        """The tenant's subscription; plan ``basic`` and status NONE when there has never been one."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            row = (await tx.execute(_SUBSCRIPTION, {"tenant": ctx.tenant_id})).one_or_none()
        if row is None or row.status == "NONE":
            return SubscriptionView()
        return SubscriptionView(
            status=row.status,
            plan=BASIC if row.status in _ENDED else row.plan_id or BASIC,
            interval=interval_of(row.billing_interval),
            period_start=row.period_start,
            period_end=row.period_end,
            cancel_at_period_end=row.cancel_at_period_end,
            trial_end=row.trial_end,
            planned_plan=row.planned_plan_id,
            planned_at=row.planned_at,
            grace_end=row.past_due_since + self._grace if row.past_due_since is not None else None,
        )

    async def invoices(
        self, ctx: RequestContext, below: tuple[datetime, str] | None, limit: int
    ) -> list[InvoiceRow]:
        """Invoices older than ``below``, newest first."""
        at, invoice_id = below if below is not None else (None, "")
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = await tx.execute(
                _INVOICES, {"tenant": ctx.tenant_id, "at": at, "id": invoice_id, "limit": limit}
            )
            return [InvoiceRow(*row) for row in rows]
