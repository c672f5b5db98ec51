"""Changing the plan of a subscription, ending it, letting it go on, and the provider's own pages about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cohortlens.billing.models import Interval, SubscriptionInactive
from cohortlens.billing.payments.models import (
    PreviewLine,
    Proration,
    Schedule,
    Subscription,
    SubscriptionStatus,
)
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.living import Living, LivingSubscriptions
from cohortlens.billing.subscriptions.models import (
    ChangePreview,
    Effective,
    PlanChange,
    PlanWarning,
    SubscriptionView,
)
from cohortlens.billing.subscriptions.offers import Offer, Offers
from cohortlens.billing.subscriptions.plan_warnings import plan_warnings
from cohortlens.billing.subscriptions.provider_keys import is_repeat, written
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.core.clock import now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.failpoints import failpoint

_OLDEST_PREVIEW = timedelta(hours=1)
_CHANGEABLE = frozenset({SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE})


class SubscriptionChanges:
    """What a tenant does to the subscription it has.

    Args:
        db: Database as the runtime role.
        provider: Where it is paid.
        offers: What can be bought.
        living: Finds the subscription.
        urls: Judges return addresses.
    """

    def __init__(
        self,
        db: Database,
        provider: PaymentProvider,
        offers: Offers,
        living: LivingSubscriptions,
        urls: ReturnUrls,
    ) -> None:
        self._db = db
        self._provider = provider
        self._offers = offers
        self._living = living
        self._urls = urls

    async def change_plan(
        self,
        ctx: RequestContext,
        *,
        plan: str,
        interval: Interval | None = None,
        effective: Effective = Effective.IMMEDIATE,
        validate_only: bool = False,
        prorated_at: datetime | None = None,
    ) -> PlanChange:
        """Change the plan, or weigh the change. The plan that runs takes a planned change back.

        Args:
            ctx: The request.
            plan: Plan to change to.
            interval: How often it is paid; as now when None.
            effective: At once, or at the end of the period that is paid.
            validate_only: Change nothing.
            prorated_at: Moment of a preview whose price is to hold; the provider's now when None.

        Raises:
            InvalidArgument: FIELD_INVALID: no such plan, it is not sold, or the preview is too old.
            FailedPrecondition: SUBSCRIPTION_INACTIVE; PAYMENT_REFUSED: nothing has changed.
            Unavailable: STRIPE_UNAVAILABLE.
        """
        held = await self._living.find(ctx)
        _require_changeable(held.subscription, effective)
        offer, warnings = await self._weighed(ctx, held, plan, interval)
        if validate_only:
            preview = await self._preview(held, offer, effective)
            return PlanChange(await self._living.view(ctx, held.subscription), preview, warnings)
        if (
            prorated_at is not None
            and effective is Effective.IMMEDIATE
            and not _runs(held.subscription, offer)
        ):
            await self._require_recent(held, offer, prorated_at)
        view = await self._changed(ctx, held, offer, effective, prorated_at)
        return PlanChange(view, None, warnings)

    async def cancel(self, ctx: RequestContext, *, at_period_end: bool = True) -> SubscriptionView:
        """End the subscription with the paid period, or at once without a refund.

        Raises:
            FailedPrecondition: SUBSCRIPTION_INACTIVE.
            Unavailable: STRIPE_UNAVAILABLE.
        """
        # One that was just ended answers a repeated call as it answered the first.
        found = (await self._living.find(ctx, just_ended=not at_period_end)).subscription
        action = "billing.subscription.cancel_planned" if at_period_end else "billing.subscription.canceled"
        details = {"at_period_end": at_period_end}
        if found.status is SubscriptionStatus.CANCELED or (at_period_end and found.cancel_at_period_end):
            return await self._as_it_is(ctx, found, action, details)
        rpc = "CancelSubscription"
        await self._living.asked(ctx, action, details)
        await self._release(ctx, found, rpc)
        ended = await written(
            ctx.tenant_id,
            rpc,
            "cancel",
            lambda key: self._provider.cancel(found.id, at_period_end=at_period_end, key=key),
        )
        failpoint("billing.change_made")
        await self._living.noted(ctx, found.customer_id, action, details)
        return await self._living.view(ctx, ended)

    async def resume(self, ctx: RequestContext) -> SubscriptionView:
        """Let a subscription go on that was to end with its period, or is paused.

        Raises:
            FailedPrecondition: SUBSCRIPTION_INACTIVE.
            Unavailable: STRIPE_UNAVAILABLE.
        """
        found = (await self._living.find(ctx)).subscription
        action = "billing.subscription.resumed"
        if found.status is not SubscriptionStatus.PAUSED and not found.cancel_at_period_end:
            return await self._as_it_is(ctx, found, action, {})
        await self._living.asked(ctx, action, {})
        resumed = await written(
            ctx.tenant_id,
            "ResumeSubscription",
            "resume",
            lambda key: self._provider.resume(found.id, key=key),
        )
        failpoint("billing.change_made")
        await self._living.noted(ctx, found.customer_id, action, {})
        return await self._living.view(ctx, resumed)

    async def open_portal(self, ctx: RequestContext, *, return_url: str = "") -> str:
        """Address of the provider's page with invoices and means of payment.

        Raises:
            InvalidArgument: URL_NOT_ALLOWED.
            FailedPrecondition: SUBSCRIPTION_INACTIVE: the tenant has never been at the provider.
            Unavailable: STRIPE_UNAVAILABLE.
        """
        back = self._urls.checked(return_url, "return_url")
        customer_id = await self._living.customer_id(ctx)
        url = await written(
            ctx.tenant_id,
            "CreatePortalSession",
            "portal",
            lambda key: self._provider.create_portal(customer_id, back, key=key),
        )
        await self._living.noted(ctx, customer_id, "billing.portal.opened", {})
        return url

    async def _weighed(
        self, ctx: RequestContext, held: Living, plan: str, interval: Interval | None
    ) -> tuple[Offer, tuple[PlanWarning, ...]]:
        """The wanted price, and what the tenant has that its plan does not allow."""
        current = held.offer
        if interval is None:
            interval = current.interval if current else Interval.MONTH
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            if current is not None and (current.plan, current.interval) == (plan, interval):
                # Who has an older version of a plan keeps it.
                return current, ()
            offer = await self._offers.offer(tx, plan, interval, current.currency if current else "")
            return offer, await plan_warnings(tx, ctx.tenant_id, plan, current.plan if current else "")

    async def _preview(self, held: Living, offer: Offer, effective: Effective) -> ChangePreview:
        subscription = held.subscription
        ends = subscription.period_end
        if effective is Effective.PERIOD_END and ends is not None:
            amount = offer.amount_minor * subscription.items[0].quantity
            line = PreviewLine(f"{offer.plan}, each {offer.interval.value}", amount, is_proration=False)
            return ChangePreview(amount, offer.currency, (line,), ends)
        if _runs(subscription, offer):
            # Nothing is asked for; the provider would answer the next renewal, or that there is none.
            return ChangePreview(0, offer.currency, (), now())
        proration = _proration(held, offer)
        if proration is Proration.NONE and held.offer is not None and held.offer.interval is offer.interval:
            # Likewise: the period is paid, and its rest is not given back.
            return ChangePreview(0, offer.currency, (), now())
        found = await self._provider.preview(subscription, offer.price_id, proration=proration)
        total = sum(line.amount_minor for line in found.lines)
        # The provider asks for nothing when it owes; what it owes counts for the invoices that come.
        amount = min(total, 0) or found.amount_due_minor
        return ChangePreview(amount, found.currency, found.lines, found.prorated_at, found.prorated_at)

    async def _require_recent(self, held: Living, offer: Offer, prorated_at: datetime) -> None:
        """Refuse a moment that would make the rest of the period cost what the tenant chooses."""
        found = await self._provider.preview(
            held.subscription, offer.price_id, proration=Proration.INVOICE_NOW
        )
        if not found.prorated_at - _OLDEST_PREVIEW <= prorated_at <= found.prorated_at + timedelta(minutes=1):
            text = "must be the proration_time of a preview that is at most an hour old; preview again"
            raise InvalidArgument(f"proration_time: {text}", violations=(Violation("proration_time", text),))

    async def _changed(
        self,
        ctx: RequestContext,
        held: Living,
        offer: Offer,
        effective: Effective,
        prorated_at: datetime | None,
    ) -> SubscriptionView:
        rpc, found = "ChangePlan", held.subscription
        details = {
            "from": held.offer.plan if held.offer else "",
            "to": offer.plan,
            "interval": offer.interval.value,
            "effective": effective.value,
        }
        if _runs(found, offer):
            if not found.schedule_id:
                return await self._as_it_is(ctx, found, "billing.subscription.plan_changed", details)
            action = "billing.subscription.plan_change_withdrawn"
            await self._living.asked(ctx, action, details)
            released = await self._release(ctx, found, rpc)
            failpoint("billing.change_made")
            await self._living.noted(ctx, found.customer_id, action, details)
            return await self._living.view(ctx, found, released)
        if effective is Effective.PERIOD_END:
            action = "billing.subscription.plan_change_planned"
            await self._living.asked(ctx, action, details)
            schedule = await written(
                ctx.tenant_id,
                rpc,
                "plan",
                lambda key: self._provider.schedule_price(found, offer.price_id, key=key),
            )
            failpoint("billing.change_made")
            await self._living.noted(ctx, found.customer_id, action, details)
            return await self._living.view(ctx, found, schedule)
        action = "billing.subscription.plan_changed"
        await self._living.asked(ctx, action, details)
        await self._release(ctx, found, rpc)
        changed = await written(
            ctx.tenant_id,
            rpc,
            "change",
            lambda key: self._provider.change_price(
                found,
                offer.price_id,
                proration=_proration(held, offer),
                prorated_at=prorated_at,
                key=key,
            ),
        )
        failpoint("billing.change_made")
        await self._living.noted(ctx, found.customer_id, action, details)
        return await self._living.view(ctx, changed)

    async def _as_it_is(
        self, ctx: RequestContext, found: Subscription, action: str, details: Mapping[str, Any]
    ) -> SubscriptionView:
        """What is asked for is so already; noted if an attempt that broke off has done it."""
        if is_repeat():
            await self._living.noted(ctx, found.customer_id, action, details)
        return await self._living.view(ctx, found)

    async def _release(self, ctx: RequestContext, found: Subscription, rpc: str) -> Schedule | None:
        """Drop a planned change: the provider takes no other one beside it."""
        if not found.schedule_id:
            return None
        return await written(
            ctx.tenant_id,
            rpc,
            "release",
            lambda key: self._provider.release_schedule(found.schedule_id, key=key),
        )


def _runs(found: Subscription, offer: Offer) -> bool:
    return found.items[0].price_id == offer.price_id


def _proration(held: Living, offer: Offer) -> Proration:
    """Whether the rest of the period is settled now.

    A smaller plan gives nothing back, as cancelling does not: the month's quota of the greater one may be
    used up, and would have cost a day of it.
    """
    before = held.offer
    is_smaller = (
        before is not None and before.plan != offer.plan and _monthly_minor(offer) < _monthly_minor(before)
    )
    return Proration.NONE if is_smaller else Proration.INVOICE_NOW


def _monthly_minor(offer: Offer) -> float:
    return offer.amount_minor / (12 if offer.interval is Interval.YEAR else 1)


def _require_changeable(found: Subscription, effective: Effective) -> None:
    if found.status not in _CHANGEABLE:
        raise SubscriptionInactive(
            "the subscription is not paid; pay on the page of CreatePortalSession, or resume it, first"
        )
    if effective is Effective.PERIOD_END and found.cancel_at_period_end:
        raise SubscriptionInactive(
            "the subscription ends with its period; ResumeSubscription takes that back"
        )
