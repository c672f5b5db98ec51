"""The payment provider of an installation without one: every question says what its operator must set."""

from __future__ import annotations

from typing import NoReturn

from cohortlens.billing.payments.models import PaymentProviderUnavailable


class NoPayments:
    """Stands where a ``PaymentProvider`` would; nothing can be asked of it."""

    @property
    def livemode(self) -> bool:
        """Raise: there is neither test money nor real money."""
        raise unset()

    async def close(self) -> None:
        """Nothing is open."""

    def __getattr__(self, name: str) -> NoReturn:
        raise unset()


def unset() -> PaymentProviderUnavailable:
    """The fault of a call that needs payments."""
    return PaymentProviderUnavailable(
        "payments are not set up in this installation; its operator sets COHORTLENS_STRIPE_API_KEY"
    )
