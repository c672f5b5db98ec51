"""A process in which an owner buys or changes a plan at the stand-in, and that dies at a point as by ``kill -9``.

Arguments: address of PostgreSQL as the runtime role, address and key of the stand-in, tenant, user, point, and the
plan: ``buy`` opens a checkout, ``change`` changes the subscription.
"""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.billing.models import Interval
from cohortlens.billing.subscriptions.checkout import Checkout
from cohortlens.billing.subscriptions.offers import Offers, Terms
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.billing.subscriptions.service import Subscriptions
from cohortlens.core.db import Database
from cohortlens.core.failpoints import arm
from cohortlens.core.ids import TenantId, UserId
from tests.fixtures.tenants import RegisteredTenant

LEASE_S = 1.0


async def main(url: str, stripe: str, key: str, tenant: str, user: str, point: str, act: str) -> None:
    db = Database(url, 2)
    provider = StripeProvider(StripeCalls(key, stripe))
    terms, urls = Terms("eur"), ReturnUrls("https://app.shop.example")
    ctx = RegisteredTenant(TenantId(UUID(tenant)), UserId(UUID(user)), "").context()
    arm(point, "test")
    if act == "buy":
        checkout = Checkout(db, provider, Offers(terms, provider), urls, lease_s=LEASE_S)
        await checkout.create(ctx, plan="professional", interval=Interval.MONTH)
    else:
        await Subscriptions.over(db, provider, terms, urls).changes.change_plan(ctx, plan="enterprise")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:8]))
