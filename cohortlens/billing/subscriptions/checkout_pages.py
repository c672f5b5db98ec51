"""What a checkout makes at the provider: the tenant's customer, and the page on which it pays."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.payments.models import CheckoutSession
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.models import Intent
from cohortlens.billing.subscriptions.payer_rows import Payer, PayerRows
from cohortlens.billing.subscriptions.provider_keys import provider_key
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.failpoints import failpoint
from cohortlens.core.idempotency import no_effect
from cohortlens.core.ids import TenantId

RPC = "CreateCheckoutSession"


class CheckoutPages:
    """Makes customers and pages, each under a key made of the checkout.

    Args:
        db: Database as the runtime role.
        provider: Where they are made.
    """

    def __init__(self, db: Database, provider: PaymentProvider) -> None:
        self._db = db
        self._provider = provider

    async def customer(self, ctx: RequestContext, intent: Intent) -> str:
        """The tenant's customer at the provider; made and stored when there is none."""
        async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
            rows = PayerRows(tx, ctx.tenant_id)
            known = await rows.customer_id(livemode=self._provider.livemode)
            payer = await rows.payer(ctx.caller.user_id)
        if known and await self._exists(known):
            return known
        key = provider_key(ctx.tenant_id, RPC, intent.intent_id, f"customer:{_told(payer, known)}")
        made = await self._provider.create_customer(ctx.tenant_id, payer.name, payer.email, key=key)
        failpoint("billing.customer_made")
        async with part_of_a_checkout(self._db, ctx.tenant_id) as tx:
            stored = await PayerRows(tx, ctx.tenant_id).store_customer(
                made.id, livemode=self._provider.livemode, email=payer.email, instead_of=known
            )
            if stored == made.id:
                await AuditTrail(tx).append(
                    ctx, "billing.customer.created", resource="subscription", details={"customer": made.id}
                )
        return stored

    async def _exists(self, customer_id: str) -> bool:
        customer = await self._provider.customer(customer_id)
        return customer is not None and not customer.deleted

    async def session(self, tenant_id: TenantId, customer_id: str, intent: Intent) -> CheckoutSession:
        """The page of a checkout; the same one for the same checkout and customer."""
        return await self._provider.create_checkout(
            tenant_id,
            customer_id,
            intent.price_id,
            intent.plan,
            success_url=intent.success_url,
            cancel_url=intent.cancel_url,
            trial_days=intent.trial_days,
            expires_at=intent.expires_at,
            # Another customer is another page: one that was deleted cannot pay.
            key=provider_key(tenant_id, RPC, intent.intent_id, f"session:{customer_id}"),
        )


@asynccontextmanager
async def part_of_a_checkout(db: Database, tenant_id: TenantId) -> AsyncIterator[AsyncConnection]:
    """A transaction that is one step of a checkout: no key of a request is done with it.

    Args:
        db: Database as the runtime role.
        tenant_id: The tenant.
    """
    async with db.tenant_transaction(tenant_id) as tx:
        # A repeat goes on where this call stopped, and answers what it answers.
        no_effect(tx)
        yield tx


def _told(payer: Payer, known: str) -> str:
    """A digest of what the customer is made of: a key may not come with other values."""
    text = "\n".join((payer.name, payer.email, known))
    return hashlib.sha256(text.encode()).hexdigest()
