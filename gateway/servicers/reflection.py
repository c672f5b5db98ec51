"""Server reflection, v1 and v1alpha, as ordinary methods of the chain.

Only the files of the services in the table, what they import and the details of failures can be read; the
stubs between our own processes stay unknown to callers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cohortlens.core.errors import Code
from gateway.interceptors.chain import Call
from gateway.registry import MethodTable, Policy, RateClass

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_V1_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection(table: MethodTable) -> None:
    """Add both versions to the table: public."""
    policies = {"ServerReflectionInfo": Policy(public=True, rate_class=RateClass.PUBLIC)}
    for file in (_v1_file(), reflection_pb2.DESCRIPTOR):
        table.add_service(file.services_by_name["ServerReflection"], policies)


def _v1_file() -> FileDescriptor:
    """The file of v1, which differs from v1alpha, the one that is shipped, in its package only."""
    pool = descriptor_pool.Default()
    try:
        return pool.FindFileByName(_V1_FILE)
    except KeyError:
        proto = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(proto)
        proto.name, proto.package = _V1_FILE, "grpc.reflection.v1"
        for message in proto.message_type:
            for field in message.field:
                if field.type_name:
                    field.type_name = _renamed(field.type_name)
        for method in proto.service[0].method:
            method.input_type, method.output_type = _renamed(method.input_type), _renamed(method.output_type)
        return pool.AddSerializedFile(proto.SerializeToString())


def _renamed(type_name: str) -> str:
    return type_name.replace(".grpc.reflection.v1alpha.", ".grpc.reflection.v1.")


class ReflectionServicer:
    """grpc.reflection.v1.ServerReflection and v1alpha.

    Args:
        table: The methods whose services are shown.
    """

    def __init__(self, table: MethodTable) -> None:
        self._services = table.services()
        self._files: dict[str, FileDescriptor] = {}
        for method in table:
            self._add(method.descriptor.containing_service.file)
        # No method names them, yet every failure carries them: grpcurl asks for their types by name.
        self._add(error_details_pb2.DESCRIPTOR)
        self._symbols: dict[str, FileDescriptor] = {}
        self._extensions: dict[tuple[str, int], FileDescriptor] = {}
        for file in self._files.values():
            self._index(file)
        self._answers: dict[str, Callable[[Any, Any], bool]] = {
            "file_by_filename": self._by_filename,
            "file_containing_symbol": self._by_symbol,
            "file_containing_extension": self._by_extension,
            "all_extension_numbers_of_type": self._extension_numbers,
            "list_services": self._list,
        }

    async def ServerReflectionInfo(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Message]:
        """Answer each question of the stream."""
        async for request in requests:
            response: Any = call.method.output_class()
            response.valid_host = request.host
            response.original_request.CopyFrom(request)
            kind = request.WhichOneof("message_request")
            if kind is None:
                _refuse(response, Code.INVALID_ARGUMENT, "the request asks for nothing")
            elif not self._answers[kind](getattr(request, kind), response):
                _refuse(response, Code.NOT_FOUND, "not found")
            yield response

    def _by_filename(self, name: str, response: Any) -> bool:
        return _fill(response, self._files.get(name))

    def _by_symbol(self, symbol: str, response: Any) -> bool:
        return _fill(response, self._symbols.get(symbol.lstrip(".")))

    def _by_extension(self, wanted: Any, response: Any) -> bool:
        return _fill(response, self._extensions.get((wanted.containing_type, wanted.extension_number)))

    def _extension_numbers(self, type_name: str, response: Any) -> bool:
        if type_name not in self._symbols:
            return False
        answer = response.all_extension_numbers_response
        answer.base_type_name = type_name
        answer.extension_number.extend(sorted(n for name, n in self._extensions if name == type_name))
        return True

    def _list(self, _: str, response: Any) -> bool:
        for name in self._services:
            response.list_services_response.service.add(name=name)
        return True

    def _add(self, file: FileDescriptor) -> None:
        if file.name not in self._files:
            self._files[file.name] = file
            for dependency in file.dependencies:
                self._add(dependency)

    def _index(self, file: FileDescriptor) -> None:
        for service in file.services_by_name.values():
            self._symbols[service.full_name] = file
            for method in service.methods:
                self._symbols[method.full_name] = file
        for extension in file.extensions_by_name.values():
            self._symbols[extension.full_name] = file
            extended: Any = extension.containing_type
            self._extensions[extended.full_name, extension.number] = file
        for enum in file.enum_types_by_name.values():
            self._symbols[enum.full_name] = file
        messages = list(file.message_types_by_name.values())
        while messages:
            message = messages.pop()
            messages.extend(message.nested_types)
            names: list[Any] = [*message.fields, *message.enum_types, message]
            self._symbols.update({one.full_name: file for one in names})


def _fill(response: Any, file: FileDescriptor | None) -> bool:
    """Put a file and all it imports into the response, what is imported after what imports it."""
    if file is None:
        return False
    waiting, seen = [file], {file.name}
    while waiting:
        one = waiting.pop(0)
        response.file_descriptor_response.file_descriptor_proto.append(one.serialized_pb)
        fresh = [dependency for dependency in one.dependencies if dependency.name not in seen]
        seen.update(dependency.name for dependency in fresh)
        waiting.extend(fresh)
    return True


def _refuse(response: Any, code: Code, message: str) -> None:
    response.error_response.error_code = int(code)
    response.error_response.error_message = message
