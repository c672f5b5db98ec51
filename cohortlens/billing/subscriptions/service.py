"""The use cases of subscriptions, wired."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.changes import SubscriptionChanges
from cohortlens.billing.subscriptions.checkout import Checkout
from cohortlens.billing.subscriptions.living import LivingSubscriptions
from cohortlens.billing.subscriptions.offers import Offers, Terms
from cohortlens.billing.subscriptions.reads import SubscriptionReads
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.core.db import Database


@dataclass(frozen=True)
class Subscriptions:
    """What a tenant does about its subscription, one attribute per file."""

    reads: SubscriptionReads
    checkout: Checkout
    changes: SubscriptionChanges

    @classmethod
    def over(cls, db: Database, provider: PaymentProvider, terms: Terms, urls: ReturnUrls) -> Subscriptions:
        """Wire the use cases.

        Args:
            db: Database as the runtime role.
            provider: Where subscriptions are paid.
            terms: How this installation sells.
            urls: Judges return addresses.
        """
        offers = Offers(terms, provider)
        living = LivingSubscriptions(db, provider, offers)
        return cls(
            SubscriptionReads(db),
            Checkout(db, provider, offers, urls),
            SubscriptionChanges(db, provider, offers, living, urls),
        )
