"""Message types and services made at run time, each file of them in a pool of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def pool_with_well_known() -> descriptor_pool.DescriptorPool:
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

    def __init__(self, package: str = "t") -> None:
        self.file = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.proto",
            package=package,
            syntax="proto3",
            dependency=[module.DESCRIPTOR.name for module in _KNOWN],
        )
        self.package = package

    def enum(self, name: str, values: Mapping[str, int]) -> Schema:
        """Add an enum."""
        enum = self.file.enum_type.add(name=name)
        for key, number in values.items():
            enum.value.add(name=key, number=number)
        return self

    def message(self, name: str, fields: Mapping[str, str]) -> Schema:
        """Add a message; its fields are numbered in their order."""
        message = self.file.message_type.add(name=name)
        oneofs: dict[str, int] = {}
        optionals = []
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

    def _entry(self, message: Any, one: Any, kind: str) -> str:
        name = "".join(part.capitalize() for part in one.name.split("_")) + "Entry"
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        for number, (part, of) in enumerate(zip(("key", "value"), kind[4:-1].split(","), strict=True), 1):
            self._type(entry.field.add(name=part, number=number, label=F.LABEL_OPTIONAL), of.strip())
        one.label = F.LABEL_REPEATED
        return f"{message.name}.{name}"

    def _type(self, one: Any, kind: str) -> None:
        if kind in _TYPES and kind not in {"message", "enum", "group"}:
            one.type = _TYPES[kind]
            return
        enums = {enum.name for enum in self.file.enum_type}
        one.type = F.TYPE_ENUM if kind in enums or kind == "google.protobuf.NullValue" else F.TYPE_MESSAGE
        one.type_name = f".{kind}" if kind.startswith("google.") else f".{self.package}.{kind}"

    def method(
        self,
        service: str,
        name: str,
        request: str,
        reply: str,
        rule: http_pb2.HttpRule | Mapping[str, Any],
        *,
        streams: tuple[bool, bool] = (False, False),
    ) -> Schema:
        """Add a method; ``streams`` says whether requests and replies are streams."""
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

    def _full(self, kind: str) -> str:
        return f".{kind}" if kind.startswith("google.") else f".{self.package}.{kind}"

    def build(self) -> descriptor_pool.DescriptorPool:
        """Add the file to a pool of its own; gives the pool."""
        pool = pool_with_well_known()
        pool.Add(self.file)
        return pool


def message_class(pool: descriptor_pool.DescriptorPool, full_name: str) -> Any:
    """The class of a message of a pool."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
