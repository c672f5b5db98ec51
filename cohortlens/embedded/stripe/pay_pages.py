"""The hosted pages on which somebody pays: a checkout session, an open invoice, the bank's question."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import cards, checkout, collecting, invoice_pdf
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.cards import KnownCard, known_card
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.hosting import (
    CardFault,
    PageHandler,
    Reply,
    Visit,
    ask_to_authenticate,
    card_of,
    day,
    forward,
    gone,
    line_rows,
    page,
)
from cohortlens.embedded.stripe.periods import DAY, shown
from cohortlens.embedded.stripe.portal_pages import use_card
from cohortlens.embedded.stripe.provider import Provider

_REFUSED = "The bank's question was not answered, so the card did not pay. Try again or take another card."


def pay(visit: Visit) -> Reply:
    """The page of a checkout session."""
    provider = visit.provider
    session = provider.store.get("checkout.session", visit.ids[0])
    if session is None:
        return gone("There is no such session.")
    if session["status"] == "complete":
        return forward(_success(session))
    if session["status"] != "open":
        return gone("This session has expired. Go back and start again.", session["cancel_url"])
    if visit.form is None:
        return _pay_page(provider, session)
    try:
        card, holder = card_of(visit.form)
        return _pay_session(provider, session, card, holder)
    except (CardFault, Refusal) as fault:
        return _pay_page(provider, session, str(fault), visit.form.get("holder", ""))


def authenticate(visit: Visit) -> Reply:
    """The bank's question, and what goes on after its answer."""
    provider, name = visit.provider, f"authentication:{visit.ids[0]}"
    asked = provider.store.note(name)
    card = known_card(asked["number"]) if asked else None
    if asked is None or card is None:
        return gone("This question was answered already.")
    if visit.form is None:
        amount = _amount_asked(provider, asked)
        return page("authenticate.html", last4=card.number[-4:], amount=amount)
    provider.store.keep(name, None)
    return _DESKS[asked["kind"]](provider, asked, card, visit.form.get("act") == "complete")


def invoice(visit: Visit) -> Reply:
    """The page of an invoice; one that is open can be paid."""
    provider = visit.provider
    found = _invoice(visit)
    if found is None:
        return gone("There is no such invoice.")
    if visit.form is None or found["status"] != "open":
        return _invoice_page(provider, found)
    try:
        card, holder = card_of(visit.form)
        if card.at_once == "authenticates":
            return ask_to_authenticate(provider, "invoice", found["id"], card, holder)
        return _pay_invoice(provider, found, card, holder, is_authenticated=False)
    except (CardFault, Refusal) as fault:
        return _invoice_page(provider, found, str(fault), visit.form.get("holder", ""))


def pdf(visit: Visit) -> Reply:
    """The invoice as a file."""
    found = _invoice(visit)
    if found is None:
        return gone("There is no such invoice.")
    name = f"invoice-{found['number']}.pdf"
    return Reply(
        invoice_pdf.written(found),
        200,
        {"content-type": "application/pdf", "content-disposition": f'inline; filename="{name}"'},
    )


def receipt(visit: Visit) -> Reply:
    """What a charge came to."""
    charge = visit.provider.store.get("charge", visit.ids[0])
    if charge is None or not charge["paid"]:
        return gone("There is no such receipt.")
    rows = [{"words": "Paid", "amount": shown(charge["amount"], charge["currency"])}]
    if charge["amount_refunded"]:
        rows.append({"words": "Refunded", "amount": shown(charge["amount_refunded"], charge["currency"])})
    text = (
        f"Test card ending in {charge['payment_method_details']['card']['last4']}, {day(charge['created'])}."
    )
    return page("message.html", heading="Receipt", text=text, lines=rows, back=None)


def _pay_session(
    provider: Provider, session: Object, card: KnownCard, holder: str, *, is_authenticated: bool = False
) -> Reply:
    if card.at_once == "authenticates" and not is_authenticated:
        return ask_to_authenticate(provider, "checkout", session["id"], card, holder)
    with provider.store.transaction():
        checkout.complete(provider, session, card, holder, is_authenticated=is_authenticated)
    return forward(_success(session))


def _session_answered(provider: Provider, asked: Object, card: KnownCard, is_confirmed: bool) -> Reply:
    session = provider.store.get("checkout.session", asked["subject"])
    if session is None or session["status"] != "open":
        return gone("This session is closed.")
    if not is_confirmed:
        return _pay_page(provider, session, _REFUSED, asked["holder"])
    try:
        return _pay_session(provider, session, card, asked["holder"], is_authenticated=True)
    except Refusal as fault:
        return _pay_page(provider, session, str(fault), asked["holder"])


