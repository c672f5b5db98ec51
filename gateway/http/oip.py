"""The Open Inference Protocol over HTTP: ``/v2/...`` on the same chain, with bodies and errors of its own.

The routes are no part of the OpenAPI document: the protocol publishes its own, and clients exist for it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import orjson
from google.api import http_pb2
from google.protobuf.message import Message

from cohortlens.core.errors import CohortLensError
from cohortlens.oip import inference_pb2 as pb
from gateway.http import faults
from gateway.http.binding import RawRequest, refuse
from gateway.http.exchange import Exchange
from gateway.http.headers import JSON, NO_STORE
from gateway.http.jsontext import load
from gateway.http.oip_bodies import BINARY_HEADER, InferBody, document_of
from gateway.http.replies import HeaderList, Response
from gateway.http.requests import Request
from gateway.http.routes import RouteTable
from gateway.http.scalars import JsonFault
from gateway.http.transcoding import HttpDoor
from gateway.interceptors.chain import Chain, MethodTable
from gateway.servicers.inference_v2_policy import SERVICE
from gateway.servicers.inference_v2_tensors import TensorInvalid

_BINARY: Final = "application/octet-stream"
_MODEL: Final = "/v2/models/{name}"
_VERSION: Final = "/v2/models/{name}/versions/{version}"
_INFER: Final = "/v2/models/{model_name}"
_REGION: Final = "sharedmemory/region/{name}"

ROUTES: Final[dict[str, tuple[str, ...]]] = {
    "ServerLive": ("GET /v2/health/live",),
    "ServerReady": ("GET /v2/health/ready",),
    "ServerMetadata": ("GET /v2",),
    "ModelReady": (f"GET {_MODEL}/ready", f"GET {_VERSION}/ready"),
    "ModelMetadata": (f"GET {_MODEL}", f"GET {_VERSION}"),
    "ModelConfig": (f"GET {_MODEL}/config", f"GET {_VERSION}/config"),
    "ModelStatistics": ("GET /v2/models/stats", f"GET {_MODEL}/stats", f"GET {_VERSION}/stats"),
    "ModelInfer": (f"POST {_INFER}/infer", f"POST {_INFER}/versions/{{model_version}}/infer"),
    "RepositoryIndex": ("POST /v2/repository/index",),
    "RepositoryModelLoad": ("POST /v2/repository/models/{model_name}/load",),
    "RepositoryModelUnload": ("POST /v2/repository/models/{model_name}/unload",),
    "SystemSharedMemoryStatus": ("GET /v2/systemsharedmemory/status", f"GET /v2/system{_REGION}/status"),
    "SystemSharedMemoryRegister": (f"POST /v2/system{_REGION}/register",),
    "SystemSharedMemoryUnregister": (
        "POST /v2/systemsharedmemory/unregister",
        f"POST /v2/system{_REGION}/unregister",
    ),
    "CudaSharedMemoryStatus": ("GET /v2/cudasharedmemory/status", f"GET /v2/cuda{_REGION}/status"),
    "CudaSharedMemoryRegister": (f"POST /v2/cuda{_REGION}/register",),
    "CudaSharedMemoryUnregister": (
        "POST /v2/cudasharedmemory/unregister",
        f"POST /v2/cuda{_REGION}/unregister",
    ),
    "TraceSetting": (
        "GET /v2/trace/setting",
        "POST /v2/trace/setting",
        f"GET {_INFER}/trace/setting",
        f"POST {_INFER}/trace/setting",
    ),
    "LogSettings": ("GET /v2/logging", "POST /v2/logging"),
}
"""Verb and template of every method that HTTP can call; a stream cannot."""


def build_oip_routes(table: MethodTable) -> RouteTable:
    """The routes of the protocol; none when the table does not have it."""
    routes = RouteTable()
    for name, rules in ROUTES.items():
        method = table.get(f"/{SERVICE}/{name}")
        for rule in rules if method is not None else ():
            verb, _, template = rule.partition(" ")
            made = http_pb2.HttpRule(body="*" if verb == "POST" else "", **{verb.lower(): template})
            assert method is not None
            routes.add(method, made)
    return routes


class OipExchange(Exchange):
    """One call of the protocol; arguments as of ``Exchange``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._body = InferBody()
        self._json_length: int | None = None
        self._call.door = "oip"
        self._call.decoder = self._decode

    def _check_types(self, content_type: str) -> None:
        """Take any: curl calls a JSON body a form unless told otherwise."""

    def _decode(self, raw: RawRequest) -> Message:
        try:
            message = self._message(raw)
        except JsonFault as fault:
            raise refuse(fault) from None
        for variable, value in zip(self._route.rule.template.variables, raw.values, strict=True):
            setattr(message, variable.field_path[0], value)
        return message

    def _message(self, raw: RawRequest) -> Message:
        if not self._route.rule.body:
            return self._route.binding.decode(raw)
        body = raw.body or b""
        if self._route.method.name == "ModelInfer":
            return self._body.read(body, self._request.head.get(BINARY_HEADER))
        if self._route.method.name == "RepositoryIndex":
            return _index_request(body)
        return self._route.method.input_class()

    def _encode(self, reply: Any) -> bytes:
        if isinstance(reply, pb.ModelInferResponse):
            text, self._json_length = self._body.write(reply)
            return text
        return orjson.dumps(self._document(reply))

    def _document(self, reply: Any) -> Any:
        """What the protocol answers; some messages only wrap it."""
        if isinstance(reply, pb.RepositoryIndexResponse):
            return [document_of(one) for one in reply.models]
        if isinstance(reply, pb.ModelConfigResponse):
            return document_of(reply.config)
        if isinstance(reply, pb.ModelReadyResponse):
            return {"name": dict(self._call_names()).get("name", ""), "ready": reply.ready}
        return document_of(reply)

    def _call_names(self) -> list[tuple[str, str]]:
        variables = self._route.rule.template.variables
        return [(one.field_path[0], value) for one, value in zip(variables, self._values, strict=True)]

    async def _reply(self, reply: Any) -> None:
        extra = [*self._headers(), *self._closing(), NO_STORE]
        content_type = JSON
        if self._json_length is not None:
            content_type = _BINARY
            extra.append((BINARY_HEADER.encode(), str(self._json_length).encode()))
        # What is not live or ready answers so by its status; the protocol wants 4xx.
        good = getattr(reply, "live", True) and getattr(reply, "ready", True)
        answer = Response(200 if good else 400, content_type, self._call.encoded, extra)
        await answer.write(self._send, head_only=self._request.verb == "HEAD")

    async def _failed(self, error: CohortLensError) -> None:
        answer = _failure(error, [*self._headers(), *self._closing()])
        self._call.response_bytes = len(answer.body)
        await answer.write(self._send, head_only=self._request.verb == "HEAD")


