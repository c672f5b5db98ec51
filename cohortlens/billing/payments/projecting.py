"""From what was fetched to what is stored: the tenant's subscription, and what it may do by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import BASIC, Access
from cohortlens.billing.payments.alarms import alarm
from cohortlens.billing.payments.fetching import Fetched
from cohortlens.billing.payments.inbox_rows import Claim
from cohortlens.billing.payments.models import Subscription, SubscriptionStatus
from cohortlens.billing.payments.rows import PaymentRows, SubscriptionRecord, plans_of_prices
from cohortlens.billing.payments.standing import access_of, counting, past_due_since
from cohortlens.core.ids import TenantId

WHO = Actor("job", "billing_inbox")
"""Who the audit log names for what follows from the provider's events."""

NONE = "NONE"
_PAID = frozenset(one.value for one in SubscriptionStatus if one.is_live)


@dataclass(frozen=True)
class Projected:
    """What came of a fetch.

    Attributes:
        before: The subscription as it was stored; None before the first fetch.
        after: As it is stored now.
        is_changed: Whether the two differ.
    """

    before: SubscriptionRecord | None
    after: SubscriptionRecord
    is_changed: bool


class Projection:
    """Stores what was fetched about a customer, within the transaction of its events.

    Args:
        tx: A connection inside ``Database.tenant_transaction``, as the role of jobs.
        tenant_id: The tenant.
        grace: How long an unpaid invoice changes nothing.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId, grace: timedelta) -> None:
        self._tx, self._tenant_id, self._grace = tx, tenant_id, grace
        self._rows = PaymentRows(tx, tenant_id)

    async def store(self, claim: Claim, fetched: Fetched) -> Projected:
        """Write customer, invoices, subscription and entitlement, unless a later fetch was written before."""
        before = await self._rows.subscription(lock=True)
        after = await self._record(claim, fetched, before)
        await self._rows.put_customer(
            claim.customer_id,
            fetched.customer,
            claim.fetch_no,
            has_payment_method=_has_card(fetched),
        )
        await self._rows.put_invoices(fetched.invoices.values(), claim.fetch_no)
        raw = {"subscriptions": [dataclasses.asdict(one) for one in fetched.subscriptions]}
        if not await self._rows.put_subscription(after, claim.fetch_no, raw):
            return Projected(before, before or after, is_changed=False)
        await self.project(after)
        is_changed = before != after
        if is_changed:
            await self._audit(before, after)
        return Projected(before, after, is_changed)

    async def project(self, record: SubscriptionRecord) -> None:
        """Write what a subscription gives; one of an unknown price leaves everything as it is."""
        rows = EntitlementRows(self._tx)
        if record.status not in _PAID:
            await rows.project(self._tenant_id, BASIC, Access.FULL, None)
            return
        if not record.plan_id:
            alarm("unknown_price", tenant_id=str(self._tenant_id), price=record.price_id)
            return
        await rows.project(
            self._tenant_id,
            record.plan_id,
            Access(record.access),
            record.anchor,
            plan_version=record.plan_version,
        )

    async def _record(
        self, claim: Claim, fetched: Fetched, before: SubscriptionRecord | None
    ) -> SubscriptionRecord:
        found = counting(fetched.subscriptions)
        if found.live > 1:
            alarm("two_subscriptions", tenant_id=str(self._tenant_id), customer=claim.customer_id)
        best = found.subscription
        if best is None:
            return _without(claim, before, fetched.at)
        prices = [best.items[0].price_id] if best.items else []
        planned = best.schedule.next_price_id if best.schedule is not None else ""
        plans = await plans_of_prices(self._tx, [*prices, planned], livemode=claim.livemode)
        known = before.past_due_since if before and before.stripe_subscription_id == best.id else None
        since = past_due_since(best, known, fetched.at)
        record = _stored(best, plans, since, access_of(best.status, since, self._grace, fetched.at))
        return _ended(record, fetched.at) if fetched.is_gone else record

    async def _audit(self, before: SubscriptionRecord | None, after: SubscriptionRecord) -> None:
        await AuditTrail(self._tx).append(
            WHO,
            "billing.subscription.changed",
            resource="subscription",
            details={
                "was": {"status": before.status, "plan": before.plan_id} if before else {},
                "status": after.status,
                "plan": after.plan_id,
                "access": after.access,
                "planned": after.planned_plan_id,
                "cancel_at_period_end": after.cancel_at_period_end,
            },
        )


def _stored(
    best: Subscription, plans: Mapping[str, tuple[str, int]], since: datetime | None, access: Access
) -> SubscriptionRecord:
    item = best.items[0] if best.items else None
    price = item.price_id if item else ""
    plan, version = plans.get(price, ("", None))
    schedule = best.schedule
    planned = plans.get(schedule.next_price_id, ("", None))[0] if schedule is not None else ""
    return SubscriptionRecord(
        stripe_subscription_id=best.id,
        stripe_customer_id=best.customer_id,
        livemode=best.livemode,
        status=best.status.value,
        plan_id=plan,
        plan_version=version,
        price_id=price,
        item_id=item.id if item else "",
        billing_interval=item.interval if item else "",
        period_start=best.period_start,
        period_end=best.period_end,
        # Not where invoices count from: another interval moves that, and would give the month anew.
        anchor=best.created_at,
        trial_end=best.trial_end,
        cancel_at_period_end=best.cancel_at_period_end,
        cancel_at=best.cancel_at,
        canceled_at=best.canceled_at,
        ended_at=best.ended_at,
        past_due_since=since,
        schedule_id=best.schedule_id,
        planned_plan_id=planned,
        planned_at=schedule.next_at if schedule is not None and planned else None,
        has_pending_update=best.has_pending_update,
        access=access.value,
    )


def _without(claim: Claim, before: SubscriptionRecord | None, at: datetime) -> SubscriptionRecord:
    """Of a customer without subscriptions: none, or the end of the one that was known."""
    if before is not None and before.stripe_subscription_id:
        return _ended(before, at)
    empty: dict[str, object] = {field.name: None for field in dataclasses.fields(SubscriptionRecord)}
    texts = ("stripe_subscription_id", "plan_id", "price_id", "item_id", "billing_interval", "schedule_id")
    return SubscriptionRecord(
        **{  # type: ignore[arg-type]
            **empty,
            **dict.fromkeys((*texts, "planned_plan_id"), ""),
            "stripe_customer_id": claim.customer_id,
            "livemode": claim.livemode,
            "status": NONE,
            "cancel_at_period_end": False,
            "has_pending_update": False,
            "access": Access.FULL.value,
        }
    )


def _ended(record: SubscriptionRecord, at: datetime) -> SubscriptionRecord:
    if record.status not in _PAID:
        return record
    return dataclasses.replace(
        record,
        status=SubscriptionStatus.CANCELED.value,
        ended_at=record.ended_at or at,
        past_due_since=None,
        access=Access.FULL.value,
    )


def _has_card(fetched: Fetched) -> bool:
    of_customer = fetched.customer is not None and fetched.customer.has_payment_method
    return of_customer or any(one.has_payment_method for one in fetched.subscriptions)
