"""gRPC-Web over HTTP/1.1 and HTTP/2: frames as in gRPC, trailers in a last frame, base64 for the text form.

Source of the format: github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md. The HTTP status is always 200
once the content type is one of the protocol's.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import ClassVar, Final

from cohortlens.core.errors import CohortLensError, InvalidArgument
from gateway.http import faults, headers
from gateway.http.body import Receive
from gateway.http.enveloped import Enveloped
from gateway.http.headers import NO_STORE
from gateway.http.replies import HeaderList, Response, StatusSend, failure
from gateway.http.requests import Request, Scope, check_head
from gateway.http.rpc import Served, method_unknown
from gateway.http.transcoding import HttpDoor
from gateway.interceptors.chain import CallFailed
from gateway.interceptors.status import status_headers
from gateway.registry import MethodInfo
from gateway.wire.framing import broken_frame

BINARY: Final = ("application/grpc-web", "application/grpc-web+proto")
TEXT: Final = ("application/grpc-web-text", "application/grpc-web-text+proto")
_TRAILERS: Final = b"\x80"
# Every frame is padded by itself, so padding may stand in the middle of a body.
_QUANTA: Final = re.compile(rb"[^=]+={0,2}")


class GrpcWebExchange(Enveloped):
    """One call; arguments as of ``RpcExchange``."""

    door: ClassVar[str] = "grpcweb"
    encoding_header: ClassVar[str] = "grpc-encoding"
    accept_header: ClassVar[str] = "grpc-accept-encoding"

    def __init__(
        self,
        served: Served,
        method: MethodInfo,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: StatusSend,
    ) -> None:
        super().__init__(served, method, request, scope, receive, send)
        media, _ = headers.media_type(request.head.get("content-type"))
        self.content_type, self._is_text = media.encode(), media in TEXT
        self._undecoded = b""

    def unwrapped(self, chunk: bytes) -> bytes:
        """The bytes of a part of the request; what is not a whole quantum of base64 waits for the next."""
        if not self._is_text:
            return chunk
        text = self._undecoded + chunk
        whole = len(text) - len(text) % 4
        self._undecoded = text[whole:]
        quanta = _QUANTA.findall(text[:whole])
        if sum(map(len, quanta)) != whole:
            raise _not_base64()
        try:
            return b"".join([base64.b64decode(one, validate=True) for one in quanta])
        except binascii.Error:
            raise _not_base64() from None

    def check_end(self) -> None:
        """Raise InvalidArgument (FRAME_INVALID) for base64 that is cut off."""
        if self._undecoded:
            raise _not_base64()

    def wrapped(self, data: bytes) -> bytes:
        """Frames as they go out."""
        return base64.b64encode(data) if self._is_text else data

    def last_frame(self, failure: CallFailed | None) -> bytes:
        """The trailers."""
        trailers = [(b"grpc-status", b"0")] if failure is None else status_headers(failure)
        more = self._call.response_trailers
        own = [(name.encode("ascii"), value.encode("ascii", "replace")) for name, value in more]
        return trailers_frame([*trailers, *own])


def _not_base64() -> InvalidArgument:
    return broken_frame("the body is not base64, as its Content-Type says")


def trailers_frame(trailers: HeaderList) -> bytes:
    """Trailers as the last frame of a body."""
    text = b"".join(name + b": " + value + b"\r\n" for name, value in trailers)
    return _TRAILERS + len(text).to_bytes(4, "big") + text


def is_grpc_web(scope: Scope) -> bool:
    """Whether a request is one of gRPC-Web, by its content type."""
    return any(
        name == b"content-type" and value.lower().startswith(b"application/grpc-web")
        for name, value in scope["headers"]
    )


class GrpcWebDoor(HttpDoor):
    """An ASGI application for calls of gRPC-Web clients.

    Args:
        served: Chain and codecs.
    """

    def __init__(self, served: Served) -> None:
        super().__init__(served.chain, served.routes, {})
        self._served = served

    async def _answer(self, scope: Scope, request: Request, receive: Receive, send: StatusSend) -> str:
        check_head(scope, request)
        if request.verb != "POST":
            raise faults.method_not_allowed(["POST"])
        media, _ = headers.media_type(request.head.get("content-type"))
        if media not in (*BINARY, *TEXT):
            raise faults.unsupported_media(f"Content-Type {' or '.join((*BINARY, *TEXT))}")
        method = self._chain.table.get(request.path)
        if method is None:
            raise method_unknown()
        await GrpcWebExchange(self._served, method, request, scope, receive, send).run()
        return method.full_name

    def methods(self, path: str) -> list[str]:  # noqa: ARG002 - the same for all
        """POST."""
        return ["POST"]

    def failed(
        self, request: Request, error: CohortLensError, request_id: str, extra: HeaderList
    ) -> Response:
        """The answer to what reached no method."""
        media, _ = headers.media_type(request.head.get("content-type"))
        if request.verb != "POST" or media not in (*BINARY, *TEXT):
            return failure(error, request_id, problem=False, headers=extra)
        last = trailers_frame(status_headers(CallFailed(error, request_id)))
        last = base64.b64encode(last) if media in TEXT else last
        return Response(200, media, last, [*extra, NO_STORE])
