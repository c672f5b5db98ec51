"""A service that exists only in tests: all four kinds of call, built from a descriptor, with rules on its fields.

What the servicer does is told by the ``text`` of the request.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)

from cohortlens.core.context import Principal
from cohortlens.core.errors import NotFound, Unauthenticated, Unavailable, Violation
from cohortlens.v1 import common_pb2
from gateway.interceptors.access import AccessStep
from gateway.interceptors.authn import AuthnStep
from gateway.interceptors.chain import ORDER, Chain
from gateway.interceptors.errors import ErrorsStep
from gateway.interceptors.fairness import ShareLimits
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.request_id import RequestIdStep
from gateway.interceptors.share import ShareStep
from gateway.interceptors.shed import Load, ShedStep
from gateway.interceptors.validate import ValidateStep
from gateway.registry import MethodTable, Policy, RateClass

_FILE = "tests/echo.proto"
_FIELD = descriptor_pb2.FieldDescriptorProto
TENANT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
TOKEN = "a-good-token"


def _file():
    pool = descriptor_pool.Default()
    try:
        return pool.FindFileByName(_FILE)
    except KeyError:
        return pool.AddSerializedFile(_proto().SerializeToString())


def _proto():
    file = descriptor_pb2.FileDescriptorProto(
        name=_FILE,
        package="tests.echo",
        syntax="proto3",
        dependency=[
            "cohortlens/v1/common.proto",
            *(one.DESCRIPTOR.name for one in (timestamp_pb2, duration_pb2, wrappers_pb2)),
        ],
    )
    color = file.enum_type.add(name="Color")
    color.value.add(name="COLOR_UNSPECIFIED", number=0)
    color.value.add(name="COLOR_RED", number=1)
    row = file.message_type.add(name="Row")
    _field(row, "values", 1, _FIELD.TYPE_DOUBLE, repeated=True, rules={"max_len": 5, "allow_nan": True})
    _field(row, "share", 2, _FIELD.TYPE_DOUBLE, rules={"has_min": True, "has_max": True, "max": 1})
    _field(row, "rows", 3, _FIELD.TYPE_MESSAGE, repeated=True, of="Row")
    request = file.message_type.add(name="EchoRequest")
    _field(request, "text", 1, _FIELD.TYPE_STRING)
    _field(request, "blob", 2, _FIELD.TYPE_BYTES)
    _field(request, "count", 3, _FIELD.TYPE_INT32, rules={"has_max": True, "max": 1000})
    _field(request, "values", 4, _FIELD.TYPE_DOUBLE, repeated=True)
    _field(request, "color", 5, _FIELD.TYPE_ENUM, of="Color")
    _field(request, "rows", 6, _FIELD.TYPE_MESSAGE, repeated=True, of="Row")
    _field(request, "code", 7, _FIELD.TYPE_STRING, rules={"pattern": "[a-z]{3}", "max_len": 3})
    _field(request, "id", 8, _FIELD.TYPE_STRING, rules={"uuid": True})
    _field(request, "names", 9, _FIELD.TYPE_STRING, repeated=True, rules={"min_len": 2, "max_len": 60})
    _field(request, "when", 10, _FIELD.TYPE_MESSAGE, of=".google.protobuf.Timestamp")
    _field(request, "ttl", 11, _FIELD.TYPE_MESSAGE, of=".google.protobuf.Duration")
    _field(request, "ratio", 12, _FIELD.TYPE_MESSAGE, of=".google.protobuf.DoubleValue")
    _map(request, "weights", 13, _FIELD.TYPE_DOUBLE, rules={"max_len": 3})
    _map(request, "named_rows", 14, _FIELD.TYPE_MESSAGE, of="Row")
    strict = file.message_type.add(name="StrictRequest")
    _field(strict, "name", 1, _FIELD.TYPE_STRING, rules={"required": True, "min_len": 2, "sensitive": True})
    _field(strict, "color", 2, _FIELD.TYPE_ENUM, of="Color", rules={"required": True})
    _field(strict, "row", 3, _FIELD.TYPE_MESSAGE, of="Row", rules={"required": True})
    _field(strict, "items", 4, _FIELD.TYPE_INT64, repeated=True, rules={"required": True})
    service = file.service.add(name="Echo")
    service.method.add(name="Unary", **_types())
    service.method.add(name="Collect", client_streaming=True, **_types())
    service.method.add(name="Expand", server_streaming=True, **_types())
    service.method.add(name="Chat", client_streaming=True, server_streaming=True, **_types())
    service.method.add(name="Secret", **_types())
    return file


def _types():
    return {"input_type": ".tests.echo.EchoRequest", "output_type": ".tests.echo.EchoRequest"}


def _field(message, name, number, kind, *, repeated=False, of="", rules=None):
    field = message.field.add(name=name, number=number, type=kind)
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if of:
        field.type_name = of if of.startswith(".") else f".tests.echo.{of}"
    if rules:
        field.options.Extensions[common_pb2.rules].CopyFrom(common_pb2.FieldRules(**rules))


def _map(message, name, number, kind, *, of="", rules=None):
    entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
    entry.options.map_entry = True
    _field(entry, "key", 1, _FIELD.TYPE_STRING)
    _field(entry, "value", 2, kind, of=of)
    of_entry = f".tests.echo.{message.name}.{entry.name}"
    _field(message, name, number, _FIELD.TYPE_MESSAGE, repeated=True, of=of_entry, rules=rules)


FILE = _file()
Echo = message_factory.GetMessageClass(FILE.message_types_by_name["EchoRequest"])
Strict = message_factory.GetMessageClass(FILE.message_types_by_name["StrictRequest"])
Row = message_factory.GetMessageClass(FILE.message_types_by_name["Row"])


class EchoServicer:
    """Answers with the request, or does what its text says."""

    def __init__(self):
        self.calls = []
        self.cancelled = asyncio.Event()
        self.reached = asyncio.Event()
        self.release = asyncio.Event()

    async def Unary(self, request, call):
        self.calls.append(call)
        await self._act(request.text, call)
        reply = Echo()
        reply.CopyFrom(request)
        if request.text == "big reply":
            reply.blob = bytes(16 * 1024 * 1024)
        return reply

    Secret = Unary

    async def Collect(self, requests, call):
        self.calls.append(call)
        reply = Echo()
        async for request in requests:
            await self._act(request.text, call)
            reply.count += 1
            reply.text += request.text
        return reply

    async def Expand(self, request, call):
        self.calls.append(call)
        try:
            for number in range(request.count):
                yield Echo(text=request.text, count=number, blob=request.blob)
            await self._act(request.text, call)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Chat(self, requests, call):
        self.calls.append(call)
        async for request in requests:
            await self._act(request.text, call)
            yield request

    async def _act(self, text, call):
        if text == "metadata":
            call.response_headers.append(("x-first", "one"))
            call.response_trailers.append(("x-last", "two"))
        elif text == "raise":
            raise RuntimeError("the password of the database is hunter2")
        elif text == "fault":
            raise NotFound(
                "no such customer: ñandú 100%",
                reason="RESOURCE_NOT_FOUND",
                metadata={"resource": "customer"},
                violations=tuple(Violation(f"customers[{n}]", "does not exist " * 8) for n in range(50)),
            )
        elif text == "retry":
            raise Unavailable("the replicas are busy", retry_delay_s=1.5)
        elif text == "self cancelled":
            raise asyncio.CancelledError
        elif text == "hang":
            await self._hang()
        elif text == "wait":
            self.reached.set()
            await self.release.wait()

    async def _hang(self):
        self.reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def authenticate(token, *, strict=False):
    """A verifier that knows one token."""
    if token != TOKEN:
        raise Unauthenticated("the access token does not hold", reason="TOKEN_INVALID")
    return Principal(TENANT, TENANT, TENANT, "analyst", frozenset({"echo.read"}))


def echo_table():
    """A table of the echo service; Secret needs a token and a scope."""
    public = Policy(public=True, rate_class=RateClass.INFERENCE)
    policies = dict.fromkeys(("Unary", "Collect", "Expand", "Chat"), public)
    policies["Secret"] = Policy(public=False, rate_class=RateClass.READ, scopes=("echo.read",))
    table = MethodTable()
    table.add_service(FILE.services_by_name["Echo"], policies)
    return table


async def passing(call, proceed):
    """A step that does nothing."""
    await proceed(call)


def steps(table):
    """The real steps around ``authenticate``; those that need PostgreSQL or Redis let everything pass."""
    load = Load()
    return dict.fromkeys(ORDER, passing) | {
        "request_id": RequestIdStep(),
        "observe": ObserveStep(),
        "errors": ErrorsStep(),
        "access": AccessStep(None),
        "shed": ShedStep(load),
        "authn": AuthnStep(authenticate),
        "share": ShareStep(load, ShareLimits()),
        "validate": ValidateStep(table),
    }


def echo_chain(servicer):
    """The real chain around an echo servicer."""
    table = echo_table()
    return Chain(table, {"tests.echo.Echo": servicer}, steps(table))
