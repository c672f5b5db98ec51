"""The port ``PaymentProvider`` over Stripe: what is done there; every call carries an idempotency key."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cohortlens.adapters import stripe_shapes as shapes
from cohortlens.adapters.stripe_calls import WRITE_RETRIES, RequestRefused, StripeCalls, unavailable
from cohortlens.billing.payments.models import (
    CheckoutSession,
    Customer,
    MeterEvent,
    Preview,
    PreviewLine,
    Price,
    Product,
    Proration,
    Schedule,
    Subscription,
    SubscriptionStatus,
)
from cohortlens.core.ids import TenantId

Write = Callable[..., Awaitable[Any]]

_PRORATIONS: Final[Mapping[Proration, str]] = {
    Proration.CREATE: "create_prorations",
    Proration.INVOICE_NOW: "always_invoice",
    Proration.NONE: "none",
}
_EXPANDED = ["schedule", "latest_invoice"]
_HOLDING = frozenset({"active", "not_started"})
_KEY_IN_USE = "idempotency_key_in_use"


class StripeWrites:
    """Changes objects of one account; see ``ProviderWrites``.

    Args:
        calls: Runs the SDK's methods.
    """

    def __init__(self, calls: StripeCalls) -> None:
        self._calls = calls
        self._v1 = calls.client.v1

    async def create_customer(self, tenant_id: TenantId, name: str, email: str, *, key: str) -> Customer:
        """Make a customer for a tenant."""
        params = {"name": name, "email": email, "metadata": {"tenant_id": str(tenant_id)}}
        return shapes.customer_of(await self._write(self._v1.customers.create_async, params, key=key))

    async def delete_customer(self, customer_id: str) -> bool:
        """Delete a customer for good; one that is deleted stays so. No key: Stripe needs none here."""
        customers = self._v1.customers
        try:
            await self._calls.run(customers.delete_async, customer_id)
        except RequestRefused as fault:
            if not fault.is_missing:
                raise
            # Stripe calls a deleted one missing too; read, it is there and says so.
            return await self._was_there(customer_id)
        return True

    async def create_product(self, name: str, metadata: Mapping[str, str], *, key: str) -> Product:
        """Make a product."""
        params = {"name": name, "metadata": dict(metadata)}
        return shapes.product_of(await self._write(self._v1.products.create_async, params, key=key))

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
        params = {
            "product": product_id,
            "currency": currency,
            "unit_amount": amount_minor,
            "recurring": {"interval": interval},
            "lookup_key": lookup_key,
            "transfer_lookup_key": True,
            "metadata": dict(metadata),
        }
        return shapes.price_of(await self._write(self._v1.prices.create_async, params, key=key))

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
        """Open a page on which the customer subscribes."""
        told = {"tenant_id": str(tenant_id), "plan": plan}
        subscription: dict[str, Any] = {"metadata": told}
        if trial_days:
            subscription["trial_period_days"] = trial_days
        params: dict[str, Any] = {
            "mode": "subscription",
            "customer": customer_id,
            "client_reference_id": str(tenant_id),
            "line_items": [{"price": price_id, "quantity": 1}],
            "metadata": told,
            "subscription_data": subscription,
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if expires_at is not None:
            params["expires_at"] = int(expires_at.timestamp())
        return shapes.session_of(await self._write(self._v1.checkout.sessions.create_async, params, key=key))

    async def expire_checkout(self, session_id: str, *, key: str) -> CheckoutSession:
        """Close such a page; one that is over is given as it is."""
        sessions = self._v1.checkout.sessions
        try:
            return shapes.session_of(await self._write(sessions.expire_async, session_id, key=key))
        except RequestRefused:
            session = shapes.session_of(await self._read(sessions.retrieve_async, session_id))
            if session.status == "open":
                raise
            return session

    async def create_portal(self, customer_id: str, return_url: str, *, key: str) -> str:
        """Open a page on which the customer sees bills and changes cards."""
        params = {"customer": customer_id, "return_url": return_url}
        made = await self._write(self._v1.billing_portal.sessions.create_async, params, key=key)
        return str(made["url"])

    async def change_price(
        self,
        subscription: Subscription,
        price_id: str,
        *,
        proration: Proration,
        prorated_at: datetime | None,
        key: str,
    ) -> Subscription:
        """Change the price now; when the payment fails, nothing has changed."""
        params: dict[str, Any] = {
            "items": [_item(subscription, price_id)],
            "proration_behavior": _PRORATIONS[proration],
            "payment_behavior": "error_if_incomplete",
            "expand": _EXPANDED,
        }
        if prorated_at is not None and proration is not Proration.NONE:
            params["proration_date"] = int(prorated_at.timestamp())
        made = await self._write(self._v1.subscriptions.update_async, subscription.id, params, key=key)
        return shapes.subscription_of(made)

    async def schedule_price(self, subscription: Subscription, price_id: str, *, key: str) -> Schedule:
        """Change the price when the period ends; replaces what was planned before."""
        schedules = self._v1.subscription_schedules
        if subscription.schedule_id:
            held = await self._read(schedules.retrieve_async, subscription.schedule_id)
        else:
            params = {"from_subscription": subscription.id}
            held = await self._write(schedules.create_async, params, key=f"{key}:hold")
        price = await self._read(self._v1.prices.retrieve_async, price_id)
        item = subscription.items[0]
        phases = [
            {"items": [{"price": item.price_id, "quantity": item.quantity}], **_running(held)},
            {
                "items": [{"price": price_id, "quantity": item.quantity}],
                "duration": {"interval": price["recurring"]["interval"], "interval_count": 1},
                "proration_behavior": "none",
            },
        ]
        # After its one period the schedule lets go, and the subscription goes on with the new price.
        plan = {"phases": phases, "end_behavior": "release", "proration_behavior": "none"}
        made = await self._write(schedules.update_async, held["id"], plan, key=f"{key}:plan")
        return shapes.schedule_of(made)

    async def release_schedule(self, schedule_id: str, *, key: str) -> Schedule:
        """Drop a planned change; one that was dropped before is given as it is."""
        schedules = self._v1.subscription_schedules
        try:
            return shapes.schedule_of(await self._write(schedules.release_async, schedule_id, key=key))
        except RequestRefused:
            schedule = shapes.schedule_of(await self._read(schedules.retrieve_async, schedule_id))
            if schedule.status in _HOLDING:
                raise
            return schedule

    async def cancel(self, subscription_id: str, *, at_period_end: bool, key: str) -> Subscription:
        """End a subscription now or with the paid period."""
        if at_period_end:
            return await self._ends_with_period(subscription_id, ends=True, key=key)
        params = {"invoice_now": False, "prorate": False}
        try:
            made = await self._write(self._v1.subscriptions.cancel_async, subscription_id, params, key=key)
        except RequestRefused:
            found = await self._subscription(subscription_id)
            if found.status is not SubscriptionStatus.CANCELED:
                raise
            return found
        return shapes.subscription_of(made)

    async def resume(self, subscription_id: str, *, key: str) -> Subscription:
        """Take back that it ends with the period, or wake a paused one."""
        found = await self._subscription(subscription_id)
        if found.status is not SubscriptionStatus.PAUSED:
            return await self._ends_with_period(subscription_id, ends=False, key=key)
        params = {"expand": _EXPANDED}
        made = await self._write(self._v1.subscriptions.resume_async, subscription_id, params, key=key)
        return shapes.subscription_of(made)

    async def preview(self, subscription: Subscription, price_id: str, *, proration: Proration) -> Preview:
        """What a change of price now would cost; changes nothing."""
        params = {
            "customer": subscription.customer_id,
            "subscription": subscription.id,
            "subscription_details": {
                "items": [_item(subscription, price_id)],
                "proration_behavior": _PRORATIONS[proration],
            },
        }
        shape = await self._read(self._v1.invoices.create_preview_async, params)
        lines = shape["lines"]["data"]
        # Stripe's clock, which is another one in its tests: what is prorated begins at the change.
        begins = [one["period"]["start"] for one in lines if _is_proration(one)]
        return Preview(
            currency=shape["currency"],
            amount_due_minor=int(shape["amount_due"]),
            lines=tuple(_line(one) for one in lines),
            prorated_at=datetime.fromtimestamp(min(begins, default=int(time.time())), UTC),
        )

    async def send_meter_event(self, event: MeterEvent, *, key: str) -> None:
        """Tell usage; what Stripe has under this identifier already counts as told."""
        params = {
            "event_name": event.name,
            "payload": {"stripe_customer_id": event.customer_id, "value": str(event.value)},
            "identifier": event.identifier,
            "timestamp": int(event.at.timestamp()),
        }
        try:
            await self._write(self._v1.billing.meter_events.create_async, params, key=key)
        except RequestRefused as fault:
            if fault.param != "identifier":
                raise

    async def _ends_with_period(self, subscription_id: str, *, ends: bool, key: str) -> Subscription:
        params = {"cancel_at_period_end": ends, "expand": _EXPANDED}
        made = await self._write(self._v1.subscriptions.update_async, subscription_id, params, key=key)
        return shapes.subscription_of(made)

    async def _was_there(self, customer_id: str) -> bool:
        try:
            found = await self._read(self._v1.customers.retrieve_async, customer_id)
        except RequestRefused as fault:
            if not fault.is_missing:
                raise
            return False
        return bool(found.get("deleted"))

    async def _subscription(self, subscription_id: str) -> Subscription:
        params = {"expand": _EXPANDED}
        found = await self._read(self._v1.subscriptions.retrieve_async, subscription_id, params)
        return shapes.subscription_of(found)

    async def _read(self, method: Write, *arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self._calls.run(method, *arguments)).to_dict()
        return found

    async def _write(self, method: Write, *arguments: Any, key: str) -> dict[str, Any]:
        options = {"idempotency_key": key, "max_network_retries": WRITE_RETRIES}
        try:
            made = await self._calls.run(method, *arguments, options=options)
        except RequestRefused as fault:
            if fault.stripe_code == _KEY_IN_USE:
                # The same write is under way in another process; its answer is there in a moment.
                raise unavailable(1.0) from None
            raise
        shape: dict[str, Any] = made.to_dict()
        return shape


def _item(subscription: Subscription, price_id: str) -> dict[str, Any]:
    item = subscription.items[0]
    return {"id": item.id, "price": price_id, "quantity": item.quantity}


def _running(schedule: Mapping[str, Any]) -> dict[str, int]:
    """Bounds of the phase that runs, with its trial: what is left out of a phase would end."""
    current = schedule["current_phase"]
    bounds = {"start_date": current["start_date"], "end_date": current["end_date"]}
    trials = [
        phase["trial_end"]
        for phase in schedule["phases"]
        if phase["start_date"] == current["start_date"] and phase.get("trial_end")
    ]
    return bounds | ({"trial_end": trials[0]} if trials else {})


def _line(shape: Mapping[str, Any]) -> PreviewLine:
    return PreviewLine(
        description=shape.get("description") or "",
        amount_minor=int(shape["amount"]),
        is_proration=_is_proration(shape),
    )


def _is_proration(shape: Mapping[str, Any]) -> bool:
    parent = shape.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return bool(details.get("proration"))
