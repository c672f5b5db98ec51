"""The checkout: from a chosen plan to a page of the provider on which it is paid.

A checkout is a row before it is anything at the provider, and every write there carries a key made of that
row. So whatever a process had done when it died, the next call does once more and gets the same customer and
the same page. One process at a time speaks with the provider about a checkout; others wait for the outcome.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.models import Interval
from cohortlens.billing.payments.models import (
    CheckoutSession,
    PaymentProviderFailed,
    Subscription,
    SubscriptionStatus,
)
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.checkout_pages import RPC, CheckoutPages, part_of_a_checkout
from cohortlens.billing.subscriptions.intent_rows import IntentRows, tidy
from cohortlens.billing.subscriptions.models import AlreadySubscribed, Intent, IntentState
from cohortlens.billing.subscriptions.offers import Offers
from cohortlens.billing.subscriptions.payer_rows import PayerRows
from cohortlens.billing.subscriptions.provider_keys import provider_key
from cohortlens.billing.subscriptions.return_urls import RETURN_PATH, ReturnUrls
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Aborted, CohortLensError
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId, uuid7

PAGE_LIFE = timedelta(hours=23)
"""A page ends within the provider's day of idempotency keys, so the key of an open checkout always holds."""
OPEN_HOURS = 24
KEPT_DAYS = 90
_LEAST_LEFT = timedelta(minutes=30)
_TIDIED_AT_ONCE = 1_000
_LEASE_S = 15.0
_LOOK_EVERY_S = 0.1
_WAIT_S = 20.0
_PAID = "a plan was paid for a moment ago and is being confirmed"


class _Turn(Enum):
    """What a call does next about the open checkout."""

    READY = "ready"
    OPEN = "open"
    END = "end"
    WAIT = "wait"


@dataclass(frozen=True)
class _Wanted:
    """What a call asks for."""

    plan: str
    interval: Interval
    success_url: str
    cancel_url: str


