"""Request bodies: whole or in pieces, within a limit and a time, gzip inflated through a counter."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from cohortlens.core.errors import DeadlineExceeded, InvalidArgument
from gateway.http import faults
from gateway.http.headers import Head

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_JSON_BYTES: Final = 4 * 1024 * 1024
BODY_TIMEOUT_S: Final = 15.0
_PIECE_BYTES: Final = 256 * 1024


class ClientGone(Exception):
    """The connection was closed before the body was complete."""


def encoding_of(head: Head) -> str:
    """``gzip`` or ``identity``.

    Raises:
        InvalidArgument: UNSUPPORTED_MEDIA_TYPE for any other Content-Encoding.
    """
    if "content-encoding" not in head.values:
        return "identity"
    encoding = head.get("content-encoding").strip().lower() or "identity"
    if encoding not in {"gzip", "identity"}:
        raise faults.unsupported_media("Content-Encoding gzip or identity")
    return encoding


async def raw_pieces(receive: Receive, idle_timeout_s: float) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Raises:
        DeadlineExceeded: REQUEST_TIMEOUT when nothing arrives for ``idle_timeout_s`` seconds.
        ClientGone: The connection was closed.
    """
    more = True
    while more:
        try:
            async with asyncio.timeout(idle_timeout_s):
                event = await receive()
        except TimeoutError:
            raise DeadlineExceeded("the body did not arrive in time", reason="REQUEST_TIMEOUT") from None
        if event["type"] != "http.request":
            raise ClientGone
        more = event.get("more_body", False)
        if event.get("body"):
            yield event["body"]


async def pieces(receive: Receive, head: Head, limit: int, idle_timeout_s: float) -> AsyncIterator[bytes]:
    """The inflated body in pieces of at most 256 KiB when it is compressed, else as it arrives.

    Raises:
        InvalidArgument: BODY_TOO_LARGE beyond ``limit`` bytes, before the rest is read;
            UNSUPPORTED_MEDIA_TYPE; FIELD_INVALID for a body that is not gzip although its header says so.
        DeadlineExceeded: REQUEST_TIMEOUT.
        ClientGone: The connection was closed.
    """
    gzip = encoding_of(head) == "gzip"
    if (head.length() or 0) > limit:
        raise faults.too_large(limit)
    total = 0
    source = raw_pieces(receive, idle_timeout_s)
    async for piece in inflated(source) if gzip else source:
        total += len(piece)
        if total > limit:
            raise faults.too_large(limit)
        yield piece


async def inflated(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The content of a gzip stream of one or more members, in pieces of at most 256 KiB."""
    inflate, begun = zlib.decompressobj(wbits=31), False
    async for piece in source:
        while piece:
            if inflate.eof:
                inflate = zlib.decompressobj(wbits=31)
            begun = True
            try:
                out = inflate.decompress(piece, _PIECE_BYTES)
            except zlib.error:
                raise InvalidArgument("the body is not gzip, as Content-Encoding says") from None
            piece = inflate.unconsumed_tail or inflate.unused_data  # noqa: PLW2901 - what is left of it
            if out:
                yield out
            # A bomb inflates without awaiting anything: let other calls run between two pieces.
            await asyncio.sleep(0)
    while begun and not inflate.eof:
        out = inflate.decompress(b"", _PIECE_BYTES)
        if not out:
            raise InvalidArgument("the gzip body is cut off")
        yield out


async def whole(receive: Receive, head: Head, limit: int = MAX_JSON_BYTES) -> bytes:
    """The whole inflated body; raises like ``pieces``, and REQUEST_TIMEOUT after 15 s in all."""
    plain = encoding_of(head) == "identity" and (head.length() or 0) <= limit
    if plain:
        # Most bodies are there in one piece: no timer, the deadline of the call covers the wait.
        event = await receive()
        if event["type"] != "http.request":
            raise ClientGone
        first: bytes = event.get("body", b"")
        if not event.get("more_body", False) and len(first) <= limit:
            return first
        receive = _again(event, receive)
    parts = []
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in pieces(receive, head, limit, BODY_TIMEOUT_S):
                parts.append(piece)  # noqa: PERF401 - an async comprehension would hide the limit's error
    except TimeoutError:
        raise DeadlineExceeded("the body did not arrive in time", reason="REQUEST_TIMEOUT") from None
    return b"".join(parts)


def _again(event: MutableMapping[str, Any], receive: Receive) -> Receive:
    """A ``receive`` that gives ``event`` once more before all others."""
    held = [event]

    async def next_event() -> MutableMapping[str, Any]:
        return held.pop() if held else await receive()

    return next_event
