"""HTTP headers: what of a request becomes metadata and deadline, and what every answer carries."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cohortlens.core.errors import CohortLensError, InvalidArgument
from gateway.http.metrics import DROPPED
from gateway.interceptors.request_id import parse_grpc_timeout

MAX_TARGET_BYTES: Final = 16 * 1024
MAX_HEADER_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
_MAX_ITEMS: Final = 64

NO_STORE: Final = (b"cache-control", b"no-store")
"""The header of answers that nothing may keep."""

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
NDJSON: Final = "application/x-ndjson"
FORM: Final = "application/x-www-form-urlencoded"

RawHeaders = Iterable[tuple[bytes, bytes]]

_METADATA_PREFIX = "grpc-metadata-"
# Passed on under their own names: the chain reads them.
_OWN_NAMES = frozenset(
    {
        "authorization",
        "x-request-id",
        "traceparent",
        "tracestate",
        "user-agent",
        "accept-language",
        "sec-gpc",
        "idempotency-key",
    }
)
_REFUSED = re.compile(r"grpc-|:|x-forwarded-|x-cohortlens-|(?:authorization|cookie|host)\Z")
# Permanent message headers of HTTP (IANA) that describe the request; credentials are never copied.
_PERMANENT = frozenset(
    {
        *("accept", "accept-charset", "accept-language", "accept-ranges", "cache-control", "content-type"),
        *(
            "date",
            "expect",
            "from",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-schedule-tag-match",
        ),
        *(
            "if-unmodified-since",
            "max-forwards",
            "origin",
            "pragma",
            "referer",
            "user-agent",
            "via",
            "warning",
        ),
    }
)
_BINARY = "-bin"
_METADATA_NAME = re.compile(r"[a-z0-9_.-]+")
_SECONDS = re.compile(r"[0-9]{1,8}(?:\.[0-9]{1,9})?")
_MILLISECONDS = re.compile(r"[0-9]{1,10}")
_LONG_NANOS = re.compile(r"([1-9][0-9]{8,9})n")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
JSON_POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


@dataclass(slots=True)
class Head:
    """The headers of a request.

    Attributes:
        values: All values by lower-case name, in order.
    """

    values: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: RawHeaders) -> Head:
        """Decode the headers of an ASGI scope."""
        head = cls()
        for name, value in raw:
            head.values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return head

    def get(self, name: str) -> str:
        """The values of a header, joined by commas; empty when absent."""
        return ", ".join(self.values.get(name, ()))

    def length(self) -> int | None:
        """The declared length of the body in bytes; None when it is not declared."""
        text = self.get("content-length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def metadata(head: Head, peer: str, permanent: str = "") -> dict[str, list[str]]:
    """Metadata of the call: ``Grpc-Metadata-X`` as ``x``, the headers the chain reads, the forwarding trail.

    Names that would pass for the transport's or for another caller's are left out. Values of ``-bin`` names
    are base64 of the standard alphabet without padding, as everywhere in the chain, however they came.

    Args:
        head: The request's headers.
        peer: Address of the connection's other end; empty when not known.
        permanent: Prefix under which the permanent headers of HTTP are passed on too; empty: they are not.
    """
    found: dict[str, list[str]] = {}
    for name, values in head.values.items():
        if permanent and name in _PERMANENT:
            found.setdefault(permanent + name, []).extend(values)
        if name in _OWN_NAMES:
            found.setdefault(name, []).extend(values)
        elif name.startswith(_METADATA_PREFIX):
            short = name[len(_METADATA_PREFIX) :]
            refused = _REFUSED.match(short)
            if refused or not _METADATA_NAME.fullmatch(short):
                DROPPED.labels(refused[0] if refused else "malformed").inc(len(values))
            elif short.endswith(_BINARY):
                found.setdefault(short, []).extend(_base64(one) for one in _binaries(values))
            else:
                found.setdefault(short, []).extend(values)
    trail = [*head.values.get("x-forwarded-for", ()), *([peer] if peer else ())]
    if trail:
        found["x-forwarded-for"] = [", ".join(trail)]
    host = head.get("x-forwarded-host") or head.get("host")
    if host:
        found["x-forwarded-host"] = [host]
    return found


def binary_fault(head: Head) -> CohortLensError | None:
    """The fault HEADER_INVALID where a ``Grpc-Metadata-...-bin`` header is no base64; None without one."""
    for name, values in head.values.items():
        if name.endswith(_BINARY) and name.startswith(_METADATA_PREFIX) and None in _binaries(values):
            shown = name if _METADATA_NAME.fullmatch(name) else "a -bin header"
            return InvalidArgument(
                f"{shown} must be base64, padded or not", reason="HEADER_INVALID", metadata={"header": shown}
            )
    return None


def _binaries(values: Iterable[str]) -> list[bytes | None]:
    """The bytes of each part of a ``-bin`` header, which commas join; None for one that is no base64."""
    return [_bytes(part.strip()) for value in values for part in value.split(",")]


def _bytes(text: str) -> bytes | None:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return None


def _base64(value: bytes | None) -> str:
    # What is no base64 is refused once the caller is known; until then nobody reads it.
    return base64.b64encode(value or b"").decode("ascii").rstrip("=")


def timeout(head: Head) -> tuple[float | None, CohortLensError | None]:
    """Seconds the caller gives, the smallest of all it names; or the fault DEADLINE_INVALID."""
    found: list[float] = []
    for name, read in _TIMEOUTS.items():
        for text in head.values.get(name, ()):
            seconds, fault = read(text)
            if seconds is None:
                return None, fault
            found.append(seconds)
    return (min(found) if found else None), None


def _grpc_timeout(text: str) -> tuple[float | None, CohortLensError | None]:
    # Up to ten digits of nanoseconds, not eight as in gRPC: other transcoders take them.
    long_nanos = _LONG_NANOS.fullmatch(text)
    return (int(long_nanos[1]) * 1e-9, None) if long_nanos else parse_grpc_timeout(text)


def _request_timeout(text: str) -> tuple[float | None, CohortLensError | None]:
    if _SECONDS.fullmatch(text) and float(text) > 0:
        return float(text), None
    return None, _deadline_invalid("X-Request-Timeout must be seconds above zero, such as 2.5")


def _connect_timeout(text: str) -> tuple[float | None, CohortLensError | None]:
    if _MILLISECONDS.fullmatch(text) and int(text) > 0:
        return int(text) * 1e-3, None
    return None, _deadline_invalid("Connect-Timeout-Ms must be milliseconds above zero, at most ten digits")


def _deadline_invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason="DEADLINE_INVALID")


_TIMEOUTS: Final = {
    "grpc-timeout": _grpc_timeout,
    "x-request-timeout": _request_timeout,
    "connect-timeout-ms": _connect_timeout,
}


def _items(text: str) -> list[str]:
    """The first items of a list of a header; 32,000 of them took 85 ms to compare, and nobody means them."""
    return text.split(",", _MAX_ITEMS)[:_MAX_ITEMS]


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """Media type in lower case and its parameters; an empty type when ``text`` is none."""
    match = _MEDIA_TYPE.match(text.strip())
    if match is None:
        return "", {}
    return match[0].lower(), parameters(text)


def parameters(text: str) -> dict[str, str]:
    """The ``;name=value`` parameters of a header value, names in lower case, quotes taken off."""
    return {
        item[1].lower(): re.sub(r"\\(.)", r"\1", item[2]) if item[2] is not None else item[3]
        for item in _PARAMETER.finditer(text)
    }


def accepts(head: Head, offered: Iterable[str]) -> str | None:
    """The offered media type the caller likes best; the first one without an Accept; None when none will do.

    ``application/problem+json`` asks for another form of errors only, so it stands for JSON here.
    """
    offers, text = list(offered), head.get("accept")
    if not text.strip():
        return offers[0]
    best: tuple[float, int, str] | None = None
    for item in _items(text):
        name, given = media_type(item)
        quality = _quality(given.get("q", "1"))
        for rank, offer in enumerate(offers):
            if quality > 0 and _covers(name, offer) and (best is None or (quality, -rank) > best[:2]):
                best = (quality, -rank, offer)
    return best[2] if best else None


def _covers(name: str, offer: str) -> bool:
    if name in {offer, "*/*", f"{offer.partition('/')[0]}/*"}:
        return True
    return name == PROBLEM and offer == JSON


def _quality(text: str) -> float:
    try:
        return float(text) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", text) else 0.0
    except ValueError:
        return 0.0


def wants_problem(head: Head) -> bool:
    """Whether errors are to be RFC 9457 problem details."""
    return any(media_type(item)[0] == PROBLEM for item in _items(head.get("accept")))


def wants_lenient(head: Head) -> bool:
    """Whether unknown names are to be dropped: ``Prefer: handling=lenient``."""
    if "prefer" not in head.values:
        return False
    preferences = [item.strip().lower() for item in _items(head.get("prefer"))]
    return "handling=lenient" in preferences


def reply_headers(pairs: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Initial metadata of an answer as headers: HTTP's own names, others as ``Grpc-Metadata-*``."""
    found = []
    for name, value in pairs:
        shown = name if name in _REPLY_OWN else f"grpc-metadata-{name}"
        found.append((shown.encode("latin-1"), value.encode("latin-1", "replace")))
    return found


_REPLY_OWN: Final = frozenset(
    {
        "x-request-id",
        "cache-control",
        "content-disposition",
        "etag",
        "x-deadline-clamped",
        "www-authenticate",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "idempotent-replayed",
        "deprecation",
        "sunset",
        "link",
        "location",
    }
)
