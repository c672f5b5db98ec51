"""What browsers of other sites may do: nothing, unless the settings list their origin (CORS); HSTS beside it.

Runs before any door and before authentication. An origin is compared as a whole: scheme, host and port.
Credentials in the sense of CORS (cookies) are never allowed, so a token must be sent by the page itself; that
is why ``*`` may stand for every origin. Pages without an origin of their own (``null``: files, sandboxes) get
nothing.
Listed origins may call the endpoints of OAuth 2 like any other, as public clients in a browser do; our own
pages for people, the one that authorises among them, are for navigation and never for scripts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from gateway.config import listed_origins
from gateway.http.body import Receive
from gateway.http.replies import SendEvent
from gateway.http.requests import Scope

Door = Callable[[Scope, Receive, SendEvent], Awaitable[None]]

MAX_AGE_S: Final = 600
HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Last-Event-ID comes back with readers of event streams that can send a token, as EventSource cannot; what
# begins with connect-, grpc- and x-grpc-web belongs to the clients of Connect and gRPC-Web.
_REQUEST_HEADERS: Final = (
    b"authorization, content-type, content-encoding, accept, idempotency-key, if-match, if-none-match, "
    b"last-event-id, prefer, x-request-id, x-request-timeout, traceparent, tracestate, "
    b"connect-protocol-version, connect-timeout-ms, connect-accept-encoding, connect-content-encoding, "
    b"grpc-timeout, x-grpc-web, x-user-agent"
)
_EXPOSED: Final = (
    b"etag, retry-after, ratelimit, ratelimit-policy, x-request-id, deprecation, sunset, link, location, "
    b"idempotent-replayed, preference-applied, x-deadline-clamped, allow, content-disposition, "
    b"www-authenticate, grpc-status, grpc-message, grpc-status-details-bin"
)
_NULL: Final = b"null"


def guarded(
    door: Door,
    origins: str,
    *,
    is_secure: bool,
    is_page: Callable[[str], bool] = lambda _: False,
    methods: Callable[[str], Sequence[str]] = lambda _: (),
) -> Door:
    """The door itself, or ``Browsers`` before it where there is something to say to browsers."""
    if not origins and not is_secure:
        return door
    return Browsers(door, origins, is_page, methods, is_secure=is_secure)


class Browsers:
    """Stands before the doors of the HTTP listener.

    Args:
        door: Answers every request but preflights.
        origins: Origins whose pages may read answers, separated by commas or white space; ``*`` for all,
            empty for none.
        is_page: Whether a path is a page of ours for people, which no script of another site may read.
        methods: HTTP methods of a raw path; none where that is not known.
        is_secure: Whether this address is reached over TLS, so that browsers are told to stay with it.
    """

    def __init__(
        self,
        door: Door,
        origins: str,
        is_page: Callable[[str], bool],
        methods: Callable[[str], Sequence[str]],
        *,
        is_secure: bool,
    ) -> None:
        self._door = door
        self._is_page, self._methods = is_page, methods
        self._origins = frozenset(one.encode("latin-1") for one in listed_origins(origins))
        self._takes_all = self._origins == {b"*"}
        self._added = [HSTS] if is_secure else []

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Answer one request."""
        origin, asked = _origin_of(scope)
        added, is_page = list(self._added), self._is_page(scope["path"])
        if self._origins and not is_page:
            # Caches must keep answers apart by origin, also those to nobody's: else the metadata that a
            # program fetched would be handed to a browser, which could not read it.
            added.append((b"vary", b"Origin"))
            if self._may_read(origin):
                added += [
                    (b"access-control-allow-origin", b"*" if self._takes_all else origin or b""),
                    (b"access-control-expose-headers", _EXPOSED),
                ]
        if origin is not None and asked and not is_page:
            methods = self._methods(_raw_path(scope)) or _METHODS
            await _preflight(send, added, methods if self._may_read(origin) else ())
            return

        async def sending(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], *added]
            await send(event)

        await self._door(scope, receive, sending if added else send)

    def _may_read(self, origin: bytes | None) -> bool:
        if origin is None or origin == _NULL:
            return False
        return self._takes_all or origin in self._origins


async def _preflight(send: SendEvent, added: list[tuple[bytes, bytes]], methods: Sequence[str]) -> None:
    """Say what a page may do; 403 where that is nothing."""
    headers = [*added, (b"cache-control", b"no-store"), (b"content-length", b"0")]
    if methods:
        headers += [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", str(MAX_AGE_S).encode()),
        ]
    await send({"type": "http.response.start", "status": 204 if methods else 403, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _origin_of(scope: Scope) -> tuple[bytes | None, bool]:
    """The origin that a browser names, and whether it only asks what it may do."""
    origin, asks = None, False
    for name, value in scope["headers"]:
        lower = name.lower()
        if lower == b"origin":
            origin = value
        elif lower == b"access-control-request-method":
            asks = True
    return origin, asks and scope["method"] == "OPTIONS"
