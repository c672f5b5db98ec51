"""How this installation sells: the pages of the payment provider that ours lead to, and the currency."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_STRIPE: Final = ("https://checkout.stripe.com", "https://billing.stripe.com")


class PaymentPages:
    """Knows on which origins people pay, so that a page may send a browser there.

    Args:
        api_base: Address of the payment provider's API; empty for Stripe itself.
        currency: Currency in which plans are sold.
    """

    def __init__(self, api_base: str, currency: str = "eur") -> None:
        self.currency = currency
        self.origins = (_origin(api_base),) if api_base else _STRIPE

    def has(self, address: str) -> bool:
        """Whether an address is on one of the origins, so that a form may end there."""
        return _origin(address) in self.origins


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()
