"""A payment provider in memory: keys that make a write happen once, and faults before or after it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cohortlens.billing.payments.models import (
    CheckoutSession,
    Customer,
    Item,
    MeterEvent,
    PaymentProviderFailed,
    PaymentProviderUnavailable,
    Preview,
    PreviewLine,
    Price,
    Product,
    Schedule,
    Subscription,
    SubscriptionStatus,
)

START = datetime(2026, 11, 1, 9, tzinfo=UTC)
END = datetime(2026, 12, 1, 9, tzinfo=UTC)
NOW = datetime(2026, 11, 16, 9, tzinfo=UTC)


def down() -> PaymentProviderUnavailable:
    return PaymentProviderUnavailable("the payment provider cannot be reached", retry_delay_s=1.0)


class FakePayments:
    """What ``PaymentProvider`` promises, without a network.

    Attributes:
        made: How often each write took effect.
        keys: The keys that each write came with, in order.
        fails_before: Writes whose next calls fail before they take effect, with how often.
        fails_after: Writes whose next calls take effect and lose their answer, with how often.
        fails_for_key: Writes whose next keys are answered by a fault of the provider, again and again.
    """

    livemode = False

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.products_made: dict[str, Product] = {}
        self.prices_made: dict[str, Price] = {}
        self.sessions: dict[str, CheckoutSession] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.meter_events: list[MeterEvent] = []
        self.made: Counter[str] = Counter()
        self.keys: dict[str, list[str]] = defaultdict(list)
        self.fails_before: Counter[str] = Counter()
        self.fails_after: Counter[str] = Counter()
        self.fails_for_key: Counter[str] = Counter()
        self._failed_keys: set[str] = set()
        self.told: dict[str, Any] = {}
        self._answers: dict[str, tuple[Any, Any]] = {}

    async def customer(self, customer_id):
        return self.customers.get(customer_id)

    async def subscriptions_of(self, customer_id):
        found = [one for one in self.subscriptions.values() if one.customer_id == customer_id]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    async def checkout_session(self, session_id):
        return self.sessions.get(session_id)

    async def products(self):
        return list(self.products_made.values())

    async def prices(self):
        return list(self.prices_made.values())

    async def create_customer(self, tenant_id, name, email, *, key):
        def make():
            made = Customer(f"cus_{len(self.customers) + 1}", email, metadata={"tenant_id": str(tenant_id)})
            self.customers[made.id] = made
            return made

        return self._once("create_customer", key, (tenant_id, name, email), make)

    async def delete_customer(self, customer_id):
        if self.fails_before["delete_customer"] > 0:
            self.fails_before["delete_customer"] -= 1
            raise down()
        found = self.customers.get(customer_id)
        if found is None:
            return False
        if not found.deleted:
            self.made["delete_customer"] += 1
        self.customers[customer_id] = replace(found, deleted=True)
        for one in await self.subscriptions_of(customer_id):
            self.put(replace(one, status=SubscriptionStatus.CANCELED, ended_at=datetime.now(UTC)))
        return True

    async def create_product(self, name, metadata, *, key):
        def make():
            made = Product(f"prod_{len(self.products_made) + 1}", name, True, dict(metadata))
            self.products_made[made.id] = made
            return made

        return self._once("create_product", key, (name, tuple(metadata.items())), make)

    async def create_price(self, product_id, currency, amount_minor, interval, *, lookup_key, metadata, key):
        def make():
            for price in self.prices_made.values():
                if price.lookup_key == lookup_key:
                    self.prices_made[price.id] = replace(price, lookup_key="")
            made = Price(
                f"price_{len(self.prices_made) + 1}",
                product_id,
                currency,
                amount_minor,
                interval,
                True,
                self.livemode,
                lookup_key,
                dict(metadata),
            )
            self.prices_made[made.id] = made
            return made

        return self._once("create_price", key, (product_id, currency, amount_minor, interval), make)

    async def create_checkout(
        self,
        tenant_id,
        customer_id,
        price_id,
        plan,
        *,
        success_url,
        cancel_url,
        trial_days,
        expires_at,
        key,
    ):
        def make():
            made = CheckoutSession(
                f"cs_{len(self.sessions) + 1}",
                f"https://pay.test/cs_{len(self.sessions) + 1}",
                "open",
                "unpaid",
                customer_id,
                "",
                str(tenant_id),
                expires_at,
                metadata={"tenant_id": str(tenant_id), "plan": plan},
            )
            self.sessions[made.id] = made
            self.told[made.id] = {"price": price_id, "trial_days": trial_days, "success_url": success_url}
            return made

        asked = (customer_id, price_id, plan, success_url, cancel_url, trial_days, expires_at)
        return self._once("create_checkout", key, asked, make)

    async def expire_checkout(self, session_id, *, key):
        def make():
            found = self.sessions[session_id]
            if found.status == "open":
                self.sessions[session_id] = replace(found, status="expired", url="")
            return self.sessions[session_id]

        return self._once("expire_checkout", key, session_id, make)

    async def create_portal(self, customer_id, return_url, *, key):
        def make():
            return f"https://portal.test/{customer_id}/{self.made['create_portal'] + 1}"

        return self._once("create_portal", key, (customer_id, return_url), make)

    async def change_price(self, subscription, price_id, *, proration, prorated_at, key):
        def make():
            item = replace(subscription.items[0], price_id=price_id, interval=self.interval(price_id))
            return self.put(replace(subscription, items=(item,), schedule=None, schedule_id=""))

        self.told |= {"prorated_at": prorated_at, "proration": proration}
        return self._once("change_price", key, (subscription.id, price_id, proration, prorated_at), make)

    async def schedule_price(self, subscription, price_id, *, key):
        def make():
            schedule = Schedule("sub_sched_1", subscription.id, "active", price_id, END)
            self.put(replace(subscription, schedule=schedule, schedule_id=schedule.id))
            return schedule

        return self._once("schedule_price", key, (subscription.id, price_id), make)

    async def release_schedule(self, schedule_id, *, key):
        def make():
            holder = next(one for one in self.subscriptions.values() if one.schedule_id == schedule_id)
            self.put(replace(holder, schedule=None, schedule_id=""))
            return Schedule(schedule_id, "", "released")

        return self._once("release_schedule", key, schedule_id, make)

    async def cancel(self, subscription_id, *, at_period_end, key):
        def make():
            found = self.subscriptions[subscription_id]
            if at_period_end:
                return self.put(replace(found, cancel_at_period_end=True))
            at = datetime.now(UTC)
            return self.put(replace(found, status=SubscriptionStatus.CANCELED, ended_at=at))

        return self._once("cancel", key, (subscription_id, at_period_end), make)

    async def resume(self, subscription_id, *, key):
        def make():
            found = self.subscriptions[subscription_id]
            status = SubscriptionStatus.ACTIVE if found.status is SubscriptionStatus.PAUSED else found.status
            return self.put(replace(found, status=status, cancel_at_period_end=False))

        return self._once("resume", key, subscription_id, make)

    async def preview(self, subscription, price_id, *, proration):
        amount = self.prices_made[price_id].amount_minor
        return Preview("eur", amount // 2, (PreviewLine("rest of November", amount // 2, True),), NOW)

    async def send_meter_event(self, event, *, key):
        def make():
            self.meter_events.append(event)

        self._once("send_meter_event", key, event, make)

    async def close(self):
        pass

    def interval(self, price_id: str) -> str:
        return self.prices_made[price_id].interval

    def put(self, subscription: Subscription) -> Subscription:
        """Keep a subscription as it is now."""
        self.subscriptions[subscription.id] = subscription
        return subscription

    def subscribe(self, customer_id: str, price_id: str, **changes: Any) -> Subscription:
        """A subscription, as after a payment."""
        self.customers.setdefault(customer_id, Customer(customer_id))
        number = len(self.subscriptions) + 1
        item = Item(f"si_{number}", price_id, "prod_1", self.interval(price_id), 1, START, END)
        made = Subscription(
            f"sub_{number}", customer_id, SubscriptionStatus.ACTIVE, (item,), START + timedelta(number), START
        )
        return self.put(replace(made, **changes))

    def _once(self, name: str, key: str, asked: Any, make: Callable[[], Any]) -> Any:
        assert key, f"{name} came without a key"
        self.keys[name].append(key)
        if self.fails_before[name] > 0:
            self.fails_before[name] -= 1
            raise down()
        if self.fails_for_key[name] > 0 and key not in self._failed_keys:
            self.fails_for_key[name] -= 1
            self._failed_keys.add(key)
        if key in self._failed_keys:
            raise PaymentProviderFailed("the payment provider failed", retry_delay_s=1.0)
        if key in self._answers:
            before, answer = self._answers[key]
            assert before == (name, asked), f"{name}: a key was used again for something else"
        else:
            answer = make()
            self.made[name] += 1
            self._answers[key] = ((name, asked), answer)
        if self.fails_after[name] > 0:
            self.fails_after[name] -= 1
            raise down()
        return answer
