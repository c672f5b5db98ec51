"""What the page of plan and usage says on top: what is wrong or will change, until when, what to press."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cohortlens.v1 import billing_plans_pb2 as plans_pb
from cohortlens.v1 import billing_subscription_pb2 as pb
from gateway.http.pages.billing.figures import count, minute
from gateway.http.pages.billing.view import Replies

_OPEN: Final = "Reading, exporting, deleting and paying still work; adding data and running models do not."
_PORTAL, _PAY = "portal", "Pay or change the card"


@dataclass(frozen=True)
class Banner:
    """One message.

    Attributes:
        kind: ``fault``, ``warn`` or ``info``.
        heading: What is the matter.
        text: Until when, and what to do.
        act: What its button does: ``portal``, ``keep`` the plan that runs, or empty for no button.
        button: Text of the button.
    """

    kind: str
    heading: str
    text: str
    act: str = ""
    button: str = ""


def banners(seen: Replies) -> list[Banner]:
    """All that apply, the gravest first."""
    return [one for rule in _RULES for one in rule(seen)]


def _access(seen: Replies) -> Iterator[Banner]:
    access = seen.entitlement.entitlement.access
    if access == plans_pb.PLAN_ACCESS_NONE:
        yield Banner(
            "fault",
            "This organisation is suspended",
            "Nothing but this page works. Pay what is open, or ask the operator of this installation.",
            _PORTAL if seen.subscription.status != pb.SUBSCRIPTION_STATUS_NONE else "",
            "See invoices and payment",
        )
    elif access == plans_pb.PLAN_ACCESS_READ_ONLY:
        yield _read_only(seen)
    elif seen.subscription.status == pb.SUBSCRIPTION_STATUS_PAST_DUE:
        yield Banner(
            "warn",
            "The last payment failed",
            f"Everything works {_grace(seen)}. If it is not paid by then, you can only read.",
            _PORTAL,
            _PAY,
        )


def _grace(seen: Replies) -> str:
    subscription = seen.subscription
    has_end = subscription.HasField("grace_end_time")
    return f"until {minute(subscription.grace_end_time)}" if has_end else "during the time of grace"


def _read_only(seen: Replies) -> Banner:
    status, stored = seen.subscription.status, seen.entitlement.stored
    if status in {pb.SUBSCRIPTION_STATUS_PAST_DUE, pb.SUBSCRIPTION_STATUS_UNPAID}:
        return Banner("fault", "Read-only: a payment is overdue", _OPEN, _PORTAL, _PAY)
    if status == pb.SUBSCRIPTION_STATUS_PAUSED:
        text = f"Add a card, then keep the plan. {_OPEN}"
        return Banner("fault", "Read-only: the subscription is paused", text, _PORTAL, "Add a card")
    if stored.HasField("over_limit_since"):
        since = minute(stored.over_limit_since)
        text = f"More is stored than the plan allows since {since}. Delete some of it or upgrade. {_OPEN}"
        return Banner("fault", "Read-only: over the limits of the plan", text)
    return Banner("fault", "Read-only", _OPEN)


def _over_limit(seen: Replies) -> Iterator[Banner]:
    stored, entitlement = seen.entitlement.stored, seen.entitlement.entitlement
    is_full = entitlement.access == plans_pb.PLAN_ACCESS_FULL
    if not is_full or not stored.HasField("over_limit_since"):
        return
    over = stored.customers - entitlement.limits.max_customers
    what = (
        f"{count(over)} customers more than the plan allows"
        if over > 0
        else "More users than the plan allows"
    )
    until = ""
    if stored.HasField("read_only_time"):
        until = f" From {minute(stored.read_only_time)} you can only read."
    text = f"{what}. Nothing is deleted; nothing can be added. Delete some or upgrade.{until}"
    yield Banner("warn", "Over the limits of the plan", text)


def _ending(seen: Replies) -> Iterator[Banner]:
    subscription = seen.subscription
    if subscription.cancel_at_period_end and subscription.HasField("current_period_end"):
        text = (
            f"The plan ends on {minute(subscription.current_period_end)}. Until then everything works; "
            f"afterwards you have {seen.name_of('basic')}. Nothing you have stored is deleted."
        )
        yield Banner("warn", "The plan is cancelled", text)
    elif subscription.status == pb.SUBSCRIPTION_STATUS_TRIALING and subscription.HasField("trial_end"):
        text = (
            f"It ends on {minute(subscription.trial_end)}. With a card on file the plan goes on and is "
            "charged; without one that payment fails, and you can only read once the time of grace is over."
        )
        yield Banner("info", "This is a trial", text, _PORTAL, "Check the card on file")


def _planned(seen: Replies) -> Iterator[Banner]:
    subscription = seen.subscription
    if subscription.planned_plan and subscription.HasField("planned_change_time"):
        name, when = seen.name_of(subscription.planned_plan), minute(subscription.planned_change_time)
        own = seen.name_of(subscription.plan)
        text = f"From {when} you have the plan {name}. Until then you keep {own}."
        yield Banner("info", f"Changes to {name}", text, "keep", f"Keep {own}")


def _first_payment(seen: Replies) -> Iterator[Banner]:
    if seen.subscription.status == pb.SUBSCRIPTION_STATUS_INCOMPLETE:
        text = "The subscription begins once its first payment has gone through; your plan is as before."
        yield Banner("warn", "The first payment is open", text, _PORTAL, "Finish the payment")


_RULES: Final[tuple[Callable[[Replies], Iterator[Banner]], ...]] = (
    _access,
    _over_limit,
    _first_payment,
    _ending,
    _planned,
)
