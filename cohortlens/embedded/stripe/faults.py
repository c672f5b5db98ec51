"""What the provider refuses, in the words and the envelope of Stripe's API."""

from __future__ import annotations

from typing import Any

DECLINED = "Your card was declined."


class Refusal(Exception):
    """An answer that is no success.

    Args:
        message: For a person.
        param: The parameter at fault, as ``items[0][price]``.
        code: Stripe's short word for the fault.
        status: HTTP status.
        kind: Stripe's ``type``.
        keeps: Whether what happened until then stays, such as an attempt to pay.
        more: Further members of the envelope, such as ``decline_code``.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str = "",
        code: str = "",
        status: int = 400,
        kind: str = "invalid_request_error",
        keeps: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keeps = keeps
        self.envelope: dict[str, Any] = {
            **({"code": code, "doc_url": _documentation(code)} if code else {}),
            "message": message,
            **({"param": param} if param else {}),
            "type": kind,
            **more,
        }


def missing(name: str, identifier: str, param: str = "id") -> Refusal:
    """Nothing has this identifier."""
    return Refusal(f"No such {name}: '{identifier}'", param=param, code="resource_missing", status=404)


def required(param: str) -> Refusal:
    """A parameter is missing."""
    return Refusal(f"Missing required param: {param}.", param=param, code="parameter_missing")


def declined(payment_intent: dict[str, Any] | None = None, *, keeps: bool = False) -> Refusal:
    """The card did not pay."""
    more: dict[str, Any] = {} if payment_intent is None else {"payment_intent": payment_intent}
    return Refusal(
        DECLINED,
        code="card_declined",
        status=402,
        kind="card_error",
        keeps=keeps,
        decline_code="generic_decline",
        **more,
    )


def needs_authentication(payment_intent: dict[str, Any] | None = None, *, keeps: bool = False) -> Refusal:
    """The card pays only when its holder is there."""
    more: dict[str, Any] = {} if payment_intent is None else {"payment_intent": payment_intent}
    return Refusal(
        "Your card was declined. This transaction requires authentication.",
        code="authentication_required",
        status=402,
        kind="card_error",
        keeps=keeps,
        decline_code="authentication_required",
        **more,
    )


def _documentation(code: str) -> str:
    return f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
