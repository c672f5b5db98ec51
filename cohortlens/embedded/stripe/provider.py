"""What every part of the provider works with: its state, its time, its identifiers, its events."""

from __future__ import annotations

import copy
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cohortlens.core import clock
from cohortlens.embedded.stripe.blanks import Object, blank
from cohortlens.embedded.stripe.faults import missing
from cohortlens.embedded.stripe.store import Store

API_VERSION = "2026-10-28.endive"
_LETTERS = string.ascii_letters + string.digits
_PREFIXES = {
    "billing.meter": "mtr_test_",
    "billing.meter_event_summary": "mtrusg_test_",
    "billing_portal.configuration": "bpc_",
    "billing_portal.session": "bps_",
    "charge": "ch_",
    "checkout.session": "cs_test_",
    "customer": "cus_",
    "dispute": "du_",
    "event": "evt_",
    "invoice": "in_",
    "invoice_payment": "inpay_",
    "item": "li_",
    "line_item": "il_",
    "payment_intent": "pi_",
    "payment_method": "pm_",
    "price": "price_",
    "product": "prod_",
    "radar.early_fraud_warning": "issfr_",
    "refund": "re_",
    "setup_intent": "seti_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "subscription_schedule": "sub_sched_",
    "test_helpers.test_clock": "clock_",
    "webhook_endpoint": "we_",
}
# In the words of Stripe's errors.
_NAMES = {
    "checkout.session": "checkout session",
    "test_helpers.test_clock": "test clock",
    "webhook_endpoint": "webhook endpoint",
    "payment_method": "PaymentMethod",
}


@dataclass(frozen=True)
class Origin:
    """The request that changes something; its identifiers stand in the events.

    Attributes:
        request_id: As in the answer's ``Request-Id``; none when time alone did it.
        idempotency_key: As sent.
    """

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Provider:
    """The provider.

    Attributes:
        store: Its state.
        address: Where a browser reaches it, without a slash at the end.
        account: Identifier of the account.
        on_event: Told of every event, inside the transaction that made it.
        origin: The request at work.
        real_time: Seconds since 1970.
    """

    store: Store
    address: str
    account: str = "acct_local"
    on_event: Callable[[Object], None] = lambda _event: None
    origin: Origin = field(default_factory=Origin)
    real_time: Callable[[], int] = lambda: int(clock.now().timestamp())

    def now(self, customer: str | None = None) -> int:
        """The time of a customer: its test clock's, or everybody's."""
        found = self.store.get("customer", customer) if customer else None
        return self.clock_time(found["test_clock"]) if found and found.get("test_clock") else self.real_time()

    def clock_time(self, test_clock: str | None) -> int:
        """The time of a test clock; everybody's without one."""
        found = self.store.get("test_helpers.test_clock", test_clock) if test_clock else None
        return self.real_time() if found is None else int(found["frozen_time"])

    def make(self, kind: str, **values: Any) -> Object:
        """A new object with an identifier; ``created`` is now unless given."""
        made = blank(kind, id=values.pop("id", None) or new_id(kind), **values)
        if "created" in made and made["created"] is None:
            made["created"] = self.now(made.get("customer"))
        return made

    def get(self, kind: str, identifier: str, param: str = "id") -> Object:
        """An object that must exist.

        Raises:
            Refusal: ``resource_missing``.
        """
        found = self.store.get(kind, identifier)
        if found is None:
            raise missing(_NAMES.get(kind, kind.rpartition(".")[2]), identifier, param)
        return found

    def emit(self, kind: str, thing: Object, before: Object | None = None) -> Object:
        """Record an event about an object.

        Args:
            kind: Such as ``invoice.paid``.
            thing: The object as it is now.
            before: The object as it was, for ``previous_attributes``.
        """
        data: Object = {"object": copy.deepcopy(thing)}
        if before is not None:
            data["previous_attributes"] = {
                name: value for name, value in before.items() if thing.get(name) != value
            }
        event = self.make(
            "event",
            api_version=API_VERSION,
            created=self.real_time(),
            data=data,
            type=kind,
            request={"id": self.origin.request_id, "idempotency_key": self.origin.idempotency_key},
        )
        self.store.add(event)
        self.on_event(event)
        return event

    def change(self, thing: Object, kind: str, **values: Any) -> Object:
        """Store an object's new values and tell of it, if anything is new."""
        before = copy.deepcopy(self.store.any(thing["id"]) or {})
        thing |= values
        if thing != before:
            self.store.put(thing)
            self.emit(kind, thing, before)
        return thing


def new_id(kind: str) -> str:
    """A fresh identifier for an object of a kind."""
    length = 58 if kind == "checkout.session" else 24
    return _PREFIXES[kind] + random_text(length)


def random_text(length: int) -> str:
    """Random letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