class OipDoor(HttpDoor):
    """An ASGI application for the paths of the protocol.

    Args:
        chain: The chain every door runs; its table gives the methods.
    """

    exchange: ClassVar[type[Exchange]] = OipExchange

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain, build_oip_routes(chain.table), {})

    def failed(
        self,
        request: Request,  # noqa: ARG002
        error: CohortLensError,
        request_id: str,  # noqa: ARG002
        extra: HeaderList,
    ) -> Response:
        """The answer to what reached no method: the protocol has one form of errors."""
        return _failure(error, extra)


def is_oip(path: str) -> bool:
    """Whether a path belongs to the protocol."""
    return path == "/v2" or path.startswith("/v2/")


def _failure(error: CohortLensError, extra: HeaderList) -> Response:
    text = orjson.dumps({"error": f"{error.reason}: {faults.document(error, '')['message']}"})
    return Response(faults.status_of(error), JSON, text, [*extra, *faults.headers_of(error), NO_STORE])


def _index_request(body: bytes) -> pb.RepositoryIndexRequest:
    """The request of an index: an empty body, or an object that may hold ``ready``."""
    document = load(body) if body.strip() else {}
    if type(document) is not dict or type(document.get("ready", False)) is not bool:
        raise TensorInvalid("body", 'is not an object such as {"ready": true}')
    return pb.RepositoryIndexRequest(ready=document.get("ready", False))
