"""Calls of Stripe's API: bounded in time, behind a circuit breaker, their failures in our words.

The SDK's own asynchronous methods over httpx are used and no threads: a call that is cancelled or late is
dropped with its connection, and any number of them wait without holding a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import stripe

from cohortlens.adapters.circuit import Circuit
from cohortlens.billing.payments.models import (
    PaymentProviderFailed,
    PaymentProviderUnavailable,
    PaymentRefused,
)
from cohortlens.core.errors import Internal
from cohortlens.core.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

AnswerT = TypeVar("AnswerT")

TIMEOUT_S = 10.0
READ_RETRIES = 1
WRITE_RETRIES = 2
_RETRY_S = 5.0
_AWAY = "the payment provider cannot be reached; nothing was changed, try again"
_LOG = get_logger(__name__)

stripe.enable_telemetry = False
for _name in ("stripe", "httpx", "httpcore"):
    # They write a line per request, with addresses that name customers.
    logging.getLogger(_name).setLevel(logging.WARNING)


class RequestRefused(Internal):
    """Stripe says that the request is wrong: a fault of ours, or of a state that changed meanwhile.

    Attributes:
        stripe_code: Stripe's code, such as ``resource_missing``; empty for none.
        param: The parameter it is about; empty for none.
    """

    def __init__(self, stripe_code: str, param: str) -> None:
        super().__init__("the payment provider did not accept what it was asked for")
        self.stripe_code, self.param = stripe_code, param

    @property
    def is_missing(self) -> bool:
        """Whether what was asked about does not exist."""
        return self.stripe_code == "resource_missing"


class StripeCalls:
    """Runs methods of the SDK.

    Args:
        key: Secret key of the account.
        api_base: Address of the API; Stripe's when empty.
        timeout_s: Bound of one call with its retries.
        circuit: Opens after failures in a row.

    Attributes:
        client: The SDK's client.
        livemode: Whether the key is for real money.
    """

    def __init__(
        self,
        key: str,
        api_base: str = "",
        *,
        timeout_s: float = TIMEOUT_S,
        circuit: Circuit | None = None,
    ) -> None:
        self._http = stripe.HTTPXClient(timeout=timeout_s)
        base = api_base.rstrip("/")
        self.client = stripe.StripeClient(
            key,
            base_addresses={"api": base, "meter_events": base} if base else None,
            max_network_retries=READ_RETRIES,
            http_client=self._http,
        )
        self.livemode = is_live(key)
        self._timeout_s = timeout_s
        self._circuit = circuit or Circuit()

    async def run(self, method: Callable[..., Awaitable[AnswerT]], *arguments: Any, **named: Any) -> AnswerT:
        """The answer of one of the SDK's asynchronous methods.

        Raises:
            PaymentProviderUnavailable: Stripe cannot be reached, is overloaded, or refuses the key.
            PaymentRefused: A card was declined.
            RequestRefused: Stripe says the request is wrong.
        """
        if self._circuit.is_open:
            raise unavailable(self._circuit.wait_s)
        self._circuit.begin()
        with self._translated():
            async with asyncio.timeout(self._timeout_s):
                answer = await method(*arguments, **named)
        self._circuit.worked()
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (stripe.APIConnectionError, stripe.RateLimitError, TimeoutError) as error:
            self._circuit.failed()
            _LOG.warning("stripe_unavailable", kind=type(error).__name__)
            raise unavailable(_RETRY_S) from None
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            self._circuit.worked()
            _LOG.error("stripe_key_refused", kind=type(error).__name__, stripe_request=error.request_id)
            raise PaymentProviderUnavailable(
                "the payment provider refuses this installation's key; its operator must check"
                " COHORTLENS_STRIPE_API_KEY"
            ) from None
        except stripe.CardError as error:
            self._circuit.worked()
            raise PaymentRefused(
                "the payment was declined; use another card or ask your bank",
                metadata={"decline_code": str(error.code or "")},
            ) from None
        except stripe.APIError as error:
            self._circuit.failed()
            _LOG.warning("stripe_unavailable", kind="APIError", stripe_request=error.request_id)
            raise PaymentProviderFailed(_AWAY, retry_delay_s=_RETRY_S) from None
        except stripe.StripeError as error:
            self._circuit.worked()
            raise _refused(error) from None


def is_live(key: str) -> bool:
    """Whether a key of Stripe's is for real money."""
    return key.startswith(("sk_live_", "rk_live_"))


def unavailable(retry_s: float) -> PaymentProviderUnavailable:
    """The provider cannot be reached for now."""
    return PaymentProviderUnavailable(_AWAY, retry_delay_s=max(retry_s, 1.0))


def _refused(error: stripe.StripeError) -> RequestRefused:
    code, param = str(error.code or ""), str(getattr(error, "param", "") or "")
    if code != "resource_missing":
        # Not the message: it can repeat what was sent.
        _LOG.error(
            "stripe_request_refused",
            kind=type(error).__name__,
            stripe_code=code,
            param=param,
            stripe_request=error.request_id,
        )
    return RequestRefused(code, param)
