"""Notifications of Stripe: whether they are genuine, of now and meant for us, and what they point at."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import stripe

from cohortlens.adapters.stripe_shapes import Shape, id_of, inside, sure_moment
from cohortlens.billing.payments.notifications import (
    ProviderEvent,
    WebhookEnvironmentMismatch,
    WebhookSignatureInvalid,
)
from cohortlens.core.errors import InvalidArgument

TOLERANCE_S = 300
_TEXT_MAX = 255
_TIME = re.compile(r"(?:^|,)\s*t=(\d{1,12})\s*(?=,|$)", re.ASCII)


class StripeWebhooks:
    """Verifies what is said to come from Stripe.

    Args:
        secrets: Signing secrets of the endpoint; several while one is being changed. Empty ones are left out:
            the signature of an empty key is anybody's to make.
        livemode: Whether this installation is about real money.
        account: Our account at Stripe; empty when it is not configured.
        clock: Unix seconds.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        *,
        livemode: bool,
        account: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = tuple(secret for secret in secrets if secret.strip())
        self._livemode, self._account, self._clock = livemode, account, clock

    def verify(self, payload: bytes, signature: str) -> ProviderEvent:
        """The event of a notification; see ``WebhookVerifier.verify``."""
        self._check_time(signature)
        self._check_signature(payload, signature)
        event = event_of(_parsed(payload))
        account = _account_of(payload)
        if event.livemode != self._livemode:
            found, own = ("live", "test") if event.livemode else ("test", "live")
            raise WebhookEnvironmentMismatch(
                f"the event is of {found} mode, this installation is in {own} mode;"
                " give each its own endpoint and secret"
            )
        if account and account != self._account:
            raise WebhookEnvironmentMismatch("the event is of an account that is not this installation's")
        return event

    def _check_time(self, signature: str) -> None:
        # The SDK refuses what is too old and lets the future pass.
        times = _TIME.findall(signature)
        if len(times) != 1 or abs(self._clock() - int(times[0])) > TOLERANCE_S:
            raise _invalid()

    def _check_signature(self, payload: bytes, signature: str) -> None:
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(payload, signature, secret)
            except (stripe.SignatureVerificationError, UnicodeError):
                continue
            return
        raise _invalid()


def event_of(shape: Shape) -> ProviderEvent:
    """What an event of the API or of a notification points at.

    Raises:
        InvalidArgument: It is no event.
    """
    event_id, kind = shape.get("id"), shape.get("type")
    if shape.get("object") not in {"event", "v2.core.event"} or not (_is_name(event_id) and _is_name(kind)):
        raise _no_event()
    is_thin = shape["object"] == "v2.core.event"
    subject = shape.get("related_object") if is_thin else inside(shape, "data", "object")
    subject = subject if isinstance(subject, Mapping) else {}
    return ProviderEvent(
        id=str(event_id),
        type=str(kind),
        livemode=shape.get("livemode") is True,
        api_version=str(shape.get("api_version") or "")[:_TEXT_MAX],
        created_at=_created(shape.get("created")),
        customer_id=_customer_of(shape, subject)[:_TEXT_MAX],
        object_id=id_of(subject.get("id"))[:_TEXT_MAX],
        refs={name: value[:_TEXT_MAX] for name, value in _refs(subject).items() if value},
        is_thin=is_thin,
    )


def _customer_of(shape: Shape, subject: Shape) -> str:
    if subject.get("object") == "customer":
        return id_of(subject.get("id"))
    # What was detached does not know its customer any more; the event does.
    return id_of(subject.get("customer")) or id_of(inside(shape, "data", "previous_attributes", "customer"))


def _refs(subject: Shape) -> dict[str, str]:
    metadata = subject.get("metadata")
    return {
        "charge": id_of(subject.get("charge")),
        "subscription": id_of(subject.get("subscription")),
        "client_reference": id_of(subject.get("client_reference_id")),
        "tenant": id_of(metadata.get("tenant_id")) if isinstance(metadata, Mapping) else "",
    }


def _created(value: Any) -> datetime:
    if isinstance(value, int):
        return sure_moment(value)
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        raise _no_event() from None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_MAX


def _parsed(payload: bytes) -> Shape:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        raise _no_event() from None
    if not isinstance(found, Mapping):
        raise _no_event()
    return found


def _account_of(payload: bytes) -> str:
    shape = _parsed(payload)
    return id_of(shape.get("account") or shape.get("context"))


def _invalid() -> WebhookSignatureInvalid:
    return WebhookSignatureInvalid(
        "the notification is not signed with a secret of this endpoint, or not within 300 s of now"
    )


def _no_event() -> InvalidArgument:
    return InvalidArgument("the body is not an event; send what the payment provider sent, byte by byte")
