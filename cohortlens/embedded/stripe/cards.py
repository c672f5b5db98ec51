"""Payment methods: the few test cards, and what each does when it is to pay."""

from __future__ import annotations

from typing import NamedTuple

from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, declined
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route


class KnownCard(NamedTuple):
    """A card that everybody knows to be none.

    Attributes:
        number: Its number.
        brand: Such as ``visa``.
        at_once: What happens when its holder pays: ``pays``, ``declined``, ``authenticates``
            or ``settles``, which leaves it open for now.
        later: What happens when it is charged without its holder.
        alias: Name of a payment method that stands for it in the API.
    """

    number: str
    brand: str
    at_once: str
    later: str
    alias: str


TEST_CARDS = (
    KnownCard("4242424242424242", "visa", "pays", "pays", "pm_card_visa"),
    KnownCard("5555555555554444", "mastercard", "pays", "pays", "pm_card_mastercard"),
    KnownCard("4000000000000002", "visa", "declined", "declined", "pm_card_chargeDeclined"),
    KnownCard("4000002500003155", "visa", "authenticates", "pays", "pm_card_authenticationRequiredOnSetup"),
    KnownCard("4000002760003184", "visa", "authenticates", "authenticates", "pm_card_authenticationRequired"),
    KnownCard("4000000000000341", "visa", "pays", "declined", "pm_card_chargeCustomerFail"),
    # Our own: the money comes or fails later, as with a bank debit.
    KnownCard("6000000000000007", "visa", "settles", "pays", "pm_card_settlesLater"),
)
_BY_NUMBER = {card.number: card for card in TEST_CARDS}
_BY_ALIAS = {card.alias: card for card in TEST_CARDS}


def known_card(number: str) -> KnownCard | None:
    """The test card of a number, however it is written."""
    return _BY_NUMBER.get("".join(one for one in number if one.isdigit()))


def make(provider: Provider, card: KnownCard, customer: str | None, name: str | None = None) -> Object:
    """A payment method of a test card; attached to a customer if given."""
    made = provider.make("payment_method", customer=None, card=_card(card))
    made["billing_details"]["name"] = name
    provider.store.add(made, number=card.number)
    return attach(provider, made["id"], customer) if customer else made


def behaviour(provider: Provider, payment_method: str, *, is_holder_there: bool) -> str:
    """What happens when a card is to pay: ``pays``, ``declined`` or ``authenticates``."""
    hidden = provider.store.hidden(payment_method)
    card = _BY_NUMBER[hidden["number"]]
    if is_holder_there:
        return card.at_once
    return card.later


def attach(provider: Provider, payment_method: str, customer: str) -> Object:
    """Let a card pay for a customer; a name of a test card makes a new one.

    Raises:
        Refusal: It is another customer's.
    """
    if payment_method in _BY_ALIAS:
        made = make(provider, _BY_ALIAS[payment_method], None)
        payment_method = made["id"]
    card = provider.get("payment_method", payment_method, "payment_method")
    if card["customer"] == customer:
        return card
    if card["customer"] is not None:
        raise Refusal("The payment method you provided has already been attached to a customer.")
    if behaviour(provider, payment_method, is_holder_there=True) == "declined":
        raise declined()
    return provider.change(card, "payment_method.attached", customer=customer)


def detach(provider: Provider, card: Object) -> Object:
    """Let a card pay no longer."""
    customer = card["customer"]
    if customer is None:
        raise Refusal(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    provider.change(card, "payment_method.detached", customer=None)
    owner = provider.store.get("customer", customer)
    if owner is not None and owner["invoice_settings"]["default_payment_method"] == card["id"]:
        settings = {**owner["invoice_settings"], "default_payment_method": None}
        provider.change(owner, "customer.updated", invoice_settings=settings)
    for subscription in provider.store.newest("subscription", customer):
        if subscription["default_payment_method"] == card["id"]:
            provider.change(subscription, "customer.subscription.updated", default_payment_method=None)
    return card


def paying(provider: Provider, subscription: Object | None, customer: str) -> str | None:
    """The card that pays: the subscription's, else the customer's."""
    if subscription is not None and subscription["default_payment_method"]:
        return str(subscription["default_payment_method"])
    found = provider.store.get("customer", customer)
    return found["invoice_settings"]["default_payment_method"] if found else None


def create(call: Call) -> Object:
    """Make a payment method of a test card."""
    kind = forms.needed(call.params, "type")
    if kind != "card":
        raise Refusal(f"Invalid type: {kind}; this local stand-in takes cards", param="type")
    given = forms.tree(call.params, "card")
    number, token = forms.text(given, "number"), forms.text(given, "token")
    alias = (token or "").replace("tok_", "pm_card_", 1)
    card = known_card(number) if number else _BY_ALIAS.get(alias)
    if card is None:
        raise Refusal(
            "Your card number is incorrect.", param="card[number]", code="incorrect_number", status=402
        )
    return make(call.provider, card, None)


def read(call: Call) -> Object:
    """One payment method."""
    return call.provider.get("payment_method", call.id)


def attached(call: Call) -> Object:
    """Attach one to a customer."""
    customer = call.provider.get("customer", forms.needed(call.params, "customer"), "customer")
    return attach(call.provider, call.id, customer["id"])


def detached(call: Call) -> Object:
    """Detach one from its customer."""
    return detach(call.provider, call.provider.get("payment_method", call.id))


def listed(call: Call) -> Object:
    """The payment methods of a customer."""
    customer = forms.needed(call.params, "customer")
    call.provider.get("customer", customer, "customer")
    return listing.page(call.provider.store.newest("payment_method", customer), call.params, call.path)


def _card(card: KnownCard) -> Object:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"local{card.number[-11:]}",
        "funding": "credit",
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


ROUTES: list[Route] = [
    route("POST", "/v1/payment_methods", create, "type card"),
    route("GET", "/v1/payment_methods", listed, "customer type limit starting_after ending_before"),
    route("GET", "/v1/payment_methods/{id}", read),
    route("POST", "/v1/payment_methods/{id}/attach", attached, "customer"),
    route("POST", "/v1/payment_methods/{id}/detach", detached),
]
