"""Invoices from draft to paid: lines, totals, credit, numbers."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import listing, payments
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.provider import Provider, random_text

HOUR = 3600


def line(
    provider: Provider,
    item: Object,
    amount: int,
    period: tuple[int, int],
    *,
    description: str,
    quantity: int | None = None,
    is_proration: bool = False,
) -> Object:
    """A line for a subscription item."""
    price, units = item["price"], item["quantity"] if quantity is None else quantity
    return provider.make(
        "line_item",
        amount=amount,
        subtotal=amount,
        currency=price["currency"],
        description=description,
        period={"start": period[0], "end": period[1]},
        quantity=units,
        quantity_decimal=str(units),
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": is_proration,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
    )


def assemble(provider: Provider, subscription: Object, lines: list[Object], reason: str) -> Object:
    """An invoice that is not stored yet, with its totals."""
    customer = provider.get("customer", subscription["customer"])
    now = provider.now(customer["id"])
    total = sum(one["amount"] for one in lines)
    due = max(0, total + customer["balance"])
    periods = [one["period"] for one in lines] or [{"start": now, "end": now}]
    made = provider.make(
        "invoice",
        amount_due=due,
        amount_remaining=due,
        billing_reason=reason,
        collection_method=subscription["collection_method"],
        currency=subscription["currency"],
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_tax_exempt=customer["tax_exempt"],
        parent={
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        period_start=min(one["start"] for one in periods),
        period_end=now,
        starting_balance=customer["balance"],
        subtotal=total,
        subtotal_excluding_tax=total,
        test_clock=customer["test_clock"],
        total=total,
        total_excluding_tax=total,
    )
    for one in lines:
        one["invoice"] = made["id"]
    made["lines"] = listing.whole(lines, f"/v1/invoices/{made['id']}/lines")
    return made


def draft(provider: Provider, subscription: Object, lines: list[Object], reason: str) -> Object:
    """Store a new invoice of a subscription; it becomes the subscription's latest."""
    made = assemble(provider, subscription, lines, reason)
    provider.store.add(made)
    provider.emit("invoice.created", made)
    subscription["latest_invoice"] = made["id"]
    provider.store.put(subscription)
    return made


def finalize(provider: Provider, invoice: Object) -> Object:
    """Give a draft its number and ask for the money; one without money to ask for is paid."""
    customer = provider.get("customer", invoice["customer"])
    now = provider.now(customer["id"])
    ending = min(0, customer["balance"] + invoice["total"])
    values: dict[str, Any] = {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "effective_at": now,
        "automatically_finalizes_at": None,
        "ending_balance": ending,
        "hosted_invoice_url": f"{provider.address}/i/{invoice['id']}/{random_text(24)}",
    }
    values["invoice_pdf"] = f"{values['hosted_invoice_url']}/pdf"
    invoice["status_transitions"]["finalized_at"] = now
    customer["next_invoice_sequence"] += 1
    customer["currency"] = customer["currency"] or invoice["currency"]
    provider.store.put(customer)
    if customer["balance"] != ending:
        provider.change(customer, "customer.updated", balance=ending)
    provider.change(invoice, "invoice.finalized", **values)
    if invoice["amount_due"] == 0:
        return paid(provider, invoice)
    payments.request_payment(provider, invoice)
    return invoice


def paid(provider: Provider, invoice: Object, *, out_of_band: bool = False) -> Object:
    """Mark an invoice as paid; ``invoice.paid`` says so."""
    now = provider.now(invoice["customer"])
    transitions = {**invoice["status_transitions"], "paid_at": now}
    provider.store.unplan(invoice["id"])
    provider.change(
        invoice,
        "invoice.updated",
        status="paid",
        amount_paid=0 if out_of_band else invoice["amount_due"],
        amount_remaining=0,
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
        status_transitions=transitions,
    )
    payments.settle(provider, invoice, is_paid=True)
    provider.emit("invoice.paid", invoice)
    if not out_of_band:
        provider.emit("invoice.payment_succeeded", invoice)
    return invoice


def void(provider: Provider, invoice: Object) -> Object:
    """Ask no longer for an invoice's money, as if it had been a mistake."""
    now = provider.now(invoice["customer"])
    provider.store.unplan(invoice["id"])
    payments.cancel_intent(provider, invoice)
    return provider.change(
        invoice,
        "invoice.voided",
        status="void",
        auto_advance=False,
        next_payment_attempt=None,
        status_transitions={**invoice["status_transitions"], "voided_at": now},
    )


def mark_uncollectible(provider: Provider, invoice: Object) -> Object:
    """Give up an invoice's money."""
    now = provider.now(invoice["customer"])
    provider.store.unplan(invoice["id"])
    return provider.change(
        invoice,
        "invoice.marked_uncollectible",
        status="uncollectible",
        auto_advance=False,
        next_payment_attempt=None,
        status_transitions={**invoice["status_transitions"], "marked_uncollectible_at": now},
    )
