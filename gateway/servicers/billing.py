"""BillingService: its servicers in one."""

from __future__ import annotations

from types import SimpleNamespace

from cohortlens.bootstrap.billing import Billing
from cohortlens.core.paging import PageTokens
from gateway.servicers.billing_plans import BillingPlansServicer
from gateway.servicers.billing_platform import BillingPlatformServicer
from gateway.servicers.billing_subscription import BillingSubscriptionServicer
from gateway.servicers.billing_usage import BillingUsageServicer
from gateway.servicers.joined import joined


def billing_servicer(billing: Billing, tokens: PageTokens) -> SimpleNamespace:
    """The servicer of ``cohortlens.v1.BillingService``.

    Args:
        billing: The use cases.
        tokens: Seals the tokens of lists.
    """
    return joined(
        BillingPlansServicer(billing.catalogue, billing.overrides),
        BillingPlatformServicer(billing.operations, tokens),
        BillingSubscriptionServicer(billing.subscriptions, tokens),
        BillingUsageServicer(billing.usage.reading, tokens),
    )
