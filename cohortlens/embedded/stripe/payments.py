"""Payments of invoices: payment intents, charges, invoice payments."""

from __future__ import annotations

from typing import Literal

from cohortlens.embedded.stripe import cards, forms, listing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import DECLINED
from cohortlens.embedded.stripe.provider import Provider, random_text
from cohortlens.embedded.stripe.routing import Call, Route, route

Outcome = Literal["paid", "declined", "authenticates", "pending"]


def request_payment(provider: Provider, invoice: Object) -> Object:
    """The payment intent of an invoice that is to be paid; made with its invoice payment."""
    intent = provider.make(
        "payment_intent",
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description="Subscription",
        status="requires_payment_method",
        setup_future_usage="off_session",
    )
    intent["client_secret"] = f"{intent['id']}_secret_{random_text(24)}"
    provider.store.add(intent, invoice=invoice["id"])
    payment = provider.make(
        "invoice_payment",
        amount_requested=invoice["amount_due"],
        created=intent["created"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
    )
    provider.store.add(payment)
    provider.store.hide(invoice["id"], payment_intent=intent["id"], invoice_payment=payment["id"])
    provider.emit("payment_intent.created", intent)
    return intent


def intent_of(provider: Provider, invoice: Object) -> Object | None:
    """The payment intent of an invoice; none when it asks for no money."""
    found = provider.store.hidden(invoice["id"]).get("payment_intent")
    return provider.store.get("payment_intent", found) if found else None


def charge(
    provider: Provider, intent: Object, card: str, *, is_holder_there: bool, is_authenticated: bool = False
) -> Outcome:
    """Let a card pay a payment intent."""
    does = cards.behaviour(provider, card, is_holder_there=is_holder_there)
    if does == "authenticates" and not is_authenticated:
        provider.change(
            intent,
            "payment_intent.requires_action",
            status="requires_action",
            payment_method=card,
            next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}},
        )
        return "authenticates"
    if does == "settles":
        processing = {"type": "card", "card": {"customer_notification": None}}
        provider.change(
            intent,
            "payment_intent.processing",
            status="processing",
            payment_method=card,
            processing=processing,
        )
        return "pending"
    return conclude(provider, intent, card, is_paid=does != "declined")


def conclude(provider: Provider, intent: Object, card: str, *, is_paid: bool) -> Outcome:
    """Charge a card with a known end."""
    made = _charge(provider, intent, card, is_paid=is_paid)
    if not is_paid:
        error = {
            "charge": made["id"],
            "code": "card_declined",
            "decline_code": "generic_decline",
            "message": DECLINED,
            "type": "card_error",
        }
        provider.change(
            intent,
            "payment_intent.payment_failed",
            status="requires_payment_method",
            last_payment_error=error,
            latest_charge=made["id"],
            next_action=None,
            payment_method=None,
            processing=None,
        )
        return "declined"
    provider.change(
        intent,
        "payment_intent.succeeded",
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=made["id"],
        last_payment_error=None,
        next_action=None,
        payment_method=card,
        processing=None,
    )
    return "paid"


def settle(provider: Provider, invoice: Object, *, is_paid: bool) -> None:
    """Close the invoice payment of an invoice that was paid, or given up."""
    found = provider.store.hidden(invoice["id"]).get("invoice_payment")
    payment = provider.store.get("invoice_payment", found) if found else None
    if payment is None or payment["status"] != "open":
        return
    at = provider.now(invoice["customer"])
    payment["status"] = "paid" if is_paid else "canceled"
    payment["amount_paid"] = payment["amount_requested"] if is_paid else None
    payment["status_transitions"]["paid_at" if is_paid else "canceled_at"] = at
    provider.store.put(payment)
    if is_paid:
        provider.emit("invoice_payment.paid", payment)


def cancel_intent(provider: Provider, invoice: Object) -> None:
    """Ask no longer for the money of an invoice."""
    intent = intent_of(provider, invoice)
    if intent is not None and intent["status"] != "succeeded":
        provider.change(
            intent,
            "payment_intent.canceled",
            status="canceled",
            canceled_at=provider.now(invoice["customer"]),
            cancellation_reason="void_invoice",
        )
    settle(provider, invoice, is_paid=False)


