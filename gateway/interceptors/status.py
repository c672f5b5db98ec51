"""How the end of a call reads on the wire: grpc-status, grpc-message, grpc-status-details-bin."""

from __future__ import annotations

import base64

from gateway.interceptors.chain import CallFailed
from gateway.interceptors.errors import retry_after, rpc_status

# Clients allow 8 KiB of metadata, and base64 adds a third.
MAX_DETAILS_BYTES = 4096
_MESSAGE_CHARACTERS = 1024
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}
_PERCENT = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256)]


def percent_encode(message: str) -> str:
    """A message as ``grpc-message`` carries it: UTF-8, everything but printable ASCII as ``%XX``."""
    return "".join([_PERCENT[byte] for byte in message.encode("utf-8", "replace")])


def details(failure: CallFailed) -> bytes:
    """The serialised ``google.rpc.Status`` of a failure, at most 4 KiB."""
    packed: bytes = rpc_status(failure.error, failure.request_id, MAX_DETAILS_BYTES).SerializeToString()
    return packed


def status_headers(failure: CallFailed) -> list[tuple[bytes, bytes]]:
    """The trailers of a failed call."""
    error = failure.error
    packed = base64.b64encode(details(failure)).rstrip(b"=")
    trailers = [
        (b"grpc-status", str(int(error.code)).encode()),
        (b"grpc-message", percent_encode(error.message[:_MESSAGE_CHARACTERS]).encode()),
        (b"grpc-status-details-bin", packed),
    ]
    after = retry_after(error)
    if after is not None:
        trailers.append((b"retry-after", after.encode()))
    return trailers
