"""What a form brings: its fields once each, our cookies, and the proof that it was on one of our pages.

A POST counts only with the token that its page carried, an ``Origin`` of this server, and the cookie and the
session the token belongs to, so neither another site nor a link nor a page of before can press a button.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from cohortlens.core.errors import InvalidArgument, PermissionDenied, Violation
from cohortlens.identity.models import TokenInvalid
from cohortlens.identity.sessions.refresh_tokens import RefreshToken
from gateway.http import body, faults, headers
from gateway.http.binding import refuse
from gateway.http.body import Receive
from gateway.http.headers import FORM, Head
from gateway.http.query import query_pairs
from gateway.http.replies import HeaderList
from gateway.http.requests import Request
from gateway.http.scalars import JsonFault

MAX_FORM_BYTES: Final = 64 * 1024
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
ACCESS: Final = "access"
"""Name of the cookie that holds the access token of a person who has signed in."""
REFRESH: Final = "refresh"
"""Name of the cookie that holds the newest refresh token of that session."""
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_FORM_LIFE_S: Final = 86400


class Fields:
    """The fields of a form or a query, in order.

    Args:
        pairs: Decoded names and values.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str:
        """The value of a field; empty when it was not sent.

        Raises:
            InvalidArgument: FIELD_INVALID: it was sent twice.
        """
        values = self._values.get(name, [""])
        if len(values) > 1:
            raise repeated(name)
        return values[0]

    def many(self, name: str) -> tuple[str, ...]:
        """All values of a field, as check boxes send them."""
        return tuple(self._values.get(name, ()))

    def singles(self) -> dict[str, str]:
        """Every field; raises InvalidArgument when one was sent twice."""
        return {name: self.one(name) for name in self._values}


def repeated(name: str) -> InvalidArgument:
    """A parameter that was sent more than once."""
    shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else "a parameter"
    return InvalidArgument(f"{shown}: must be sent once", violations=(Violation(shown, "must be sent once"),))


async def read_form(receive: Receive, head: Head) -> Fields:
    """The fields of a form body.

    Raises:
        InvalidArgument: UNSUPPORTED_MEDIA_TYPE, BODY_TOO_LARGE (over 64 KiB), or it cannot be decoded.
        DeadlineExceeded: REQUEST_TIMEOUT.
        ClientGone: The connection was closed.
    """
    media, parameters = headers.media_type(head.get("content-type"))
    if media != FORM or parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise faults.unsupported_media(f"Content-Type {FORM}")
    text = b"".join(
        [piece async for piece in body.pieces(receive, head, MAX_FORM_BYTES, body.BODY_TIMEOUT_S)]
    )
    return fields_of(text.decode("latin-1"))


def fields_of(query: str) -> Fields:
    """The fields of a raw query string or form body; raises InvalidArgument when it cannot be decoded."""
    try:
        return Fields(query_pairs(query))
    except JsonFault as fault:
        raise refuse(fault) from None