def _invoice_answered(provider: Provider, asked: Object, card: KnownCard, is_confirmed: bool) -> Reply:
    found = provider.store.get("invoice", asked["subject"])
    if found is None or found["status"] != "open":
        return gone("This invoice is closed.")
    if not is_confirmed:
        return _invoice_page(provider, found, _REFUSED, asked["holder"])
    return _pay_invoice(provider, found, card, asked["holder"], is_authenticated=True)


def _card_answered(provider: Provider, asked: Object, card: KnownCard, is_confirmed: bool) -> Reply:
    return use_card(provider, asked["subject"], card, asked["holder"], is_confirmed=is_confirmed)


_DESKS = {"checkout": _session_answered, "invoice": _invoice_answered, "portal": _card_answered}


def _pay_invoice(
    provider: Provider, found: Object, card: KnownCard, holder: str, *, is_authenticated: bool
) -> Reply:
    """Pay with a card and keep it for the subscription; a card that is declined counts as an attempt."""
    method = cards.make(provider, card, None, holder)
    outcome = collecting.collect(
        provider, found, method["id"], is_holder_there=True, is_authenticated=is_authenticated
    )
    if outcome != "paid":
        return _invoice_page(
            provider, provider.get("invoice", found["id"]), "Your card was declined.", holder
        )
    cards.attach(provider, method["id"], found["customer"])
    subscription = collecting.subscription_of(provider, found)
    if subscription is not None and subscription["status"] != "canceled":
        kind = "customer.subscription.updated"
        provider.change(subscription, kind, default_payment_method=method["id"])
    return forward(found["hosted_invoice_url"])


def _pay_page(provider: Provider, session: Object, fault: str = "", holder: str = "") -> Reply:
    items = provider.store.hidden(session["id"])["items"]
    data = provider.store.hidden(session["id"])["subscription_data"]
    rows = [
        {
            "words": f"{one['quantity']} x {one['description']}",
            "amount": f"{shown(one['amount_total'], one['currency'])} / {_interval(one)}",
        }
        for one in items
    ]
    total = shown(session["amount_total"], session["currency"])
    trial = _trial_words(data, session)
    return page(
        "pay.html",
        200 if not fault else 402,
        lines=rows,
        total=total,
        total_words="Due today",
        trial=trial,
        fault=fault,
        holder=holder,
        email=(session["customer_details"] or {}).get("email"),
        button="Start trial" if trial else f"Pay {total}",
        back=session["cancel_url"],
    )


def _interval(item: Object) -> str:
    return str(item["price"]["recurring"]["interval"])


def _trial_words(data: dict[str, Any], session: Object) -> str:
    if data.get("trial_period_days"):
        end = session["created"] + int(data["trial_period_days"]) * DAY
    elif data.get("trial_end"):
        end = int(data["trial_end"])
    else:
        return ""
    return f"Free until {day(end)}, then the price above."


def _invoice_page(provider: Provider, found: Object, fault: str = "", holder: str = "") -> Reply:
    customer = provider.store.get("customer", found["customer"]) or {}
    credit = found["total"] - found["amount_due"]
    return page(
        "invoice.html",
        402 if fault else 200,
        number=found["number"] or "(draft)",
        date=day(found["created"]),
        customer=customer.get("email") or customer.get("name") or found["customer"],
        state=found["status"],
        pdf=found["invoice_pdf"],
        lines=line_rows(found["lines"]["data"], shown),
        due=shown(found["amount_due"], found["currency"]),
        credit=shown(-credit, found["currency"]) if credit else "",
        can_pay=found["status"] == "open",
        fault=fault,
        holder=holder,
    )


def _amount_asked(provider: Provider, asked: Object) -> str:
    if asked["kind"] == "checkout":
        session = provider.get("checkout.session", asked["subject"])
        return shown(session["amount_total"], session["currency"])
    if asked["kind"] == "invoice":
        found = provider.get("invoice", asked["subject"])
        return shown(found["amount_due"], found["currency"])
    return ""


def _invoice(visit: Visit) -> Object | None:
    """The invoice of an address; the second part of it must be right too."""
    found = visit.provider.store.get("invoice", visit.ids[0])
    wanted = f"{visit.provider.address}/i/{visit.ids[0]}/{visit.ids[1]}"
    return found if found is not None and _path(found["hosted_invoice_url"]) == _path(wanted) else None


def _path(address: str | None) -> str:
    return (address or "").rpartition("/i/")[2]


def _success(session: Object) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


PAGES: list[tuple[str, PageHandler]] = [
    ("/c/pay/{id}", pay),
    ("/authenticate/{id}", authenticate),
    ("/i/{id}/{id}", invoice),
    ("/i/{id}/{id}/pdf", pdf),
    ("/receipts/{id}", receipt),
]
