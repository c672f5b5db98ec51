"""Where the payment provider may send a browser back: pages of this installation and of origins it allows.

What is compared is text, so an address has one spelling: ASCII, lower-case host, no user, no fragment,
nothing that some parser of a browser reads in another way than we do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.selling_settings import ORIGIN, without_usual_port

MOST_CHARACTERS = 2048
RETURN_PATH = "/billing/return"
"""Page that waits until the subscription is confirmed; it grants nothing."""
BILLING_PATH = "/billing"

_URL = re.compile(
    rf"({ORIGIN})"
    r"(?:/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:/%]*)?"
    r"(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:/?%]*)?"
)
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|\?|\Z)", re.IGNORECASE)


class ReturnUrls:
    """Judges return addresses, and gives those of this installation.

    Args:
        public_url: Where people reach this installation; empty when that is not known.
        origins: Further origins whose pages may be returned to, such as ``https://app.example.org``.
    """

    def __init__(self, public_url: str, origins: Iterable[str] = ()) -> None:
        self._base = public_url.rstrip("/")
        own = [_origin_of(self._base)] if self._base else []
        self._allowed = frozenset([*own, *origins])

    def checked(self, url: str, field: str, path: str = BILLING_PATH) -> str:
        """``url`` if it may be returned to; the page ``path`` of this installation when it is empty.

        Args:
            url: The address of a request.
            field: Where it stands, for the fault.
            path: Page of this installation.

        Raises:
            InvalidArgument: URL_NOT_ALLOWED.
        """
        if not url and self._base:
            return self._base + path
        if fault := self._fault(url):
            raise InvalidArgument(
                f"{field}: {fault}", reason="URL_NOT_ALLOWED", violations=(Violation(field, fault),)
            )
        return url

    def _fault(self, url: str) -> str:
        if not url:
            return "must be given: this installation does not know its own address (COHORTLENS_PUBLIC_URL)"
        if len(url) > MOST_CHARACTERS:
            return f"is longer than {MOST_CHARACTERS} characters"
        if _DOTS.search(url) or re.search(r"%(?![0-9A-Fa-f]{2})", url):
            return "must be in its plain form, without dot segments and broken escapes"
        match = _URL.fullmatch(url)
        if match is None:
            return (
                "must be an address such as https://app.example.org/billing: lower-case ASCII host, "
                "no user, no fragment, no backslash"
            )
        if match[1] not in self._allowed:
            return (
                "its origin is not allowed; use this installation's own address or one of "
                "COHORTLENS_ALLOWED_ORIGINS"
            )
        return ""


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return without_usual_port(f"{parts.scheme}://{parts.netloc}".lower())
