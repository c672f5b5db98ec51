"""The endpoints of OAuth 2 over HTTP: forms in, RFC 6749 errors out, key set and metadata that may be cached.

The same RPCs on the same chain as everywhere; only bodies, errors and caching are those of the RFCs.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar, Final

import orjson
from google.api import annotations_pb2
from google.protobuf.message import Message

from cohortlens.core.errors import Cancelled, CohortLensError
from cohortlens.identity.oauth.models import InvalidRequest, oauth_code_of
from gateway.http import faults
from gateway.http.binding import RawRequest
from gateway.http.body import ClientGone
from gateway.http.exchange import Exchange
from gateway.http.headers import JSON
from gateway.http.pages.forms import read_form
from gateway.http.replies import HeaderList, Response
from gateway.http.requests import Request
from gateway.http.routes import RouteTable
from gateway.http.transcoding import HttpDoor
from gateway.interceptors.chain import Chain, MethodTable

_ENDPOINTS: Final = "/oauth2/"
_DOCUMENTS: Final = "/.well-known/"
_DID_DOCUMENT: Final = "/.well-known/did.json"
"""Stands beside the documents of OAuth 2 and is none: it has a type, a tag and caching of its own."""
_NEVER_STORED: Final[HeaderList] = [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
_SHARED: Final = (b"cache-control", b"public, max-age=600")
_BASIC: Final = (b"www-authenticate", b'Basic realm="cohortlens", charset="UTF-8"')
# RFC 6749 5.2: printable ASCII but for the quote and the backslash.
_NOT_SHOWN: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class OAuthExchange(Exchange):
    """One call of an endpoint; arguments as of ``Exchange``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self._route.rule.body:
            self._call.decoder = self._decode

    async def _read(self) -> RawRequest:
        if not self._route.rule.body:
            return await super()._read()
        try:
            fields = await read_form(self._receive, self._request.head)
        except ClientGone:
            self._watch.has_left = True
            raise Cancelled("the connection was closed before the body was complete") from None
        self._watch_later()
        if self._request.query:
            # Addresses are written to logs; what is in them is no secret any more.
            raise InvalidRequest("parameters belong in the body, not in the address")
        sent = fields.singles()
        if sent.get("client_secret"):
            raise InvalidRequest("send client_secret in the Authorization header, scheme Basic")
        return RawRequest(values=(), body=orjson.dumps(sent))

    def _decode(self, raw: RawRequest) -> Message:
        """The request of a form: parameters without a value count as not sent, unknown ones are left out."""
        message = self._route.method.input_class()
        names = {one.json_name: one.name for one in message.DESCRIPTOR.fields}
        for name, value in orjson.loads(raw.body or b"{}").items():
            if value and name in names:
                setattr(message, names[name], value)
        return message

    async def _failed(self, error: CohortLensError) -> None:
        extra = [*self._headers(), *self._closing()]
        if error.reason == "INVALID_CLIENT" and "authorization" in self._request.head.values:
            # To a client that sent no such header a challenge would hide the error in the body.
            extra.append(_BASIC)
        answer = oauth_failure(error, extra)
        self._call.response_bytes = len(answer.body)
        await answer.write(self._send, head_only=self._request.verb == "HEAD")

    async def _reply(self, reply: Any) -> None:  # noqa: ARG002
        if self._route.rule.body:
            answer = Response(200, JSON, self._call.encoded, [*self._own_headers(), *_NEVER_STORED])
        else:
            answer = self._document()
        await answer.write(self._send, head_only=self._request.verb == "HEAD")

    def _document(self) -> Response:
        """Key set or metadata: the same for everyone, so that proxies may keep it for ten minutes."""
        tag = f'"{hashlib.sha256(self._call.encoded).hexdigest()[:32]}"'
        extra = [*self._own_headers(), _SHARED, (b"etag", tag.encode())]
        known = {one.strip().removeprefix("W/") for one in self._request.head.get("if-none-match").split(",")}
        if tag in known or "*" in known:
            return Response(304, "", b"", extra)
        return Response(200, JSON, self._call.encoded, extra)

    def _own_headers(self) -> HeaderList:
        return _without_caching([*self._headers(), *self._closing()])


class OAuthDoor(HttpDoor):
    """An ASGI application for the endpoints of OAuth 2.

    Args:
        chain: The chain every door runs; its table gives the methods.
    """

    exchange: ClassVar[type[Exchange]] = OAuthExchange

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain, _routes(chain.table), {})

    def failed(
        self,
        request: Request,  # noqa: ARG002
        error: CohortLensError,
        request_id: str,  # noqa: ARG002
        extra: HeaderList,
    ) -> Response:
        """The answer to what reached no method."""
        return oauth_failure(error, extra)


def is_oauth(path: str) -> bool:
    """Whether a path is an endpoint or a document of OAuth 2."""
    return path.startswith((_ENDPOINTS, _DOCUMENTS)) and path != _DID_DOCUMENT


def oauth_failure(error: CohortLensError, extra: HeaderList) -> Response:
    """A failure as RFC 6749 5.2 writes it."""
    status = faults.status_of(error)
    if error.reason == "UNSUPPORTED_MEDIA_TYPE":
        status = 400
    body = {
        "error": _code(error, status),
        "error_description": _NOT_SHOWN.sub("'", error.message)[:300],
    }
    headers = [*_without_caching(extra), *faults.headers_of(error), *_NEVER_STORED]
    return Response(status, JSON, orjson.dumps(body), headers)


def _without_caching(headers: HeaderList) -> HeaderList:
    """Headers of the method without what it says of caching: this door says it in the way of OAuth 2."""
    return [one for one in headers if one[0] != b"cache-control"]


def _code(error: CohortLensError, status: int) -> str:
    bearer = {401: "invalid_token", 403: "insufficient_scope"}
    if status in bearer and error.reason != "INVALID_CLIENT":
        return bearer[status]  # RFC 6750: who asks with a bearer token
    known = oauth_code_of(error)
    return "invalid_request" if known == "server_error" and status < 500 else known


def _routes(table: MethodTable) -> RouteTable:
    routes = RouteTable()
    for method in table:
        options = method.descriptor.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            rule = options.Extensions[annotations_pb2.http]
            if is_oauth(rule.post or rule.get):
                routes.add(method, rule)
    return routes
