"""Routes of invoices: read, pay, void, give up, preview."""

from __future__ import annotations

import copy
from typing import Any

from cohortlens.embedded.stripe import (
    changing,
    collecting,
    forms,
    invoicing,
    listing,
    periods,
    renewing,
    subscribing,
)
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, declined, needs_authentication
from cohortlens.embedded.stripe.payments import intent_of
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route


class _Discard(Exception):
    """Takes back what a preview had to change."""


def read(call: Call) -> Object:
    """One invoice."""
    return call.provider.get("invoice", call.id)


def listed(call: Call) -> Object:
    """Invoices, the newest first."""
    params = call.params
    customer, status = forms.text(params, "customer"), forms.text(params, "status")
    subscription = forms.text(params, "subscription")
    found = (
        one
        for one in call.provider.store.newest("invoice", customer)
        if status in {None, one["status"]}
        and subscription in {None, one["parent"]["subscription_details"]["subscription"]}
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def searched(call: Call) -> Object:
    """Invoices that a query finds."""
    return listing.search(call.provider.store.newest("invoice"), call.params, call.path)


def lines(call: Call) -> Object:
    """The lines of an invoice."""
    return listing.page(call.provider.get("invoice", call.id)["lines"]["data"], call.params, call.path)


def update(call: Call) -> Object:
    """Change what may change of an invoice."""
    invoice, params = call.provider.get("invoice", call.id), call.params
    values: dict[str, Any] = {}
    if "metadata" in params:
        values["metadata"] = forms.metadata(params, invoice["metadata"])
    if "auto_advance" in params:
        values["auto_advance"] = forms.flag(params, "auto_advance")
    if "description" in params:
        values["description"] = forms.text(params, "description")
    return call.provider.change(invoice, "invoice.updated", **values)


def finalize(call: Call) -> Object:
    """Finalize a draft."""
    invoice = _in_state(call, "finalized", "draft")
    call.provider.store.unplan(call.id, "finalize")
    invoicing.finalize(call.provider, invoice)
    return call.provider.get("invoice", call.id)


def pay(call: Call) -> Object:
    """Pay an open invoice now.

    Raises:
        Refusal: The card did not pay.
    """
    provider, params = call.provider, call.params
    invoice = provider.get("invoice", call.id)
    if invoice["status"] == "paid":
        raise Refusal("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "draft":
        invoicing.finalize(provider, invoice)
    _check_state(invoice, "paid", "open", "paid", "uncollectible")
    if invoice["status"] == "paid":
        return invoice
    if forms.flag(params, "paid_out_of_band"):
        invoicing.paid(provider, invoice, out_of_band=True)
        collecting.after_payment(provider, invoice)
        return provider.get("invoice", call.id)
    is_holder_there = not forms.flag(params, "off_session", default=True)
    outcome = collecting.collect(
        provider, invoice, forms.text(params, "payment_method"), is_holder_there=is_holder_there
    )
    if outcome != "paid":
        refuse = declined if outcome == "declined" else needs_authentication
        raise refuse(intent_of(provider, invoice), keeps=True)
    return provider.get("invoice", call.id)


def void(call: Call) -> Object:
    """Void a finalized invoice."""
    return invoicing.void(call.provider, _in_state(call, "voided", "open", "uncollectible"))


def mark_uncollectible(call: Call) -> Object:
    """Give up an open invoice."""
    return invoicing.mark_uncollectible(call.provider, _in_state(call, "marked uncollectible", "open"))


def delete(call: Call) -> Object:
    """Delete a draft; those of subscriptions stay."""
    _in_state(call, "deleted", "draft")
    raise Refusal("You cannot delete an invoice that was made by a subscription; void it instead.")


def preview(call: Call) -> Object:
    """The invoice that a change would make, or that comes next; nothing changes."""
    provider = call.provider
    try:
        with provider.store.transaction():
            made = _previewed(provider, call.params)
            raise _Discard
    except _Discard:
        return made


def _previewed(provider: Provider, params: dict[str, Any]) -> Object:
    identifier, details = forms.text(params, "subscription"), forms.tree(params, "subscription_details")
    if identifier is None:
        return _previewed_new(provider, params, details)
    subscription = provider.get("subscription", identifier, "subscription")
    known = {
        "items", "proration_behavior", "proration_date", "billing_cycle_anchor", "trial_end",
        "cancel_at_period_end", "cancel_at", "cancel_now",
    }  # fmt: skip
    forms.check_known(details, known)
    if forms.flag(details, "cancel_now"):
        now = provider.now(subscription["customer"])
        parts = periods.change_lines(provider, subscription["items"]["data"], [], now)
        return _shown(invoicing.assemble(provider, subscription, parts, "upcoming"))
    before = copy.deepcopy(subscription)
    invoice = changing.apply(provider, subscription, details)
    if invoice is None:
        if subscription["cancel_at_period_end"] and subscription["cancel_at"]:
            raise Refusal("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)
        provider.store.put(subscription)
        invoice = renewing.next_invoice(provider, subscription)
    provider.store.put(before)
    return _shown(invoice)


def _previewed_new(provider: Provider, params: dict[str, Any], details: dict[str, Any]) -> Object:
    customer = provider.get("customer", forms.needed(params, "customer"), "customer")
    made = subscribing.create(provider, customer, {**details, "payment_behavior": "default_incomplete"})
    return _shown(provider.get("invoice", made["latest_invoice"]))


def _shown(invoice: Object) -> Object:
    invoice["id"] = f"upcoming_{invoice['id'].removeprefix('upcoming_')}"
    return invoice | {"status": "draft", "number": None, "hosted_invoice_url": None, "invoice_pdf": None}


def _in_state(call: Call, deed: str, *states: str) -> Object:
    invoice = call.provider.get("invoice", call.id)
    _check_state(invoice, deed, *states)
    return invoice


def _check_state(invoice: Object, deed: str, *states: str) -> None:
    if invoice["status"] not in states:
        raise Refusal(
            f"This invoice can't be {deed}: its status is {invoice['status']}.", code="invoice_not_editable"
        )


ROUTES: list[Route] = [
    route("GET", "/v1/invoices/search", searched, "query limit page"),
    route(
        "GET",
        "/v1/invoices",
        listed,
        f"customer subscription status created collection_method {listing.PARAMS}",
    ),
    route(
        "POST",
        "/v1/invoices/create_preview",
        preview,
        "customer subscription subscription_details currency preview_mode",
    ),
    route("GET", "/v1/invoices/{id}", read),
    route("POST", "/v1/invoices/{id}", update, "metadata auto_advance description"),
    route("DELETE", "/v1/invoices/{id}", delete),
    route("GET", "/v1/invoices/{id}/lines", lines, listing.PARAMS),
    route("POST", "/v1/invoices/{id}/finalize", finalize, "auto_advance"),
    route("POST", "/v1/invoices/{id}/pay", pay, "payment_method off_session paid_out_of_band"),
    route("POST", "/v1/invoices/{id}/void", void),
    route("POST", "/v1/invoices/{id}/mark_uncollectible", mark_uncollectible),
]
