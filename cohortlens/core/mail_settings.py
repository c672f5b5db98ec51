"""What the settings of mails say, and what in them cannot work."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import getaddresses
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Security = Literal["starttls", "tls", "none"]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"smtp": 587, "smtps": 465}
_ADDRESS = re.compile(r"[^\s@<>,;:\"\x00-\x20]+@[A-Za-z0-9.-]+")
_FORM = "expected smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465 (TLS)"


@dataclass(frozen=True)
class MailServer:
    """How to reach a mail server.

    Attributes:
        host: Name or address.
        port: Its port.
        security: ``starttls`` (demanded), ``tls`` from the first byte, ``none``.
        username: Empty when none is sent.
        password: Empty when none is sent.
    """

    host: str
    port: int
    security: Security
    username: str = ""
    password: str = field(default="", repr=False)


def mail_server(url: str) -> MailServer:
    """The server of ``COHORTLENS_SMTP_URL``.

    Args:
        url: ``smtp://`` demands STARTTLS, except of a server on this machine and with ``?tls=off``;
            ``smtps://`` speaks TLS from the start.

    Raises:
        ValueError: It cannot be used; the sentence holds no password.
    """
    parts = urlsplit(url)
    host, port = _endpoint(parts)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme not in _PORTS or not host or parts.path not in {"", "/"} or parts.fragment:
        raise ValueError(f"COHORTLENS_SMTP_URL cannot be used: {_FORM}")
    if set(query) - {"tls"} or query.get("tls", "off") != "off":
        raise ValueError("COHORTLENS_SMTP_URL: the only parameter is tls=off")
    security = _security(parts.scheme, host, has_tls=query.get("tls") != "off")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if username and security == "none" and host not in _LOOPBACK:
        raise ValueError("COHORTLENS_SMTP_URL: a password is not sent without TLS; leave out tls=off")
    if bool(username) != bool(password):
        raise ValueError("COHORTLENS_SMTP_URL: give user and password, or neither")
    return MailServer(host, port or _PORTS[parts.scheme], security, username, password)


def mail_faults(smtp_url: str, mail_from: str, public_url: str, *, is_production: bool) -> list[str]:
    """What in the settings of mails cannot work, one sentence each."""
    faults = []
    try:
        if smtp_url:
            mail_server(smtp_url)
    except ValueError as fault:
        faults.append(str(fault))
    if not is_sender(mail_from):
        faults.append(
            f"COHORTLENS_MAIL_FROM={mail_from!r}: expected one address such as Name <name@example.org>"
        )
    public = urlsplit(public_url)
    if public_url and (public.scheme not in {"http", "https"} or not public.netloc or public.query):
        faults.append(
            f"COHORTLENS_PUBLIC_URL={public_url!r}: expected an address such as https://app.example.org"
        )
    if is_production:
        faults += _production_faults(smtp_url, mail_from, public.scheme)
    return faults


def is_sender(mail_from: str) -> bool:
    """Whether ``mail_from`` is one address, with or without a name."""
    has_break = any(ord(character) < ord(" ") for character in mail_from)
    found = getaddresses([mail_from])
    return not has_break and len(found) == 1 and _ADDRESS.fullmatch(found[0][1]) is not None


def _production_faults(smtp_url: str, mail_from: str, public_scheme: str) -> list[str]:
    faults = []
    if not smtp_url:
        faults.append(
            "COHORTLENS_SMTP_URL is not set: nobody could verify an address or reset a password, and "
            f"production has no stand-in; {_FORM}"
        )
    if mail_from.rstrip(">").endswith(".local"):
        faults.append("COHORTLENS_MAIL_FROM is not set: mail servers refuse mail from cohortlens.local")
    if public_scheme != "https":
        faults.append("COHORTLENS_PUBLIC_URL: links in mails need an https address in production")
    return faults


def _endpoint(parts: SplitResult) -> tuple[str, int | None]:
    try:
        return parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"COHORTLENS_SMTP_URL has no valid port: {_FORM}") from None


def _security(scheme: str, host: str, *, has_tls: bool) -> Security:
    if scheme == "smtps":
        if not has_tls:
            raise ValueError("COHORTLENS_SMTP_URL: smtps:// and tls=off contradict each other")
        return "tls"
    return "starttls" if has_tls and host not in _LOOPBACK else "none"