def read_intent(call: Call) -> Object:
    """One payment intent."""
    return call.provider.get("payment_intent", call.id)


def list_intents(call: Call) -> Object:
    """Payment intents, the newest first."""
    return _listed(call, "payment_intent")


def read_charge(call: Call) -> Object:
    """One charge."""
    return call.provider.get("charge", call.id)


def list_charges(call: Call) -> Object:
    """Charges, the newest first."""
    return _listed(call, "charge")


def read_invoice_payment(call: Call) -> Object:
    """One invoice payment."""
    return call.provider.get("invoice_payment", call.id)


def list_invoice_payments(call: Call) -> Object:
    """Invoice payments, the newest first."""
    params, payment = call.params, forms.tree(call.params, "payment")
    invoice, status = forms.text(params, "invoice"), forms.text(params, "status")
    intent = forms.text(payment, "payment_intent")
    found = (
        one
        for one in call.provider.store.newest("invoice_payment")
        if invoice in {None, one["invoice"]}
        and status in {None, one["status"]}
        and intent in {None, one["payment"]["payment_intent"]}
    )
    return listing.page(found, params, call.path)


def payments_of(provider: Provider, invoice: Object) -> Object:
    """The invoice payments of an invoice, which it shows when asked to."""
    rows = [one for one in provider.store.newest("invoice_payment") if one["invoice"] == invoice["id"]]
    return listing.whole(rows, f"/v1/invoice_payments?invoice={invoice['id']}")


def _charge(provider: Provider, intent: Object, card: str, *, is_paid: bool) -> Object:
    method = provider.get("payment_method", card)
    made = provider.make(
        "charge",
        amount=intent["amount"],
        amount_captured=intent["amount"] if is_paid else 0,
        billing_details=method["billing_details"],
        captured=is_paid,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        failure_code=None if is_paid else "card_declined",
        failure_message=None if is_paid else DECLINED,
        outcome={
            "advice_code": None if is_paid else "try_again_later",
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network" if is_paid else "declined_by_network",
            "reason": None if is_paid else "generic_decline",
            "seller_message": "Payment complete." if is_paid else "The bank did not say why.",
            "type": "authorized" if is_paid else "issuer_declined",
        },
        paid=is_paid,
        payment_intent=intent["id"],
        payment_method=card,
        payment_method_details={"card": _card_details(method["card"], intent["amount"]), "type": "card"},
        status="succeeded" if is_paid else "failed",
    )
    made["refunds"] = listing.whole([], f"/v1/charges/{made['id']}/refunds")
    made["receipt_url"] = f"{provider.address}/receipts/{made['id']}"
    provider.store.add(made)
    provider.emit("charge.succeeded" if is_paid else "charge.failed", made)
    return made


def _card_details(card: Object, amount: int) -> Object:
    same = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    empty = (
        "amount_authorized authorization_code installments mandate network_transaction_id three_d_secure"
        " transaction_link_id wallet"
    )
    return {
        **dict.fromkeys(empty.split()),
        **{name: card[name] for name in same},
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": card["regulated_status"],
    }


def _listed(call: Call, kind: str) -> Object:
    params = call.params
    customer, intent = forms.text(params, "customer"), forms.text(params, "payment_intent")
    found = (
        one
        for one in call.provider.store.newest(kind, customer)
        if intent in {None, one.get("payment_intent")} and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


_LIST = f"{listing.PARAMS} created customer"
ROUTES: list[Route] = [
    route("GET", "/v1/payment_intents", list_intents, _LIST),
    route("GET", "/v1/payment_intents/{id}", read_intent),
    route("GET", "/v1/charges", list_charges, f"payment_intent {_LIST}"),
    route("GET", "/v1/charges/{id}", read_charge),
    route(
        "GET",
        "/v1/invoice_payments",
        list_invoice_payments,
        "invoice status payment limit starting_after ending_before",
    ),
    route("GET", "/v1/invoice_payments/{id}", read_invoice_payment),
]
