"""One form for what clients tell: messages and errors as plain values, whatever the wire had."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core.errors import Code
from tests.e2e.interop.cases import Case

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTORS = ROOT / "cohortlens" / "descriptors.binpb"
HTTP_BODY = "google.api.HttpBody"


@dataclass
class Outcome:
    """What came of a call.

    Attributes:
        messages: The replies; bytes of a download are joined.
        error: Code, message and details; None for none.
    """

    messages: list[Any] = field(default_factory=list)
    error: dict[str, Any] | None = None


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def reply_class(case: Case) -> Any:
    """Message class of a case's replies."""
    method = _pool().FindServiceByName(case.service).methods_by_name[case.method]
    return message_factory.GetMessageClass(method.output_type)


def named_as_declared(case: Case) -> list[Any]:
    """The requests of a case with the names of the protos, as clients that load descriptors name fields."""
    method = _pool().FindServiceByName(case.service).methods_by_name[case.method]
    cls = message_factory.GetMessageClass(method.input_type)
    return [
        json_format.MessageToDict(
            json_format.ParseDict(one, cls(), descriptor_pool=_pool()),
            preserving_proto_field_name=True,
            descriptor_pool=_pool(),
        )
        for one in case.requests
    ]


def _value(message: Any) -> Any:
    return json_format.MessageToDict(message, descriptor_pool=_pool())


def messages_of(case: Case, told: list[Any]) -> list[Any]:
    """Replies that a client told as proto JSON (text or values) or as bytes in base64."""
    cls, found = reply_class(case), []
    for one in told:
        if isinstance(one, str):
            found.append(cls.FromString(base64.b64decode(one)))
        else:
            found.append(json_format.ParseDict(one, cls(), descriptor_pool=_pool()))
    if cls.DESCRIPTOR.full_name == HTTP_BODY and found:
        return [body_of(found[0].content_type, b"".join(one.data for one in found))]
    values = [_steady(_value(one), case.fleeting) for one in found]
    # Answers to the messages of a stream come as they are ready, each with the place of its message.
    return sorted(values, key=lambda one: int(one.get("position", 0)))


def _steady(value: Any, fleeting: str) -> Any:
    """A message without what differs from answer to answer; that there is something stays."""
    if isinstance(value, list):
        return [_steady(one, fleeting) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: "another each time" if name == fleeting and one else _steady(one, fleeting)
        for name, one in value.items()
    }


def body_of(content_type: str, data: bytes) -> dict[str, Any]:
    """A download."""
    return {"contentType": content_type, "data": base64.b64encode(data).decode()}


def code_of(spelled: Any) -> int:
    """A canonical code by its number or by any spelling of its name."""
    if isinstance(spelled, int):
        return spelled
    name = str(spelled).upper().replace("CANCELED", "CANCELLED")
    return int(Code[name])


def error_of(code: Any, message: str, details: list[Any]) -> dict[str, Any]:
    """An error; details are (type, base64) or proto JSON with ``@type``."""
    return {"code": code_of(code), "message": message, "details": [_detail(one) for one in details]}


def status_of(packed: str) -> dict[str, Any]:
    """An error of a ``google.rpc.Status`` in base64."""
    status = status_pb2.Status.FromString(base64.b64decode(packed))
    details = [
        {"type": one.TypeName(), "value": base64.b64encode(one.value).decode()} for one in status.details
    ]
    return error_of(status.code, status.message, details)


def _detail(told: dict[str, Any]) -> dict[str, Any]:
    name = (told.get("type") or told["@type"]).rpartition("/")[2]
    cls = getattr(error_details_pb2, name.rpartition(".")[2])
    if "type" in told:
        message = cls.FromString(base64.b64decode(told["value"] + "=" * (-len(told["value"]) % 4)))
    else:
        message = json_format.ParseDict({k: v for k, v in told.items() if k != "@type"}, cls())
    if isinstance(message, error_details_pb2.RequestInfo):
        assert message.request_id
        message.request_id = "that of the call"
    return {"type": name, **json_format.MessageToDict(message)}


def documents(text: str) -> list[Any]:
    """The JSON documents that follow one another in a text."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        one, at = decoder.raw_decode(text, at)
        found.append(one)
    return found
