"""Which subscription counts, and what a tenant may do by it; pure functions of what was fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cohortlens.billing.models import Access
from cohortlens.billing.payments.models import Subscription, SubscriptionStatus

_READ_ONLY = frozenset({SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED})
_IN_FORCE = frozenset({SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE})


@dataclass(frozen=True)
class Counting:
    """The subscription that counts.

    Attributes:
        subscription: None without any.
        live: How many of the customer's are live; more than one is a fault somebody must mend.
    """

    subscription: Subscription | None
    live: int


def counting(subscriptions: Sequence[Subscription]) -> Counting:
    """The one of a customer's subscriptions that counts.

    One in force goes before one that was not paid, that before one that began without a payment, that before
    one that has ended; of equals the newest.
    """
    best = max(subscriptions, key=lambda one: (_rank(one.status), one.created_at, one.id), default=None)
    return Counting(best, sum(one.status.is_live for one in subscriptions))


def _rank(status: SubscriptionStatus) -> int:
    if status in _IN_FORCE:
        return 4
    if status is SubscriptionStatus.PAST_DUE:
        return 3
    if status in _READ_ONLY:
        return 2
    return 1 if status is SubscriptionStatus.INCOMPLETE else 0


def past_due_since(
    subscription: Subscription | None, known: datetime | None, now: datetime
) -> datetime | None:
    """Since when a subscription is not paid; None unless it is past due.

    Args:
        subscription: The one that counts.
        known: What was found out before about the same subscription; a later invoice does not begin anew.
        now: The moment of the fetch; nobody is in arrears from the future.
    """
    if subscription is None or subscription.status is not SubscriptionStatus.PAST_DUE:
        return None
    invoice = subscription.latest_invoice
    billed = (invoice.finalized_at or invoice.created_at) if invoice is not None else None
    found = billed or subscription.period_start or now
    return min(one for one in (found, known, now) if one is not None)


def access_of(
    status: SubscriptionStatus | None, unpaid_since: datetime | None, grace: timedelta, now: datetime
) -> Access:
    """How far a tenant may use its plan.

    Args:
        status: Of the subscription that counts; None without any.
        unpaid_since: Since when it is past due.
        grace: How long that changes nothing.
        now: Now.
    """
    if status in _READ_ONLY:
        return Access.READ_ONLY
    if unpaid_since is not None and now - unpaid_since >= grace:
        return Access.READ_ONLY
    return Access.FULL
