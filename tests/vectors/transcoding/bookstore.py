"""Vectors of whole exchanges: an HTTP request, the messages of a bookstore's service, the HTTP answer.

Bodies of google.api.HttpBody stand as text in the vectors. Replies are compared as messages, since unset fields
may be written or left out.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gateway.http.binding import HTTP_BODY
from gateway.http.codec import Codecs
from gateway.http.exchange import Exchange
from gateway.http.headers import NDJSON
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.client import Answer, Client
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.listed import each
from tests.vectors.transcoding.schema import message_class
from tests.vectors.transcoding.schemas.bookstore import SERVICE, pool
from tests.vectors.transcoding.scripted import Scripted

_KEYS = frozenset({"rpc", "request", "status"})
_LENIENT = {"prefer": "handling=lenient"}


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    cases = content.get("cases")
    return isinstance(cases, list) and any(isinstance(case, dict) and case.keys() >= _KEYS for case in cases)


def cases(vector: Vector) -> Iterator[Case]:
    """Send each request to a bookstore that answers as the case says."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    servicer, answer = _run(case, {})
    if case["status"] == 200 and answer.status == 400 and answer.reason == "UNKNOWN_FIELD":
        # Refused as we are strict; who asks for it gets what the reference gives.
        servicer, answer = _run(case, _LENIENT)
    yield from differing(case["status"], answer.status)
    if answer.status != case["status"]:
        return
    if "content_type" in case:
        yield from differing(case["content_type"], answer.header("content-type"))
    yield from _request_faults(case, servicer)
    if "response" in case:
        yield from _response_faults(case, answer)


def _run(case: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Scripted, Answer]:
    failure = tuple(case["grpc_status"]) if "grpc_status" in case else None
    servicer = Scripted(
        pool(),
        SERVICE,
        lambda cls: [_message(cls, reply) for reply in case.get("grpc_replies", ())],
        failure,  # type: ignore[arg-type]
    )
    codecs = {"strict": Codecs(pool()), "lenient": Codecs(pool(), lenient=True)}
    door = door_for(pool(), [SERVICE], servicer, **codecs)
    if "limit_request_bytes" in case:
        limits = {"max_body_bytes": case["limit_request_bytes"]}
        door.exchange = type("LimitedExchange", (Exchange,), limits)  # type: ignore[misc]
    request = case["request"]
    if "request_content_type" in case:
        headers = {**headers, "content-type": case["request_content_type"]}
    body = request.get("body", "").encode()
    return servicer, asyncio.run(Client(door).request(request["method"], request["path"], body, headers))


def _request_faults(case: Mapping[str, Any], servicer: Scripted) -> Iterator[str]:
    reached = "grpc_requests" in case
    if case["rpc"] is None or not reached:
        yield from (f"rpc: {fault}" for fault in differing([], servicer.called))
        return
    yield from (f"rpc: {fault}" for fault in differing([case["rpc"]], servicer.called))
    wanted = [_message(type(one), given) for one, given in zip(servicer.asked, case["grpc_requests"])]  # noqa: B905
    yield from (f"requests: {fault}" for fault in differing(len(case["grpc_requests"]), len(servicer.asked)))
    if wanted != servicer.asked[: len(wanted)]:
        yield f"requests: expected {wanted}, found {servicer.asked}"


def _response_faults(case: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    expected = case["response"]
    if isinstance(expected, str):
        yield from differing(expected, answer.body.decode())
    elif case["status"] != 200:
        for name, value in expected.items():
            if name != "details":
                yield from (f"{name}: {fault}" for fault in differing(value, answer.json.get(name)))
    else:
        method = pool().FindServiceByName(SERVICE).methods_by_name[case["rpc"]]
        cls = message_class(pool(), method.output_type.full_name)
        found = _messages(answer) if case.get("stream") else [answer.json]
        wanted = expected if case.get("stream") else [expected]
        if _parsed(cls, found) != _parsed(cls, wanted):
            yield f"expected {wanted}, found {found}"


def _parsed(cls: Any, values: Sequence[Any]) -> list[Message]:
    return [json_format.ParseDict(value, cls()) for value in values]


def _messages(answer: Answer) -> list[Any]:
    """The messages of a streamed answer, whatever its framing."""
    if answer.header("content-type") == NDJSON:
        return [json.loads(line)["result"] for line in answer.body.splitlines()]
    return list(answer.json)


def _message(cls: Any, value: Any) -> Any:
    return json_format.ParseDict(_with_bytes(cls.DESCRIPTOR, value), cls())


def _with_bytes(message: Descriptor, value: Any) -> Any:
    """The same JSON with the text of every HttpBody as base64."""
    if not isinstance(value, dict):
        return value
    if message.full_name == HTTP_BODY:
        return {**value, "data": base64.b64encode(value.get("data", "").encode()).decode()}
    kinds = {name: one.message_type for one in message.fields for name in (one.name, one.json_name)}
    return {
        name: inner if kinds.get(name) is None else _with_bytes(kinds[name], inner)
        for name, inner in value.items()
    }


BOOKSTORE_EXCHANGES = Format("bookstore end to end", recognises, cases, frozenset({"bookstore_end_to_end"}))
"""Requests and answers of a bookstore over HTTP."""
