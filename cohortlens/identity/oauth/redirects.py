"""Where a code may be sent: what a client can register, and what a request may then name.

What is compared is text, so an address has one spelling: ASCII, lower-case host, no user, no fragment,
nothing that some parser of a browser reads in another way than we do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit

from cohortlens.core.errors import InvalidArgument, Violation

MOST_CHARACTERS = 2048
_LOOPBACK = frozenset({"127.0.0.1", "[::1]"})
_HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PATH = r"(?:/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:/%]*)?"
_QUERY = r"(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:/?%]*)?"
_WEB = re.compile(rf"https://(?:{_HOST}|localhost)(?::[1-9][0-9]{{0,4}})?{_PATH}{_QUERY}")
_ON_DEVICE = re.compile(rf"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::[1-9][0-9]{{0,4}})?{_PATH}{_QUERY}")
_OWN_SCHEME = re.compile(rf"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:/%]*{_QUERY}")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|\?|\Z)", re.IGNORECASE)
_OURS = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})


def check_redirect_uri(uri: str, field: str, *, is_public: bool) -> None:
    """Refuse an address that a client may not register.

    Args:
        uri: The address.
        field: Where it stands, for the fault.
        is_public: Whether the client is an application on people's devices.

    Raises:
        InvalidArgument: URL_NOT_ALLOWED.
    """
    fault = _fault(uri, is_public=is_public)
    if fault:
        raise InvalidArgument(
            f"{field}: {fault}", reason="URL_NOT_ALLOWED", violations=(Violation(field, fault),)
        )


def is_registered(uri: str, registered: Iterable[str], *, is_public: bool) -> bool:
    """Whether a request may name ``uri``.

    Exactly one of the registered texts; only an application on a device, which cannot know the port it will
    get, may put any port into its address on 127.0.0.1 or [::1] (RFC 8252 7.3).
    """
    if uri in registered:
        return True
    if not is_public or _fault(uri, is_public=True):
        return False
    wanted = _without_port(uri)
    return wanted is not None and any(_without_port(one) == wanted for one in registered)


def with_parameters(uri: str, parameters: dict[str, str]) -> str:
    """A registered address with the answer's parameters behind those it has."""
    given = urlencode({name: value for name, value in parameters.items() if value})
    return f"{uri}{'&' if '?' in uri else '?'}{given}"


def form_target(uri: str) -> str:
    """What ``form-action`` of a page must allow so that its form may redirect to a registered address."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _fault(uri: str, *, is_public: bool) -> str:
    if len(uri) > MOST_CHARACTERS:
        return f"is longer than {MOST_CHARACTERS} characters"
    if _DOTS.search(uri) or re.search(r"%(?![0-9A-Fa-f]{2})", uri):
        return "must be in its plain form, without dot segments and broken escapes"
    if {name for name, _ in parse_qsl(uri.partition("?")[2], keep_blank_values=True)} & _OURS:
        return f"may not have a parameter named {', '.join(sorted(_OURS))}"
    if (_WEB.fullmatch(uri) or _ON_DEVICE.fullmatch(uri)) and _port_exists(uri):
        return ""
    if _OWN_SCHEME.fullmatch(uri):
        return "" if is_public else "a scheme of its own is for public clients"
    allowed = "https://host/path, http://127.0.0.1/path on the user's own machine"
    own = ", or a scheme of its own such as com.example.app:/path" if is_public else ""
    return f"must be {allowed}{own}; lower-case ASCII host, no user, no fragment, no wildcard"


def _port_exists(uri: str) -> bool:
    try:
        port = urlsplit(uri).port
    except ValueError:
        return False
    return port is None or port <= 65535


def _without_port(uri: str) -> tuple[str, str] | None:
    """Host and rest of an address on the loopback interface; None for any other."""
    match = re.fullmatch(r"http://(127\.0\.0\.1|\[::1\])(?::[0-9]+)?([/?].*)?", uri)
    return None if match is None or match[1] not in _LOOPBACK else (match[1], match[2] or "")
