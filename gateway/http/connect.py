"""Connect over HTTP: unary calls by POST and GET, streams in envelopes; JSON and Protobuf.

Source of the formats: connectrpc.com/docs/protocol, version 1. Bodies and errors are plain HTTP, so that
browsers, curl and TypeScript clients need no proxy. A call runs through the one chain as any other.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, ClassVar, Final
from urllib.parse import unquote_to_bytes

import orjson
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from cohortlens.core.errors import Code, CohortLensError, InvalidArgument
from gateway.http import body, faults, headers
from gateway.http.body import ClientGone, Receive
from gateway.http.encodings import accepts_gzip, gzipped
from gateway.http.enveloped import Enveloped
from gateway.http.headers import JSON, NO_STORE
from gateway.http.replies import HeaderList, Response, StatusSend
from gateway.http.requests import Request, Scope, check_head
from gateway.http.routes import holds_secret
from gateway.http.rpc import RpcExchange, Served, method_unknown
from gateway.http.transcoding import HttpDoor
from gateway.interceptors.chain import CallFailed
from gateway.interceptors.errors import HTTP_STATUS, rpc_status
from gateway.registry import MethodInfo
from gateway.wire.framing import (
    COMPRESS_ABOVE_BYTES,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    FrameReader,
    checked_reply,
    encoding_unsupported,
    too_large,
)

CODES: Final[dict[Code, str]] = {
    code: "canceled" if code is Code.CANCELLED else code.name.lower() for code in Code if code is not Code.OK
}
"""How Connect spells each canonical code."""

PROTO: Final = "application/proto"
_STREAM_JSON: Final = "application/connect+json"
_STREAM_PROTO: Final = "application/connect+proto"
_UNARY_TYPES: Final = (JSON, PROTO)
_STREAM_TYPES: Final = (_STREAM_JSON, _STREAM_PROTO)
_GET_ENCODINGS: Final = {b"json": JSON, b"proto": PROTO}
_END_OF_STREAM: Final = b"\2"
_BASE64: Final = re.compile(rb"[A-Za-z0-9_-]*={0,2}")


def error_document(error: CohortLensError, request_id: str) -> dict[str, Any]:
    """A failure as Connect writes it: each detail is a message in base64, with its JSON beside it."""
    plain = faults.document(error, request_id)
    shown = {one["@type"].rpartition("/")[2]: one for one in plain["details"]}
    details = []
    for one in rpc_status(error, request_id).details:
        name = one.TypeName()
        debug = {key: value for key, value in shown[name].items() if key != "@type"}
        value = base64.b64encode(one.value).rstrip(b"=").decode()
        details.append({"type": name, "value": value, "debug": debug})
    return {"code": CODES[error.code], "message": plain["message"], "details": details}


class ConnectUnary(RpcExchange):
    """One unary call: the message is the body, the failure a JSON document with its HTTP status."""

    door: ClassVar[str] = "connect"
    _packed = False

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
        self._asked = _parameters(request.query) if request.verb == "GET" else None
        self._type = _get_type(self._asked) if self._asked is not None else _type_of(request, _UNARY_TYPES)
        self.is_json = self._type == JSON

    async def read(self) -> Any:
        """The message.

        Raises:
            CohortLensError: ENCODING_UNSUPPORTED, MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, REQUEST_TIMEOUT.
        """
        if self._asked is not None:
            text = _message_of(self._asked)
        else:
            text = await self._body()
        self.request_over()
        self._call.request_bytes = len(text)
        return self.payload(text)

    async def _body(self) -> bytes:
        head = self._request.head
        if head.get("content-encoding").strip().lower() not in {"", "identity", "gzip"}:
            raise encoding_unsupported("content-encoding")
        try:
            return await body.whole(self._receive, head, MAX_REQUEST_BYTES)
        except ClientGone:
            raise self.gone() from None
        except InvalidArgument as fault:
            if fault.reason != "BODY_TOO_LARGE":
                raise
            # As over gRPC: one limit, one fault.
            raise too_large(MAX_REQUEST_BYTES) from None

    def encode(self, reply: Message) -> bytes:
        """The reply, gzipped if asked and worth it, and never when it holds a secret (see ``encodings``)."""
        data = checked_reply(self.serialized(reply), MAX_RESPONSE_BYTES)
        self._packed = (
            len(data) > COMPRESS_ABOVE_BYTES
            and accepts_gzip(self._request.head)
            and not holds_secret(self._call.method)
        )
        return gzipped(data) if self._packed else data

    async def end(self, failure: CallFailed | None) -> None:
        """Send the answer."""
        extra = [*self.own_headers(), NO_STORE]
        for name, value in self._call.response_trailers:
            extra.append((b"trailer-" + name.encode("ascii"), value.encode("ascii", "replace")))
        if failure is not None:
            answer = _failure(failure.error, failure.request_id, HTTP_STATUS[failure.error.code], extra)
            self._call.response_bytes = len(answer.body)
        else:
            if self._packed:
                extra.append((b"content-encoding", b"gzip"))
            answer = Response(200, self._type, self._call.encoded, extra)
        await answer.write(self._send)


class ConnectStream(Enveloped):
    """A call with a stream in either direction; the last frame says in JSON how it ended."""

    door: ClassVar[str] = "connect"
    encoding_header: ClassVar[str] = "connect-content-encoding"
    accept_header: ClassVar[str] = "connect-accept-encoding"

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
        chosen = _type_of(request, _STREAM_TYPES)
        self.content_type, self.is_json = chosen.encode(), chosen == _STREAM_JSON

    def last_frame(self, failure: CallFailed | None) -> bytes:
        """The end of the stream with its error and trailing metadata."""
        said: dict[str, Any] = {}
        if failure is not None:
            said["error"] = error_document(failure.error, failure.request_id)
        trailers: dict[str, list[str]] = {}
        for name, value in self._call.response_trailers:
            trailers.setdefault(name, []).append(value)
        if trailers:
            said["metadata"] = trailers
        text = orjson.dumps(said)
        return _END_OF_STREAM + len(text).to_bytes(4, "big") + text


class ConnectDoor(HttpDoor):
    """An ASGI application for calls of Connect clients.

    Args:
        served: Chain and codecs.
    """

    def __init__(self, served: Served) -> None:
        super().__init__(served.chain, served.routes, {})
        self._served = served

    async def _answer(self, scope: Scope, request: Request, receive: Receive, send: StatusSend) -> str:
        check_head(scope, request)
        method = self._chain.table.get(request.path)
        if method is None:
            raise method_unknown()
        verbs = self.methods(request.path)
        if request.verb not in verbs:
            raise faults.method_not_allowed(verbs)
        if request.head.get("connect-protocol-version") not in {"", "1"}:
            raise InvalidArgument("Connect-Protocol-Version must be 1", reason="HEADER_INVALID")
        kind = ConnectUnary if method.kind == "unary" else ConnectStream
        await kind(self._served, method, request, scope, receive, send).run()
        return method.full_name

    def methods(self, path: str) -> list[str]:
        """POST, and GET for unary methods that change nothing and take no secret: proxies log addresses."""
        method = self._chain.table.get(path)
        if method is None or method.kind != "unary":
            return ["POST"]
        changes_nothing = method.descriptor.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        return ["GET", "POST"] if changes_nothing and not method.brings_secrets else ["POST"]

    def failed(
        self, request: Request, error: CohortLensError, request_id: str, extra: HeaderList
    ) -> Response:
        """The answer to what reached no method."""
        method, status = self._chain.table.get(request.path), faults.status_of(error)
        if method is None and error.code is Code.UNIMPLEMENTED:
            status = 404
        if status == 415:
            taken = _UNARY_TYPES if method is None or method.kind == "unary" else _STREAM_TYPES
            extra = [*extra, (b"accept-post", ", ".join(taken).encode())]
        return _failure(error, request_id, status, [*extra, NO_STORE])


def _failure(error: CohortLensError, request_id: str, status: int, extra: HeaderList) -> Response:
    text = orjson.dumps(error_document(error, request_id))
    return Response(status, JSON, text, [*extra, *faults.headers_of(error)])


def _type_of(request: Request, taken: tuple[str, ...]) -> str:
    """The media type of the request; raises UNSUPPORTED_MEDIA_TYPE."""
    media, given = headers.media_type(request.head.get("content-type"))
    if media not in taken or given.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise faults.unsupported_media(f"Content-Type {' or '.join(taken)}")
    return media


def _parameters(query: str) -> dict[str, bytes]:
    """Names and values of a query, percent-decoded; the first of equal names."""
    found: dict[str, bytes] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        found.setdefault(name, unquote_to_bytes(value.replace("+", " ")))
    return found


def _get_type(asked: dict[str, bytes]) -> str:
    if asked.get("connect", b"v1") != b"v1":
        raise InvalidArgument("the parameter connect must be v1", reason="HEADER_INVALID")
    chosen = _GET_ENCODINGS.get(asked.get("encoding", b""))
    if chosen is None:
        raise faults.unsupported_media("the parameter encoding to be json or proto")
    return chosen


def _message_of(asked: dict[str, bytes]) -> bytes:
    """The message of a call by GET; raises InvalidArgument or Unimplemented."""
    text, compression = asked.get("message"), asked.get("compression", b"")
    if text is None:
        raise InvalidArgument("the parameter message is missing", reason="MESSAGE_MALFORMED")
    if asked.get("base64") == b"1":
        text = _decoded(text)
    if compression not in {b"", b"identity", b"gzip"}:
        raise encoding_unsupported("the parameter compression")
    if compression != b"gzip":
        return text
    framed = b"\1" + len(text).to_bytes(4, "big") + text
    return next(FrameReader("gzip", MAX_REQUEST_BYTES).feed(framed))


def _decoded(text: bytes) -> bytes:
    if _BASE64.fullmatch(text):
        try:
            bare = text.rstrip(b"=")
            return base64.urlsafe_b64decode(bare + b"=" * (-len(bare) % 4))
        except binascii.Error:
            pass
    raise InvalidArgument("the parameter message must be URL-safe base64", reason="MESSAGE_MALFORMED")
