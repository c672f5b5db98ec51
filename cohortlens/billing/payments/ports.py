"""What billing needs of a payment provider, and what the inbox needs of the rest of billing.

Every method that talks to the provider ends within ten seconds and raises ``PaymentProviderUnavailable`` when
it cannot be reached, is overloaded, or refuses our key. ``key`` of a write makes it happen once: the same key
gives the answer of the first call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.payments.models import (
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    MeterEvent,
    Preview,
    Price,
    Product,
    Proration,
    Schedule,
    Subscription,
)
from cohortlens.billing.payments.notifications import ProviderEvent
from cohortlens.core.ids import TenantId


class ProviderReads(Protocol):
    """What is asked of the provider."""

    @property
    def livemode(self) -> bool:
        """Whether the key is for real money."""

    async def customer(self, customer_id: str) -> Customer | None:
        """A customer, deleted ones marked; None when the provider never had it."""

    async def subscriptions_of(self, customer_id: str) -> Sequence[Subscription]:
        """All subscriptions of a customer, ended ones too, with schedule and latest invoice; newest first."""

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """One subscription; None when there is none."""

    async def invoices_of(self, customer_id: str, limit: int = 100) -> Sequence[Invoice]:
        """The latest invoices of a customer, newest first."""

    async def invoice(self, invoice_id: str) -> Invoice | None:
        """One invoice; None when there is none, as after the deletion of a draft."""

    async def checkout_session(self, session_id: str) -> CheckoutSession | None:
        """One checkout; None when there is none."""

    async def charge(self, charge_id: str) -> Charge | None:
        """One charge; None when there is none."""

    async def dispute(self, dispute_id: str) -> Dispute | None:
        """One dispute; None when there is none."""

    async def products(self) -> Sequence[Product]:
        """Everything that is sold, inactive ones too."""

    async def prices(self) -> Sequence[Price]:
        """All prices, inactive ones too."""

    def events_since(self, since: datetime, types: Sequence[str]) -> AsyncIterator[ProviderEvent]:
        """Events of these types that happened at ``since`` or later; the provider keeps them for 30 days."""


class ProviderWrites(Protocol):
    """What is done at the provider."""

    async def create_customer(self, tenant_id: TenantId, name: str, email: str, *, key: str) -> Customer:
        """Make a customer for a tenant."""

    async def delete_customer(self, customer_id: str) -> bool:
        """Delete a customer for good, which ends its subscriptions at once; False when there never was one.

        Once more changes nothing.
        """

    async def create_product(self, name: str, metadata: Mapping[str, str], *, key: str) -> Product:
        """Make a product."""

    async def create_price(
        self,
        product_id: str,
        currency: str,
        amount_minor: int,
        interval: str,
        *,
        lookup_key: str,
        metadata: Mapping[str, str],
        key: str,
    ) -> Price:
        """Make a price; one that holds the lookup key loses it."""

    async def create_checkout(
        self,
        tenant_id: TenantId,
        customer_id: str,
        price_id: str,
        plan: str,
        *,
        success_url: str,
        cancel_url: str,
        trial_days: int,
        expires_at: datetime | None,
        key: str,
    ) -> CheckoutSession:
        """Open a page on which the customer subscribes; tenant and plan are written on it."""

    async def expire_checkout(self, session_id: str, *, key: str) -> CheckoutSession:
        """Close such a page; one that is over is given as it is."""

    async def create_portal(self, customer_id: str, return_url: str, *, key: str) -> str:
        """Open a page on which the customer sees invoices and changes cards; answers its address."""

    async def change_price(
        self,
        subscription: Subscription,
        price_id: str,
        *,
        proration: Proration,
        prorated_at: datetime | None,
        key: str,
    ) -> Subscription:
        """Change the price now.

        Raises:
            PaymentRefused: The card was declined; nothing has changed.
        """

    async def schedule_price(self, subscription: Subscription, price_id: str, *, key: str) -> Schedule:
        """Change the price when the period ends; replaces what was planned before."""

    async def release_schedule(self, schedule_id: str, *, key: str) -> Schedule:
        """Drop a planned change; the subscription goes on as it is."""

    async def cancel(self, subscription_id: str, *, at_period_end: bool, key: str) -> Subscription:
        """End a subscription now or with the paid period."""

    async def resume(self, subscription_id: str, *, key: str) -> Subscription:
        """Take back that it ends with the period, or wake a paused one."""

    async def preview(self, subscription: Subscription, price_id: str, *, proration: Proration) -> Preview:
        """What a change of price now would cost; changes nothing."""

    async def send_meter_event(self, event: MeterEvent, *, key: str) -> None:
        """Tell usage."""


class PaymentProvider(ProviderReads, ProviderWrites, Protocol):
    """A payment provider."""

    async def close(self) -> None:
        """Close its connections."""


class WebhookVerifier(Protocol):
    """Knows genuine notifications from others; needs no network."""

    def verify(self, payload: bytes, signature: str) -> ProviderEvent:
        """The event in the exact bytes of a notification.

        Args:
            payload: The body as it came.
            signature: The header that signs it; empty when there was none.

        Raises:
            WebhookSignatureInvalid: No secret signs it, or it is over 300 s away from now, before or after.
            WebhookEnvironmentMismatch: It is of another account, or about another kind of money.
        """


class CheckoutOutcomes(Protocol):
    """Told when the provider ended a checkout; part of the transaction that applies the event."""

    async def settled(self, tx: AsyncConnection, tenant_id: TenantId, session: CheckoutSession) -> None:
        """Close or free what is kept about a checkout of the tenant; may be told twice."""
