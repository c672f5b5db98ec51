"""What the hosted pages share: their frame, the card form, the second step of authentication."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cohortlens.core import clock
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.cards import KnownCard, known_card
from cohortlens.embedded.stripe.provider import Provider, random_text

_TEMPLATES = Environment(
    loader=PackageLoader("cohortlens.embedded.stripe", "pages"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
)
_EXPIRY = re.compile(r"(0?[1-9]|1[0-2])\s*/\s*(?:20)?(\d\d)")
_CVC = re.compile(r"\d{3,4}")


@dataclass(frozen=True)
class Reply:
    """What a page answers.

    Attributes:
        body: Its bytes.
        status: HTTP status.
        headers: Further headers.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/html; charset=utf-8"})


@dataclass(frozen=True)
class Visit:
    """One request of a browser.

    Attributes:
        provider: The provider.
        path: Path without query.
        ids: What stood in the path's places.
        form: Fields of the form; none when a page is only looked at.
    """

    provider: Provider
    path: str
    ids: tuple[str, ...]
    form: dict[str, str] | None


PageHandler = Callable[[Visit], Reply]


class CardFault(Exception):
    """What somebody put in is no test card; the text is for them."""


def page(name: str, status: int = 200, **values: Any) -> Reply:
    """A page of a template."""
    return Reply(_TEMPLATES.get_template(name).render(**values).encode(), status)


def gone(text: str, back: str | None = None) -> Reply:
    """The page of what is no longer there."""
    return page("message.html", 404, heading="Nothing to do here", text=text, back=back, lines=[])


def forward(address: str) -> Reply:
    """Send the browser elsewhere."""
    return Reply(b"", 303, {"location": address})


def card_of(form: dict[str, str]) -> tuple[KnownCard, str]:
    """The test card of a form and its holder.

    Raises:
        CardFault: It is none, or a field is wrong.
    """
    holder = form.get("holder", "").strip()
    if not holder:
        raise CardFault("Enter the name on the card.")
    card = known_card(form.get("number", ""))
    if card is None:
        raise CardFault("This is none of the test cards below; real cards are never taken here.")
    found = _EXPIRY.fullmatch(form.get("expiry", "").strip())
    now = clock.now()
    if found is None:
        raise CardFault("Enter the expiry as month and year, such as 12 / 34.")
    if (2000 + int(found[2]), int(found[1])) < (now.year, now.month):
        raise CardFault("The card has expired. Enter a month in the future.")
    if _CVC.fullmatch(form.get("cvc", "").strip()) is None:
        raise CardFault("Enter a CVC of 3 or 4 digits.")
    return card, holder


def ask_to_authenticate(provider: Provider, kind: str, subject: str, card: KnownCard, holder: str) -> Reply:
    """Send the browser to the bank's page; ``kind`` says whose business goes on after it."""
    token = random_text(32)
    provider.store.keep(
        f"authentication:{token}", {"kind": kind, "subject": subject, "number": card.number, "holder": holder}
    )
    return forward(f"{provider.address}/authenticate/{token}")


def day(at: int) -> str:
    """A date for a person."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y")


def line_rows(lines: list[Object], show: Callable[[int, str], str]) -> list[dict[str, str]]:
    """Lines of an invoice or session for a table."""
    return [{"words": one["description"], "amount": show(one["amount"], one["currency"])} for one in lines]
