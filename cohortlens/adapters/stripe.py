"""The port ``PaymentProvider`` over Stripe: what is asked of it; ``stripe_writes`` has what is done there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from cohortlens.adapters import stripe_shapes as shapes
from cohortlens.adapters.stripe_calls import RequestRefused, StripeCalls
from cohortlens.adapters.stripe_webhooks import event_of
from cohortlens.billing.payments.models import (
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    Price,
    Product,
    Subscription,
)
from cohortlens.billing.payments.notifications import ProviderEvent

FoundT = TypeVar("FoundT")
Read = Callable[..., Awaitable[Any]]

_PAGE = 100
_PAGES_MAX = 1_000
_TYPES_MAX = 20
_EXPANDED = ("schedule", "latest_invoice")


class StripeReads:
    """Reads objects of one account; see ``ProviderReads``.

    Args:
        calls: Runs the SDK's methods.
    """

    def __init__(self, calls: StripeCalls) -> None:
        self._calls = calls
        self._v1 = calls.client.v1

    @property
    def livemode(self) -> bool:
        """Whether the key is for real money."""
        return self._calls.livemode

    async def customer(self, customer_id: str) -> Customer | None:
        """A customer, deleted ones marked; None when there never was one."""
        return await self._one(shapes.customer_of, self._v1.customers.retrieve_async, customer_id)

    async def subscriptions_of(self, customer_id: str) -> Sequence[Subscription]:
        """All subscriptions of a customer, newest first."""
        params = {
            "customer": customer_id,
            "status": "all",
            "limit": _PAGE,
            "expand": [f"data.{name}" for name in _EXPANDED],
        }
        try:
            found = [
                shapes.subscription_of(one)
                async for one in self._all(self._v1.subscriptions.list_async, params)
            ]
        except RequestRefused as fault:
            if not fault.is_missing:
                raise
            return ()
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """One subscription; None when there is none."""
        return await self._one(
            shapes.subscription_of,
            self._v1.subscriptions.retrieve_async,
            subscription_id,
            {"expand": list(_EXPANDED)},
        )

    async def invoices_of(self, customer_id: str, limit: int = 100) -> Sequence[Invoice]:
        """The latest bills of a customer, newest first."""
        params = {"customer": customer_id, "limit": min(limit, _PAGE)}
        found: list[Invoice] = []
        try:
            async for one in self._all(self._v1.invoices.list_async, params):
                found.append(shapes.invoice_of(one))
                if len(found) == limit:
                    break
        except RequestRefused as fault:
            if not fault.is_missing:
                raise
        return found

    async def invoice(self, invoice_id: str) -> Invoice | None:
        """One bill; None when there is none."""
        return await self._one(shapes.invoice_of, self._v1.invoices.retrieve_async, invoice_id)

    async def checkout_session(self, session_id: str) -> CheckoutSession | None:
        """One checkout; None when there is none."""
        return await self._one(shapes.session_of, self._v1.checkout.sessions.retrieve_async, session_id)

    async def charge(self, charge_id: str) -> Charge | None:
        """One charge; None when there is none."""
        return await self._one(shapes.charge_of, self._v1.charges.retrieve_async, charge_id)

    async def dispute(self, dispute_id: str) -> Dispute | None:
        """One dispute; None when there is none."""
        return await self._one(shapes.dispute_of, self._v1.disputes.retrieve_async, dispute_id)

    async def products(self) -> Sequence[Product]:
        """Everything that is sold."""
        pages = self._all(self._v1.products.list_async, {"limit": _PAGE})
        return [shapes.product_of(one) async for one in pages]

    async def prices(self) -> Sequence[Price]:
        """All prices."""
        pages = self._all(self._v1.prices.list_async, {"limit": _PAGE})
        return [shapes.price_of(one) async for one in pages]

    async def events_since(self, since: datetime, types: Sequence[str]) -> AsyncIterator[ProviderEvent]:
        """Events of these types since a moment, newest first within every twenty types."""
        for begin in range(0, len(types), _TYPES_MAX):
            some = list(types[begin : begin + _TYPES_MAX])
            params = {"created": {"gte": int(since.timestamp())}, "types": some, "limit": _PAGE}
            async for one in self._all(self._v1.events.list_async, params):
                yield event_of(one)

    async def _one(self, build: Callable[[Any], FoundT], read: Read, *arguments: Any) -> FoundT | None:
        try:
            return build((await self._calls.run(read, *arguments)).to_dict())
        except RequestRefused as fault:
            if fault.is_missing:
                return None
            raise

    async def _all(self, read: Read, params: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """What a list holds, page by page: each page is a call with a time limit of its own."""
        after: dict[str, Any] = {}
        for _ in range(_PAGES_MAX):
            page = (await self._calls.run(read, {**params, **after})).to_dict()
            for one in page["data"]:
                yield one
            if not page.get("has_more") or not page["data"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}
