"""The use cases of subscriptions, wired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from cohortlens.billing.subscriptions.changes import SubscriptionChanges
from cohortlens.billing.subscriptions.checkout import Checkout
from cohortlens.billing.subscriptions.ending import SubscriptionEnding
from cohortlens.billing.subscriptions.living import LivingSubscriptions
from cohortlens.billing.subscriptions.meter_export import MeterExport
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
    catalogue: CatalogueSync
    export: MeterExport
    ending: SubscriptionEnding

    @classmethod
    def over(
        cls,
        db: Database,
        provider: PaymentProvider,
        terms: Terms,
        urls: ReturnUrls,
        meters: Mapping[str, str] | None = None,
    ) -> Subscriptions:
        """Wire the use cases.

        Args:
            db: Database as the runtime role; catalogue and export need the role of jobs.
            provider: Where subscriptions are paid.
            terms: How this installation sells.
            urls: Judges return addresses.
            meters: The provider's event name of each meter that is told; none when None.
        """
        offers = Offers(terms, provider)
        living = LivingSubscriptions(db, provider, offers, terms.grace)
        return cls(
            SubscriptionReads(db, terms.grace),
            Checkout(db, provider, offers, urls),
            SubscriptionChanges(db, provider, offers, living, urls),
            CatalogueSync(db, provider),
            MeterExport(db, provider, meters or {}),
            SubscriptionEnding(db, provider),
        )
