"""The subscription that runs, as the provider knows it now, and what an answer shows of it.

Whatever is done to a subscription is done to what the provider says, never to what was last heard: an event
may be on its way. What is stored here follows from the provider's event, and from a fetch that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.models import BASIC, SubscriptionInactive
from cohortlens.billing.payments.models import Schedule, Subscription, SubscriptionStatus
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.models import SubscriptionView, interval_of
from cohortlens.billing.subscriptions.offers import Offer, Offers
from cohortlens.billing.subscriptions.payer_rows import PayerRows
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.idempotency import held, made, no_effect

ASKED = "billing.subscription.change_asked"
"""Action of the audit row that stands before a change at the provider: who asked for what."""
_JUST_ENDED = timedelta(hours=24)


@dataclass(frozen=True)
class Living:
    """A subscription and what it is for.

    Attributes:
        subscription: What the provider says.
        offer: Plan and price; None for a price that is not of the catalogue.
    """

    subscription: Subscription
    offer: Offer | None


class LivingSubscriptions:
    """Finds the subscription that runs, and notes what was done to it.

    Args:
        db: Database as the runtime role.
        provider: Where it is paid.
        offers: What a price stands for.
        grace: How long an unpaid invoice changes nothing.
        clock: Current time.
    """

    def __init__(
        self,
        db: Database,
        provider: PaymentProvider,
        offers: Offers,
        grace: timedelta,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._provider = provider
        self._offers = offers
        self._grace = grace
        self._clock = clock

    async def customer_id(self, ctx: RequestContext) -> str:
        """The provider's customer of the tenant.

        Raises:
            FailedPrecondition: SUBSCRIPTION_INACTIVE: there has never been a checkout.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await PayerRows(tx, ctx.tenant_id).customer_id(livemode=self._provider.livemode)
        if not found:
            raise _nothing()
        return found

    async def find(self, ctx: RequestContext, *, just_ended: bool = False) -> Living:
        """The tenant's subscription that runs.

        Args:
            ctx: The request.
            just_ended: Take one that ended within a day when none runs.

        Raises:
            FailedPrecondition: SUBSCRIPTION_INACTIVE: there is none.
        """
        known = await self._provider.subscriptions_of(await self.customer_id(ctx))
        running = [one for one in known if one.status.is_live]
        waiting = [one for one in known if one.status is SubscriptionStatus.INCOMPLETE]
        ended = [one for one in known if just_ended and self._has_just_ended(one)]
        # The newest counts, as it does for what the tenant may do.
        chosen = [*running, *waiting, *ended][:1]
        if not chosen:
            raise _nothing()
        return await self.living(ctx, chosen[0])

    async def living(self, ctx: RequestContext, subscription: Subscription) -> Living:
        """A subscription with what its price stands for."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            price_id = subscription.items[0].price_id if subscription.items else ""
            return Living(subscription, await self._offers.of_price(tx, price_id))

    async def view(
        self, ctx: RequestContext, subscription: Subscription, schedule: Schedule | None = None
    ) -> SubscriptionView:
        """What an answer shows of a subscription.

        Args:
            ctx: The request.
            subscription: What the provider says.
            schedule: The planned change, if it was just made.
        """
        planned = schedule or subscription.schedule
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            prices = [subscription.items[0].price_id if subscription.items else ""]
            prices += [planned.next_price_id] if planned is not None else []
            offers = [await self._offers.of_price(tx, price) for price in prices]
            unpaid_since = await PayerRows(tx, ctx.tenant_id).unpaid_since(subscription.id)
        is_late = subscription.status is SubscriptionStatus.PAST_DUE
        has_ended = subscription.status in {
            SubscriptionStatus.CANCELED,
            SubscriptionStatus.INCOMPLETE_EXPIRED,
        }
        current = None if has_ended else offers[0]
        view = SubscriptionView(
            status=subscription.status.value,
            plan=current.plan if current else BASIC,
            interval=interval_of(subscription.items[0].interval) if subscription.items else None,
            period_start=subscription.period_start,
            period_end=subscription.period_end,
            cancel_at_period_end=subscription.cancel_at_period_end,
            trial_end=subscription.trial_end,
            grace_end=unpaid_since + self._grace if is_late and unpaid_since else None,
        )
        if planned is None or len(offers) == 1 or (coming := offers[1]) is None:
            return view
        return replace(view, planned_plan=coming.plan, planned_at=planned.next_at)

    async def asked(self, ctx: RequestContext, action: str, details: Mapping[str, Any]) -> None:
        """Write who asks for what into the audit log, before anything is done at the provider.

        A process may die between the provider's answer and ``noted``: then this row says who it was, and the
        one of the provider's event what came of it.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            no_effect(tx)
            told = {"change": action, **details}
            await AuditTrail(tx).append(ctx, ASKED, resource="subscription", details=told)

    async def noted(
        self, ctx: RequestContext, customer_id: str, action: str, details: Mapping[str, Any]
    ) -> None:
        """Write what was done into the audit log, and have what is stored follow.

        The effect is at the provider, under a key of the request: a repeat gets the same there. Here it is
        noted once, also by a repeat that runs because the answer was lost behind this.
        """
        claim = held()
        if claim is not None and claim.made.get("noted") == action:
            return
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            made(noted=action)
            await PayerRows(tx, ctx.tenant_id).ask_refresh(customer_id, livemode=self._provider.livemode)
            await AuditTrail(tx).append(ctx, action, resource="subscription", details=details)

    def _has_just_ended(self, subscription: Subscription) -> bool:
        at = subscription.ended_at
        return at is not None and at > self._clock() - _JUST_ENDED


def _nothing() -> SubscriptionInactive:
    return SubscriptionInactive("the tenant has no subscription; CreateCheckoutSession begins one")