class Checkout:
    """Opens the page on which a tenant subscribes.

    Args:
        db: Database as the runtime role.
        provider: Where it is paid.
        offers: What can be bought, and how long it may be tried.
        urls: Judges return addresses.
        clock: Current time.
        lease_s: Seconds that one process alone speaks with the provider; another takes over after a death.
    """

    def __init__(
        self,
        db: Database,
        provider: PaymentProvider,
        offers: Offers,
        urls: ReturnUrls,
        clock: Clock = now,
        *,
        lease_s: float = _LEASE_S,
    ) -> None:
        self._db = db
        self._provider = provider
        self._offers = offers
        self._urls = urls
        self._clock = clock
        self._lease_s = lease_s
        self._pages = CheckoutPages(db, provider)

    async def create(
        self,
        ctx: RequestContext,
        *,
        plan: str,
        interval: Interval,
        success_url: str = "",
        cancel_url: str = "",
    ) -> Intent:
        """The tenant's open checkout of a plan; another plan's is ended first.

        Raises:
            InvalidArgument: FIELD_INVALID: the plan is not sold; URL_NOT_ALLOWED.
            FailedPrecondition: ALREADY_SUBSCRIBED.
            Unavailable: STRIPE_UNAVAILABLE: nothing was begun that a repeat does not end.
        """
        wanted = _Wanted(
            plan,
            interval,
            self._urls.checked(success_url, "success_url", RETURN_PATH),
            self._urls.checked(cancel_url, "cancel_url"),
        )
        worker, until = uuid7(), min(ctx.deadline, time.monotonic() + _WAIT_S)
        while time.monotonic() < until:
            intent, turn = await self._turn(ctx, wanted, worker)
            if turn is _Turn.READY:
                if await self._is_open(ctx, intent):
                    return intent
                continue
            if turn is _Turn.WAIT:
                await asyncio.sleep(_LOOK_EVERY_S)
                continue
            try:
                if turn is _Turn.END:
                    await self._end(ctx, intent, worker)
                else:
                    await self._open(ctx, intent, worker)
            except PaymentProviderFailed:
                # The keys of this checkout give that answer for a day. Nobody knows the address of a page
                # that may have been made, so a new checkout takes its place.
                await self._give_up(ctx.tenant_id, intent, worker)
                raise
            except BaseException:
                # The next call need not wait for the end of our turn.
                with suppress(CohortLensError):
                    await self._let_go(ctx.tenant_id, intent.intent_id, worker)
                raise
        raise Aborted(
            "another request of the tenant is opening a checkout; try again",
            reason="SERIALIZATION_RETRY",
            retry_delay_s=1.0,
        )

    async def settled(self, tx: AsyncConnection, tenant_id: TenantId, session: CheckoutSession) -> None:
        """Close the checkout whose page is over; in the transaction that applies the provider's event."""
        if session.status == "open":
            return
        state = IntentState.COMPLETED if session.status == "complete" else IntentState.EXPIRED
        if await IntentRows(tx, tenant_id).close_session(session.id, state):
            await AuditTrail(tx).append(
                Actor("system", "payments"),
                f"billing.checkout.{state.value.lower()}",
                resource="subscription",
            )

    async def tidy(self) -> int:
        """Expire checkouts that were left open, drop old ones; as the role of jobs. Answers how many."""
        async with self._db.transaction() as tx:
            return sum(await tidy(tx, open_hours=OPEN_HOURS, kept_days=KEPT_DAYS, limit=_TIDIED_AT_ONCE))

    async def _turn(self, ctx: RequestContext, wanted: _Wanted, worker: UUID) -> tuple[Intent, _Turn]:
        """Find or store the open checkout, and what is to be done about it."""
        async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
            payers, rows = PayerRows(tx, ctx.tenant_id), IntentRows(tx, ctx.tenant_id)
            if await payers.has_living_subscription(livemode=self._provider.livemode):
                raise _already()
            intent = await rows.open()
            if intent is None:
                offer = await self._offers.offer(tx, wanted.plan, wanted.interval)
                intent = Intent(
                    intent_id=uuid7(),
                    plan=wanted.plan,
                    interval=wanted.interval,
                    price_id=offer.price_id,
                    trial_days=0 if await payers.has_subscribed() else offer.trial_days,
                    success_url=wanted.success_url,
                    cancel_url=wanted.cancel_url,
                    state=IntentState.OPEN,
                    session_id="",
                    url="",
                    expires_at=self._clock() + PAGE_LIFE,
                )
                if not await rows.add(intent, livemode=self._provider.livemode):
                    return intent, _Turn.WAIT
            is_for = intent.is_for(wanted.plan, wanted.interval)
            # With no time left to pay, its page is of no use to anyone.
            is_useful = is_for and intent.expires_at > self._clock() + _LEAST_LEFT
            if is_useful and intent.url:
                return intent, _Turn.READY
            if not is_useful:
                # A wrong name must not cost the tenant the page that is open.
                await self._offers.offer(tx, wanted.plan, wanted.interval)
            if not await rows.take(intent.intent_id, worker, self._lease_s):
                return intent, _Turn.WAIT
            return intent, _Turn.OPEN if is_useful else _Turn.END

    async def _is_open(self, ctx: RequestContext, intent: Intent) -> bool:
        """Whether one can pay on the page; closes the checkout of a page that is over.

        Raises:
            FailedPrecondition: ALREADY_SUBSCRIBED: it was paid.
        """
        session = await self._provider.checkout_session(intent.session_id)
        if session is not None and session.status == "open":
            return True
        is_paid = session is not None and session.status == "complete"
        async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
            state = IntentState.COMPLETED if is_paid else IntentState.EXPIRED
            await IntentRows(tx, ctx.tenant_id).close(intent.intent_id, state)
            if is_paid:
                await self._ask_refresh(tx, ctx.tenant_id)
        if is_paid:
            raise _already(_PAID)
        return False

    async def _open(self, ctx: RequestContext, intent: Intent, worker: UUID) -> None:
        """Make customer and page, and store both."""
        customer_id = await self._pages.customer(ctx, intent)
        if any(blocks(one) for one in await self._provider.subscriptions_of(customer_id)):
            # The provider knows a subscription that we have not heard of yet.
            async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
                await IntentRows(tx, ctx.tenant_id).close(intent.intent_id, IntentState.EXPIRED)
                await self._ask_refresh(tx, ctx.tenant_id)
            raise _already()
        failpoint("billing.customer_stored")
        session = await self._pages.session(ctx.tenant_id, customer_id, intent)
        failpoint("billing.session_made")
        async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
            if await IntentRows(tx, ctx.tenant_id).store(intent.intent_id, worker, session):
                await AuditTrail(tx).append(
                    ctx,
                    "billing.checkout.opened",
                    resource="subscription",
                    details={"plan": intent.plan, "interval": intent.interval.value, "session": session.id},
                )
            failpoint("billing.session_storing")

    async def _end(self, ctx: RequestContext, intent: Intent, worker: UUID) -> None:
        """Close the page of a checkout, so that nobody pays for two plans."""
        session_id = intent.session_id
        if not session_id and intent.expires_at > self._clock():
            # A process may have died between page and row: the same key gives that page, or one to close.
            customer_id = await self._pages.customer(ctx, intent)
            session_id = (await self._pages.session(ctx.tenant_id, customer_id, intent)).id
        state = IntentState.EXPIRED
        if session_id:
            # Closing a closed page changes nothing: a key of its own, so that no failed answer is repeated.
            key = provider_key(ctx.tenant_id, RPC, intent.intent_id, f"expire:{uuid7()}")
            session = await self._provider.expire_checkout(session_id, key=key)
            if session.status == "complete":
                state = IntentState.COMPLETED
        async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
            rows = IntentRows(tx, ctx.tenant_id)
            if await rows.take(intent.intent_id, worker, self._lease_s):
                await rows.close(intent.intent_id, state)
                await AuditTrail(tx).append(
                    ctx,
                    f"billing.checkout.{state.value.lower()}",
                    resource="subscription",
                    details={"plan": intent.plan, "interval": intent.interval.value},
                )
            if state is IntentState.COMPLETED:
                await self._ask_refresh(tx, ctx.tenant_id)
        if state is IntentState.COMPLETED:
            raise _already(_PAID)

    async def _ask_refresh(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        payers, livemode = PayerRows(tx, tenant_id), self._provider.livemode
        if customer_id := await payers.customer_id(livemode=livemode):
            await payers.ask_refresh(customer_id, livemode=livemode)

    async def _give_up(self, tenant_id: TenantId, intent: Intent, worker: UUID) -> None:
        async with part_of_a_checkout(self._db, tenant_id) as tx:
            rows = IntentRows(tx, tenant_id)
            if intent.session_id:
                await rows.let_go(intent.intent_id, worker)
            else:
                await rows.close(intent.intent_id, IntentState.EXPIRED)

    async def _let_go(self, tenant_id: TenantId, intent_id: UUID, worker: UUID) -> None:
        async with part_of_a_checkout(self._db, tenant_id) as tx:
            await IntentRows(tx, tenant_id).let_go(intent_id, worker)


def blocks(subscription: Subscription) -> bool:
    """Whether a tenant with this subscription must not buy another one."""
    return subscription.status.is_live or subscription.status is SubscriptionStatus.INCOMPLETE


def _already(why: str = "the tenant has a subscription") -> AlreadySubscribed:
    return AlreadySubscribed(f"{why}; change it by ChangePlan, or see it on the page of CreatePortalSession")
