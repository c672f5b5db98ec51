"""Trailing metadata of an answer as HTTP trailers, ``Grpc-Trailer-*``, for callers that say ``TE: trailers``.

Source: RFC 9110, 6.5 and 10.1.4. To all others trailing metadata is not sent: nobody would read it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final

from gateway.http.headers import Head
from gateway.http.replies import HeaderList, StatusSend

_PREFIX: Final = "grpc-trailer-"
_NO_BODY: Final = frozenset({204, 304})
Pairs = Callable[[], list[tuple[str, str]]]


def wants_trailers(head: Head) -> bool:
    """Whether the caller takes trailers."""
    if "te" not in head.values:
        return False
    return any(one.partition(";")[0].strip().lower() == "trailers" for one in head.get("te").split(","))


class TrailedSend(StatusSend):
    """A ``send`` that puts trailers behind the body.

    Args:
        send: The ASGI ``send``.
        metadata: Gives the trailing metadata, names in lower case.
        streams: Whether it becomes known only while the body is sent; else it is known before.
    """

    __slots__ = ("_metadata", "_streams", "_trails")

    def __init__(self, send: StatusSend, metadata: Pairs, *, streams: bool) -> None:
        super().__init__(send)
        self._metadata, self._streams, self._trails = metadata, streams, False

    async def __call__(self, event: MutableMapping[str, Any]) -> None:
        """Pass an event on; the one that ends the body with the trailers behind it."""
        if event["type"] == "http.response.start":
            event = self._begun(event)
        await super().__call__(event)
        if self._trails and event["type"] == "http.response.body" and not event.get("more_body", False):
            await self._send({"type": "http.response.trailers", "headers": self._trailers()})

    def _begun(self, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        trailers = self._trailers()
        if event["status"] in _NO_BODY or not (self._streams or trailers):
            return event
        self._trails = True
        # Over HTTP/1.1 trailers follow the last chunk, and a body of a stated length has none.
        headers = [one for one in event["headers"] if one[0] != b"content-length"]
        if trailers:
            names = sorted({name for name, _ in trailers})
            headers.append((b"trailer", b", ".join(names)))
        return {**event, "headers": headers, "trailers": True}

    def _trailers(self) -> HeaderList:
        return [
            ((_PREFIX + name).encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in self._metadata()
        ]
