"""The head of an HTTP request, as an ASGI scope gives it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from cohortlens.core.errors import InvalidArgument
from gateway.http import headers
from gateway.http.headers import Head
from gateway.http.leaving import Ends

Scope = MutableMapping[str, Any]
_SMALL_BYTES: Final = 64 * 1024


# Not frozen: made once per request, and a frozen one takes three times as long to make.
@dataclass(slots=True)
class Request:
    """A request line and its headers.

    Attributes:
        verb: HTTP method.
        path: Raw path, still percent-encoded.
        query: Raw query string.
        head: Headers.
        peer: Address of the connection's other end.
        version: Version of HTTP, such as ``1.1`` or ``2``.
        ends: The two ends of the connection; None where they have no ports (tests).
    """

    verb: str
    path: str
    query: str
    head: Head
    peer: str
    version: str = ""
    ends: Ends | None = None

    @property
    def is_http1(self) -> bool:
        """Whether the connection carries one request at a time."""
        return self.version.startswith("1")

    def sends_much(self) -> bool:
        """Whether an HTTP/1 client may send a body that is dearer to read off than a new connection."""
        large = "transfer-encoding" in self.head.values or (self.head.length() or 0) > _SMALL_BYTES
        return large and self.is_http1

    @classmethod
    def read(cls, scope: Scope) -> Request:
        """The request of an ASGI scope."""
        raw = scope.get("raw_path") or scope["path"].encode("utf-8")
        client = scope.get("client")
        return cls(
            scope["method"],
            raw.partition(b"?")[0].decode("latin-1"),
            scope.get("query_string", b"").decode("latin-1"),
            Head.read(scope["headers"]),
            client[0] if client else "",
            scope.get("http_version", ""),
            _ends(client, scope.get("server")),
        )


def _ends(client: Any, server: Any) -> Ends | None:
    if not client or not server or not client[1] or not server[1]:
        return None
    return client[0], client[1], server[0], server[1]


def check_head(scope: Scope, request: Request) -> None:
    """Raise InvalidArgument (URI_TOO_LONG, HEADERS_TOO_LARGE) for a head beyond its limits."""
    if len(request.path) + len(request.query) > headers.MAX_TARGET_BYTES:
        raise InvalidArgument("the path and query are longer than 16 KiB", reason="URI_TOO_LONG")
    raw = scope["headers"]
    if len(raw) > headers.MAX_HEADERS:
        raise InvalidArgument("more than 100 headers", reason="HEADERS_TOO_LARGE")
    if sum(map(len, chain.from_iterable(raw))) > headers.MAX_HEADER_BYTES:
        raise InvalidArgument("the headers are larger than 32 KiB", reason="HEADERS_TOO_LARGE")
