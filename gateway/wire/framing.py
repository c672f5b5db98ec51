"""Length-prefixed messages of gRPC: one byte of compression, four of length, the message.

A message is refused by its declared length before it is gathered, and by its inflated size while it is
inflated, so neither a lie nor a bomb takes memory beyond the limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from cohortlens.core.errors import InvalidArgument, ResourceExhausted, Unimplemented

MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
COMPRESS_ABOVE_BYTES = 1024
ENCODINGS = "identity,gzip"

_PREFIX_BYTES = 5
_GZIP_WBITS = 31
_GZIP_LEVEL = 1


class FrameReader:
    """Cuts the bytes of one direction of a stream into messages.

    Args:
        encoding: Value of ``grpc-encoding``; empty for none.
        max_bytes: Largest message, before and after inflating.

    Raises:
        Unimplemented: The encoding is not supported (ENCODING_UNSUPPORTED).
    """

    __slots__ = ("_buffer", "_gzip", "_max_bytes")

    def __init__(self, encoding: str = "", max_bytes: int = MAX_REQUEST_BYTES) -> None:
        if encoding not in ("", "identity", "gzip"):
            raise encoding_unsupported()
        self._gzip = encoding == "gzip"
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The messages that are complete with ``chunk``.

        Raises:
            ResourceExhausted: A message is too large (MESSAGE_TOO_LARGE).
            InvalidArgument: The frame is broken (FRAME_INVALID).
        """
        buffer = self._buffer
        buffer += chunk
        while len(buffer) >= _PREFIX_BYTES:
            flag, size = buffer[0], int.from_bytes(buffer[1:_PREFIX_BYTES], "big")
            if size > self._max_bytes:
                raise too_large(self._max_bytes)
            if flag not in (0, 1):
                raise broken_frame("the compression byte must be 0 or 1")
            end = _PREFIX_BYTES + size
            if len(buffer) < end:
                return
            message = bytes(buffer[_PREFIX_BYTES:end])
            del buffer[:end]
            yield self._inflate(message) if flag else message

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def end(self) -> None:
        """Note the end of the stream; raises InvalidArgument (FRAME_INVALID) within a message."""
        if self._buffer:
            raise broken_frame("the stream ended inside a message")

    def _inflate(self, message: bytes) -> bytes:
        if not self._gzip:
            raise broken_frame("a compressed message needs grpc-encoding: gzip")
        inflater = zlib.decompressobj(_GZIP_WBITS)
        try:
            inflated = inflater.decompress(message, self._max_bytes + 1)
        except zlib.error:
            raise broken_frame("the message is not gzip") from None
        if len(inflated) > self._max_bytes:
            raise too_large(self._max_bytes)
        if not inflater.eof or inflater.unused_data:
            raise broken_frame("the message is not one whole gzip member")
        return inflated


def single_message(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The one message of a unary request, from its whole body.

    Raises:
        CohortLensError: As ``FrameReader``; InvalidArgument (FRAME_INVALID) unless there is exactly one.
    """
    # The usual case costs one comparison and one slice.
    if body[:1] == b"\0" and len(body) == _PREFIX_BYTES + int.from_bytes(body[1:_PREFIX_BYTES], "big"):
        if len(body) - _PREFIX_BYTES > max_bytes:
            raise too_large(max_bytes)
        return body[_PREFIX_BYTES:]
    reader = FrameReader(encoding, max_bytes)
    messages = list(reader.feed(body))
    reader.end()
    if len(messages) != 1:
        raise broken_frame(f"this call takes exactly one message; got {len(messages)}")
    return messages[0]


def frame(message: bytes, *, compress: bool, max_bytes: int = MAX_RESPONSE_BYTES) -> bytes:
    """One message with its prefix, gzipped if asked and worth it.

    Raises:
        ResourceExhausted: The message is larger than ``max_bytes`` (MESSAGE_TOO_LARGE).
    """
    checked_reply(message, max_bytes)
    if compress and len(message) > COMPRESS_ABOVE_BYTES:
        packed = zlib.compress(message, _GZIP_LEVEL, _GZIP_WBITS)
        return b"\1" + len(packed).to_bytes(4, "big") + packed
    return b"\0" + len(message).to_bytes(4, "big") + message


def checked_reply(message: bytes, max_bytes: int) -> bytes:
    """The message itself; raises ResourceExhausted (MESSAGE_TOO_LARGE) over ``max_bytes``."""
    if len(message) > max_bytes:
        raise ResourceExhausted(
            f"the reply is larger than {max_bytes} bytes; ask for less at a time",
            reason="MESSAGE_TOO_LARGE",
            metadata={"limit_bytes": str(max_bytes)},
        )
    return message


def too_large(max_bytes: int) -> ResourceExhausted:
    """The fault of a request message over the limit."""
    return ResourceExhausted(
        f"a request message may have at most {max_bytes} bytes; use the streaming call for more",
        reason="MESSAGE_TOO_LARGE",
        metadata={"limit_bytes": str(max_bytes)},
    )


def encoding_unsupported(header: str = "grpc-encoding") -> Unimplemented:
    """The fault of an encoding that is neither identity nor gzip, named in ``header``."""
    return Unimplemented(
        f"{header} must be identity or gzip",
        reason="ENCODING_UNSUPPORTED",
        metadata={"supported": ENCODINGS},
    )


def broken_frame(what: str) -> InvalidArgument:
    """The fault of frames that cannot be read."""
    return InvalidArgument(what, reason="FRAME_INVALID")
