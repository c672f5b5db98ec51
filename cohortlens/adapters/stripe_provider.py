"""The payment provider that the settings ask for."""

from __future__ import annotations

from typing import cast

from cohortlens.adapters.no_payments import NoPayments
from cohortlens.adapters.stripe import StripeReads
from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_writes import StripeWrites
from cohortlens.billing.payments.ports import PaymentProvider


class StripeProvider(StripeReads, StripeWrites):
    """Stripe as a ``PaymentProvider``.

    Args:
        calls: Runs the SDK's methods; closed with the provider.
    """

    async def close(self) -> None:
        """Close its connections."""
        await self._calls.close()


def payment_provider(key: str, api_base: str = "") -> PaymentProvider:
    """Stripe by its key; without one a provider that says what is missing.

    Args:
        key: Secret key of the account; empty for an installation without payments.
        api_base: Address of the API; Stripe's when empty.
    """
    if not key:
        return cast("PaymentProvider", NoPayments())
    return StripeProvider(StripeCalls(key, api_base))
