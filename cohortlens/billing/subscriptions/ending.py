"""The end of what a deleted tenant pays for: at its deletion, and for certain before it is erased.

At once, not with the paid period: until then an open invoice could be collected, a page paid, or the end
taken back at the provider. Whoever brings the tenant back subscribes anew.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.payments.alarms import alarm
from cohortlens.billing.payments.models import PaymentProviderUnavailable, Subscription
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.checkout import blocks
from cohortlens.billing.subscriptions.intent_rows import IntentRows
from cohortlens.billing.subscriptions.living import ASKED
from cohortlens.billing.subscriptions.models import IntentState
from cohortlens.billing.subscriptions.payer_rows import Account, PayerRows
from cohortlens.billing.subscriptions.provider_keys import provider_key
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.tenancy.tenant_rows import TenantRows

_RPC = "DeleteTenant"
_ACTION = "billing.subscription.canceled"
_WHO = Actor("job", "tenant_deletion")
_LOG = get_logger(__name__)


class SubscriptionEnding:
    """Ends the subscriptions of tenants that were deleted.

    Args:
        db: Database as the role of jobs.
        provider: Where they are paid.
    """

    def __init__(self, db: Database, provider: PaymentProvider) -> None:
        self._db = db
        self._provider = provider

    async def end(self, tenant_id: TenantId) -> None:
        """End what a deleted tenant pays for; nothing happens to one that came back. May run again.

        Raises:
            PaymentProviderUnavailable: The provider cannot be reached, or its key is not for the customer.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            tenant = await TenantRows(tx, tenant_id).get()
            account = await PayerRows(tx, tenant_id).account()
        if tenant is None or tenant.status != "DELETING" or account is None:
            return
        if self._is_in_reach(tenant_id, account):
            await self._end(tenant_id, account)

    async def erase(self, tenant_id: TenantId) -> None:
        """End what a tenant pays for and delete its customer, before its rows are erased. May run again.

        Raises:
            PaymentProviderUnavailable: The provider cannot be reached, or its key is not for the customer.
            FailedPrecondition: The provider does not know a customer that pays real money.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            account = await PayerRows(tx, tenant_id).account()
        if account is None or not self._is_in_reach(tenant_id, account):
            return
        await self._end(tenant_id, account)
        # No page of it can be paid any more, and its name and address go.
        is_gone = await self._provider.delete_customer(account.customer_id)
        failpoint("billing.customer_deleted")
        if not is_gone and account.livemode:
            self.given_up(tenant_id)
            raise FailedPrecondition(
                "the payment provider does not know the customer that pays for the tenant; is"
                " COHORTLENS_STRIPE_API_KEY of the account in which the tenant subscribed?",
                reason="SUBSCRIPTION_NOT_ENDED",
            )
        async with self._db.tenant_transaction(tenant_id) as tx:
            details = {"customer": account.customer_id, "was_known": is_gone}
            await AuditTrail(tx).append(
                _WHO, "billing.customer.deleted", resource="subscription", details=details
            )

    def given_up(self, tenant_id: TenantId) -> None:
        """Wake the operator: a deleted tenant may still be charged."""
        alarm("deleted_tenant_pays", tenant_id=str(tenant_id), next="end the subscription at the provider")

    def _is_in_reach(self, tenant_id: TenantId, account: Account) -> bool:
        """Whether the key is for the customer; test money charges nobody, real money must be stopped.

        Raises:
            PaymentProviderUnavailable: Real money, and no key for it.
        """
        try:
            livemode = self._provider.livemode
        except PaymentProviderUnavailable:
            if account.livemode:
                self.given_up(tenant_id)
                raise
            livemode = True
        if account.livemode and not livemode:
            self.given_up(tenant_id)
            raise PaymentProviderUnavailable(
                "a deleted tenant pays real money and COHORTLENS_STRIPE_API_KEY is of test mode; its"
                " operator sets the key of live mode"
            )
        if livemode != account.livemode:
            _LOG.warning("test_customer_left", tenant=tenant_id, customer=account.customer_id)
        return livemode == account.livemode

    async def _end(self, tenant_id: TenantId, account: Account) -> None:
        # The page first: what is paid on it until then is a subscription that is found below.
        await self._close_page(tenant_id)
        found = [one for one in await self._provider.subscriptions_of(account.customer_id) if blocks(one)]
        for one in found:
            await self._cancel(tenant_id, one)

    async def _close_page(self, tenant_id: TenantId) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            intent = await IntentRows(tx, tenant_id).open()
        if intent is None:
            return
        # The address of a page without a stored session is known to nobody, so nobody pays on it.
        if intent.session_id:
            await self._provider.expire_checkout(
                intent.session_id, key=provider_key(tenant_id, _RPC, uuid7(), "expire")
            )
        async with self._db.tenant_transaction(tenant_id) as tx:
            if await IntentRows(tx, tenant_id).close(intent.intent_id, IntentState.EXPIRED):
                await self._note(tx, "billing.checkout.expired", plan=intent.plan)

    async def _cancel(self, tenant_id: TenantId, found: Subscription) -> None:
        told = {"subscription": found.id, "why": "the tenant was deleted"}
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._note(tx, ASKED, change=_ACTION, **told)
        # Each try reads first what is left to end, so it needs no key of the tries before.
        if found.schedule_id:
            key = provider_key(tenant_id, _RPC, uuid7(), "release")
            await self._provider.release_schedule(found.schedule_id, key=key)
        key = provider_key(tenant_id, _RPC, uuid7(), "cancel")
        await self._provider.cancel(found.id, at_period_end=False, key=key)
        failpoint("billing.subscription_ended")
        async with self._db.tenant_transaction(tenant_id) as tx:
            await PayerRows(tx, tenant_id).ask_refresh(found.customer_id, livemode=found.livemode)
            await self._note(tx, _ACTION, **told)

    async def _note(self, tx: AsyncConnection, action: str, **details: str) -> None:
        await AuditTrail(tx).append(_WHO, action, resource="subscription", details=details)
