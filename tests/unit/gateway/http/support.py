"""Message types and services made on the fly, and a client that calls an ASGI application in process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from google.api import annotations_pb2, http_pb2, httpbody_pb2
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from gateway.http.routes import RouteTable
from gateway.http.transcoding import HttpDoor
from gateway.interceptors.access import AccessStep
from gateway.interceptors.authn import AuthnStep
from gateway.interceptors.chain import ORDER, Chain, MethodTable
from gateway.interceptors.errors import ErrorsStep
from gateway.interceptors.fairness import ShareLimits
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.request_id import RequestIdStep
from gateway.interceptors.share import ShareStep
from gateway.interceptors.shed import Load, ShedStep
from gateway.interceptors.validate import ValidateStep
from gateway.registry import Policy, RateClass

_KNOWN = (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
    http_pb2,
    annotations_pb2,
    httpbody_pb2,
)
F = descriptor_pb2.FieldDescriptorProto
_TYPES = {name[5:].lower(): number for name, number in F.Type.items()}


def pool_with_well_known():
    """A pool of its own with the well-known types and the HTTP annotations."""
    pool = descriptor_pool.DescriptorPool()
    for module in _KNOWN:
        proto = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        pool.Add(proto)
    return pool


class Schema:
    """A proto3 file under construction.

    Fields are written as ``{"name": "int64", "tags": "repeated string", "sub": "Other", "m": "map<string,int32>",
    "p": "optional double", "one": "oneof kind bool"}``.
    """

    def __init__(self, package="t"):
        self.file = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.proto",
            package=package,
            syntax="proto3",
            dependency=[module.DESCRIPTOR.name for module in _KNOWN],
        )
        self.package = package

    def enum(self, name, values):
        enum = self.file.enum_type.add(name=name)
        for key, number in values.items():
            enum.value.add(name=key, number=number)
        return self

    def message(self, name, fields):
        message = self.file.message_type.add(name=name)
        oneofs, optionals = {}, []
        for number, (field_name, written) in enumerate(fields.items(), 1):
            one = message.field.add(name=field_name, number=number, label=F.LABEL_OPTIONAL)
            words, kind = written.split(), written.split()[-1]
            if words[0] == "repeated":
                one.label = F.LABEL_REPEATED
            elif words[0] == "optional":
                one.proto3_optional = True
                optionals.append(one)
            elif words[0] == "oneof":
                if words[1] not in oneofs:
                    oneofs[words[1]] = len(oneofs)
                    message.oneof_decl.add(name=words[1])
                one.oneof_index = oneofs[words[1]]
            self._type(one, self._entry(message, one, kind) if kind.startswith("map<") else kind)
        for one in optionals:
            one.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{one.name}")
        return self

    def _entry(self, message, one, kind):
        name = "".join(part.capitalize() for part in one.name.split("_")) + "Entry"
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        for number, (part, of) in enumerate(zip(("key", "value"), kind[4:-1].split(","), strict=True), 1):
            self._type(entry.field.add(name=part, number=number, label=F.LABEL_OPTIONAL), of.strip())
        one.label = F.LABEL_REPEATED
        return f"{message.name}.{name}"

    def _type(self, one, kind):
        if kind in _TYPES and kind not in {"message", "enum", "group"}:
            one.type = _TYPES[kind]
            return
        enums = {enum.name for enum in self.file.enum_type}
        one.type = F.TYPE_ENUM if kind in enums or kind == "google.protobuf.NullValue" else F.TYPE_MESSAGE
        one.type_name = f".{kind}" if kind.startswith("google.") else f".{self.package}.{kind}"

    def method(self, service, name, request, reply, rule, *, streams=(False, False)):
        services = {one.name: one for one in self.file.service}
        holder = services.get(service) or self.file.service.add(name=service)
        method = holder.method.add(
            name=name,
            input_type=self._full(request),
            output_type=self._full(reply),
            client_streaming=streams[0],
            server_streaming=streams[1],
        )
        method.options.Extensions[annotations_pb2.http].CopyFrom(
            rule if isinstance(rule, http_pb2.HttpRule) else json_format.ParseDict(rule, http_pb2.HttpRule())
        )
        return self

    def _full(self, kind):
        return f".{kind}" if kind.startswith("google.") else f".{self.package}.{kind}"

    def build(self):
        """Add the file to a pool of its own; gives the pool."""
        pool = pool_with_well_known()
        pool.Add(self.file)
        return pool


def message_class(pool, full_name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))


def http_options(method):
    """The HTTP rule of a method of any pool, read by the types of the default one."""
    raw = descriptor_pb2.MethodOptions.FromString(method.GetOptions().SerializeToString())
    return raw.Extensions[annotations_pb2.http]


async def passing(call, proceed):
    """A step that does nothing."""
    await proceed(call)


def chain_of(table, servicers, authenticate=None):
    async def nobody(token, *, strict=False):
        raise AssertionError("a public method was authenticated")

    load = Load()
    steps = dict.fromkeys(ORDER, passing) | {
        "request_id": RequestIdStep(),
        "observe": ObserveStep(),
        "errors": ErrorsStep(),
        "access": AccessStep(None),
        "shed": ShedStep(load),
        "authn": AuthnStep(authenticate or nobody),
        "share": ShareStep(load, ShareLimits()),
        "validate": ValidateStep(table),
    }
    return Chain(table, servicers, steps)


def door_for(pool, services, servicer, **codecs):
    """An HttpDoor over all methods of ``services`` (full names), every one public."""
    table, routes = MethodTable(), RouteTable(**codecs)
    for name in services:
        descriptor = pool.FindServiceByName(name)
        policy = Policy(public=True, rate_class=RateClass.PUBLIC)
        table.add_service(descriptor, {method.name: policy for method in descriptor.methods})
    for method in table:
        routes.add(method, http_options(method.descriptor))
    chain = chain_of(table, dict.fromkeys(services, servicer))
    return HttpDoor(chain, routes, {})


@dataclass
class Answer:
    """What an application sent."""

    status: int = 0
    headers: list = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    pieces: list = field(default_factory=list)

    def header(self, name):
        values = [value.decode() for key, value in self.headers if key.decode() == name.lower()]
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.json["details"][0]["reason"]


class Client:
    """Calls an ASGI application without a socket."""

    def __init__(self, app):
        self.app = app

    async def request(self, verb, target, body=b"", headers=(), *, pieces=None, leave=None):
        """One request.

        Args:
            target: Raw path and query.
            pieces: The body as an (async) iterable, instead of ``body``; ``asked`` counts what was taken.
            leave: An event after which the connection is closed.
        """
        path, _, query = target.partition("?")
        if isinstance(headers, dict):
            headers = headers.items()
        scope = {
            "type": "http",
            "http_version": "2",
            "method": verb,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("192.0.2.7", 4000),
            "server": ("127.0.0.1", 8080),
        }
        answer, done = Answer(), asyncio.Event()
        feed = iter(pieces if pieces is not None else [body])
        state = {"over": False, "asked": 0}
        self.asked = state

        async def receive():
            if not state["over"]:
                piece = next(feed, None)
                state["asked"] += 1
                if piece is None:
                    state["over"] = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                if pieces is None:
                    state["over"] = True
                return {"type": "http.request", "body": piece, "more_body": pieces is not None}
            await (leave or done).wait()
            return {"type": "http.disconnect"}

        async def send(event):
            if event["type"] == "http.response.start":
                answer.status, answer.headers = event["status"], list(event["headers"])
            elif event["type"] == "http.response.body":
                answer.body += event.get("body", b"")
                answer.pieces.append(event.get("body", b""))
                answer.complete = not event.get("more_body", False)

        await self.app(scope, receive, send)
        done.set()
        return answer
