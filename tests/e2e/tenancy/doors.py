"""A call as bytes through each door, without what differs from call to call anyway."""

from __future__ import annotations

import base64
import http.client
import json
import re
import urllib.parse
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2

from tests.e2e.tenancy.documents import document_of

_PER_CALL = {"date", "x-request-id", "traceparent", "grpc-status-details-bin"}
_VARIABLE = re.compile(r"\{(\w+)(?:=[^}]*)?\}")
_FORM = "/oauth2/"
_DETAIL = re.compile(r'(?<="value":")([A-Za-z0-9+/]*)(?=","debug":)')


def over_grpc(channel: grpc.Channel, method: MethodDescriptor, request: Any, token: str) -> tuple[Any, ...]:
    """Everything a gRPC caller sees."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = [("authorization", f"Bearer {token}")]
    try:
        if method.server_streaming:
            return (
                "OK",
                list(channel.unary_stream(path)(request.SerializeToString(), metadata=metadata, timeout=20)),
            )
        return ("OK", channel.unary_unary(path)(request.SerializeToString(), metadata=metadata, timeout=20))
    except grpc.RpcError as error:
        seen = {one.key: one.value for one in error.trailing_metadata() or ()}
        details = _without_request(seen.get("grpc-status-details-bin", b""))
        return (error.code().name, error.details(), details, sorted(seen.keys() - _PER_CALL))


def over_http(address: str, method: MethodDescriptor, request: Any, token: str) -> tuple[Any, ...]:
    """Everything an HTTP caller sees."""
    verb, target, body = _bound(method, request)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    if target.startswith(_FORM):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(json.loads(body or "{}"))
    return _answered(address, verb, target, body, headers)


def over_connect(address: str, method: MethodDescriptor, request: Any, token: str) -> tuple[Any, ...]:
    """Everything a caller of Connect sees of a unary call in JSON."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    target = f"/{method.containing_service.full_name}/{method.name}"
    return _answered(address, "POST", target, json_format.MessageToJson(request), headers)


def over_graphql(address: str, method: MethodDescriptor, request: Any, token: str) -> tuple[Any, ...]:
    """Everything a caller of GraphQL sees."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    if method.server_streaming:
        headers["accept"] = "text/event-stream"
    return _answered(address, "POST", "/graphql", json.dumps(document_of(method, request)), headers)


def _answered(
    address: str, verb: str, target: str, body: str | None, headers: dict[str, str]
) -> tuple[Any, ...]:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(verb, target, body, headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        seen = {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()
    # Details of Connect are messages in base64, in which nobody would find a name again.
    content = _DETAIL.sub(lambda found: repr(base64.b64decode(f"{found[1]}==")), content)
    request_id = seen.get("x-request-id", "")
    if request_id:
        content = content.replace(request_id, "REQUEST")
    return (answer.status, content, {name: seen[name] for name in sorted(seen.keys() - _PER_CALL)})


def _bound(method: MethodDescriptor, request: Any) -> tuple[str, str, str | None]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    values = json_format.MessageToDict(request, preserving_proto_field_name=True)
    target = _VARIABLE.sub(
        lambda found: urllib.parse.quote(str(values.pop(found[1])), safe=""), getattr(rule, verb)
    )
    if rule.body:
        return verb.upper(), target, json.dumps(values)
    query = urllib.parse.urlencode(values, doseq=True)
    return verb.upper(), f"{target}?{query}" if query else target, None


def _without_request(packed: bytes) -> bytes:
    status = status_pb2.Status.FromString(packed)
    kept = [one for one in status.details if not one.Is(error_details_pb2.RequestInfo.DESCRIPTOR)]
    return status_pb2.Status(code=status.code, message=status.message, details=kept).SerializeToString()
