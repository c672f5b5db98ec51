"""The public end-to-end vectors: an HTTP request through the whole door to a scripted servicer and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.api import httpbody_pb2
from google.protobuf import json_format

from cohortlens.core.errors import Code, CohortLensError
from gateway.http import body as http_body
from gateway.http.codec import Codecs
from tests.unit.gateway.http.support import Client, door_for, message_class
from tests.vectors.transcoding.schemas import bookstore, showcase

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "vectors" / "transcoding"


def cases(stem):
    path = FOLDER / f"{stem}.json"
    if not path.exists():
        return [pytest.param(None, id=f"{stem}-absent")]
    return [pytest.param(case, id=case["id"]) for case in json.loads(path.read_text())["cases"]]


@pytest.fixture(autouse=True)
def _vectors_are_there(request):
    if request.node.callspec.params.get("case", {}) is None:
        pytest.skip(f"NOT CHECKED: no vectors in {FOLDER}")


BOOKSTORE = bookstore.pool()


class _Scripted:
    """Answers what the case says and keeps what it was asked."""

    def __init__(self, case):
        self.case, self.asked = case, []

    def __getattr__(self, name):
        method = BOOKSTORE.FindServiceByName("bookstore.Bookstore").methods_by_name[name]
        cls = message_class(BOOKSTORE, method.output_type.full_name)
        return self._stream(method, cls) if method.server_streaming else self._unary(method, cls)

    def _replies(self, cls):
        return [self._reply(cls, reply) for reply in self.case.get("grpc_replies", ())]

    def _reply(self, cls, reply):
        if cls.DESCRIPTOR.full_name == httpbody_pb2.HttpBody.DESCRIPTOR.full_name:
            return cls(content_type=reply["contentType"], data=reply["data"].encode())
        return json_format.ParseDict(reply, cls())

    def _fail(self):
        if "grpc_status" in self.case:
            code, message = self.case["grpc_status"]
            raise type("Scripted", (CohortLensError,), {"code": Code[code], "reason": "SCRIPTED"})(message)

    def _unary(self, method, cls):
        async def answer(request, call):
            self.asked.append(request)
            self._fail()
            return next(iter(self._replies(cls)), cls())

        return answer

    def _stream(self, method, cls):
        async def answer(request, call):
            if method.client_streaming:
                async for one in request:
                    self.asked.append(one)
            else:
                self.asked.append(request)
            self._fail()
            for reply in self._replies(cls):
                yield reply

        return answer


def _messages(answer):
    """The messages of a streamed answer, whatever its framing."""
    if answer.header("content-type") == "application/x-ndjson":
        return [json.loads(line)["result"] for line in answer.body.splitlines()]
    return answer.json


@pytest.mark.parametrize("case", cases("bookstore_end_to_end"))
async def test_the_bookstore_answers_as_the_reference_does(case, monkeypatch):
    if "limit_request_bytes" in case:
        monkeypatch.setattr(http_body.whole, "__defaults__", (case["limit_request_bytes"],))
    servicer = _Scripted(case)
    codecs = {"strict": Codecs(BOOKSTORE), "lenient": Codecs(BOOKSTORE, lenient=True)}
    client = Client(door_for(BOOKSTORE, ["bookstore.Bookstore"], servicer, **codecs))
    request = case["request"]
    media = case.get("request_content_type")
    answer = await client.request(
        request["method"],
        request["path"],
        request.get("body", "").encode(),
        {"content-type": media} if media else {},
    )
    if case["id"] == "UnknownField":
        # The note allows it: a strict gateway refuses what it does not know.
        assert (answer.status, answer.reason) == (400, "UNKNOWN_FIELD")
        return
    assert answer.status == case["status"]
    if "content_type" in case:
        assert answer.header("content-type") == case["content_type"]
    for asked, expected in zip(servicer.asked, case.get("grpc_requests", ()), strict=True):
        assert asked == _expected_request(type(asked), expected)
    if case["status"] != 200 and "response" in case:
        assert {key: answer.json[key] for key in ("code", "message")} == case["response"]
    elif "response" in case:
        _check_reply(case, answer)


def _expected_request(cls, expected):
    if "nested" in expected:
        content = expected["nested"]["content"]
        message = cls(arg=expected["arg"])
        message.nested.content.content_type = content["contentType"]
        message.nested.content.data = content["data"].encode()
        return message
    return json_format.ParseDict(expected, cls())


def _check_reply(case, answer):
    method = BOOKSTORE.FindServiceByName("bookstore.Bookstore").methods_by_name[case["rpc"]]
    cls = message_class(BOOKSTORE, method.output_type.full_name)
    if isinstance(case["response"], str):
        assert answer.body.decode() == case["response"]
    elif case.get("stream"):
        found = [json_format.ParseDict(one, cls()) for one in _messages(answer)]
        assert found == [json_format.ParseDict(one, cls()) for one in case["response"]]
    else:
        assert json_format.ParseDict(answer.json, cls()) == json_format.ParseDict(case["response"], cls())


SHOWCASE = showcase.pool()


@pytest.mark.parametrize("case", cases("showcase_compliance"))
async def test_every_scalar_arrives_through_body_query_and_path(case):
    if "request" not in case:
        pytest.skip("NOT CHECKED: expansion by a client, which belongs to the client SDK")
    from urllib.parse import urlencode

    asked, cls = [], message_class(SHOWCASE, "showcase.RepeatResponse")

    class Servicer:
        def __getattr__(self, name):
            async def answer(request, call):
                asked.append(request)
                return cls()

            return answer

    codecs = {"strict": Codecs(SHOWCASE), "lenient": Codecs(SHOWCASE, lenient=True)}
    client = Client(door_for(SHOWCASE, ["showcase.Compliance"], Servicer(), **codecs))
    request = case["request"]
    query = urlencode([tuple(pair) for pair in request["query"]])
    answer = await client.request(
        request["method"],
        request["path"] + (f"?{query}" if query else ""),
        request.get("body", "").encode(),
        {"content-type": "application/json"} if "body" in request else {},
    )
    assert answer.status == 200, answer.body
    expected = json_format.ParseDict(case["expect"], message_class(SHOWCASE, "showcase.RepeatRequest")())
    assert asked == [expected]