def cookies(head: Head) -> dict[str, str]:
    """Cookies by name; one that was sent twice is left out, since somebody else may have planted it."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for line in head.values.get("cookie", ()):
        for part in line.split(";"):
            name, equals, value = part.strip().partition("=")
            if equals and name in found:
                twice.add(name)
            elif equals:
                found[name] = value
    return {name: value for name, value in found.items() if name not in twice}


@dataclass
class Visit:
    """One request of a person's browser for a page.

    Attributes:
        request: Request line and headers.
        query: Parameters of the address.
        form: Fields of the form; None for GET.
        cookies: Cookies as the browser has them once it has read the answer.
        secure: Whether the pages are served under https, so that cookies can be bound to the host.
        token_of: Makes the form token of a session in this browser.
        headers: Headers to send beside those of the page.
        is_counted: Whether a call that reads for the page was counted against the limit of its reader.
    """

    request: Request
    query: Fields
    form: Fields | None
    cookies: dict[str, str]
    secure: bool
    token_of: Callable[[str], str]
    headers: HeaderList = field(default_factory=list)
    is_counted: bool = False

    @property
    def form_token(self) -> str:
        """What a form of the page must carry in the hidden field ``form_token``."""
        return self.token_of(session_of(self.cookie(REFRESH)))

    def cookie(self, name: str) -> str:
        """A cookie of ours; empty when there is none."""
        return self.cookies.get(_cookie_name(name, self.secure), "")

    def set_cookie(self, name: str, value: str, life_s: int) -> None:
        """Keep a value in the browser; no script and no other site can read or send it."""
        self.cookies[_cookie_name(name, self.secure)] = value
        self._put(name, value, life_s)

    def drop_cookie(self, name: str) -> None:
        """Forget a cookie."""
        self.cookies.pop(_cookie_name(name, self.secure), None)
        self._put(name, "", 0)

    def _put(self, name: str, value: str, life_s: int) -> None:
        start = f"{_cookie_name(name, self.secure)}=".encode()
        kept = [one for one in self.headers if one[0] != b"set-cookie" or not one[1].startswith(start)]
        self.headers[:] = [*kept, _set_cookie(name, value, life_s, self.secure)]


def session_of(refresh_token: str) -> str:
    """The session that a refresh token names, whether it proves it or not; empty when it is none."""
    try:
        return str(RefreshToken.parse(refresh_token).session_id)
    except TokenInvalid:
        return ""


class FormGuard:
    """Gives pages their form tokens and tests what comes back.

    Args:
        key: 32 bytes that every process of the gateway shares.
        public_url: Address under which browsers reach this server.
    """

    def __init__(self, key: bytes, public_url: str) -> None:
        self._key = key
        parts = urlsplit(public_url)
        self._origin = f"{parts.scheme}://{parts.netloc}".lower()
        self.secure = parts.scheme == "https"

    def visit(self, request: Request, form: Fields | None) -> Visit:
        """The visit, with a token for the forms of its page.

        Raises:
            PermissionDenied: FORM_REFUSED: the form is none of ours.
            InvalidArgument: The address cannot be decoded.
        """
        found = cookies(request.head)
        nonce = found.get(_cookie_name("form", self.secure), "")
        is_known = _NONCE.fullmatch(nonce) is not None
        if not is_known:
            nonce = os.urandom(16).hex()
        query = fields_of(request.query)
        visit = Visit(request, query, form, found, self.secure, partial(self._token, nonce))
        if form is not None and not (is_known and self._is_ours(visit, form)):
            raise PermissionDenied(
                "this form is too old or was not sent from this site; go back, reload the page and try again",
                reason="FORM_REFUSED",
            )
        if not is_known:
            visit.set_cookie("form", nonce, _FORM_LIFE_S)
        return visit

    def _is_ours(self, visit: Visit, form: Fields) -> bool:
        return self._same_origin(visit.request.head) and hmac.compare_digest(
            form.one(FORM_TOKEN).encode(), visit.form_token.encode()
        )

    def _same_origin(self, head: Head) -> bool:
        # Every browser names the origin of a POST; "null" is a sandboxed frame or a page that hides its own.
        # The browser alone writes Sec-Fetch-Site, and says cross-site for such a frame.
        origin, site = head.get("origin").lower(), head.get("sec-fetch-site").lower()
        if site not in {"", "same-origin"}:
            return False
        if origin in {"", "null"}:
            return site == "same-origin"
        if origin == self._origin:
            return True
        parts = urlsplit(origin)
        return not self.secure and parts.scheme == "http" and parts.netloc == head.get("host").lower() != ""

    def _token(self, nonce: str, session: str) -> str:
        return hmac.digest(self._key, f"{nonce}.{session}".encode(), hashlib.sha256).hex()


def _cookie_name(name: str, secure: bool) -> str:
    return f"__Host-cohortlens-{name}" if secure else f"cohortlens-{name}"


def _set_cookie(name: str, value: str, life_s: int, secure: bool) -> tuple[bytes, bytes]:
    text = f"{_cookie_name(name, secure)}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Lax"
    return b"set-cookie", (text + ("; Secure" if secure else "")).encode("ascii")
