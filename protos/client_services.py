"""Text of the client's services, one method for each RPC, from the descriptors; used by ``client_types``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from betterproto2_compiler.compile.naming import (
    pythonize_class_name,
    pythonize_field_name,
    pythonize_method_name,
)
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_VERBS = ("get", "put", "post", "delete", "patch")
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_THROTTLING = {"maxTokens": 10, "tokenRatio": 0.1}
_OPTIONS = "timeout_s: float | None = None, metadata: Metadata = ()"
_ASYNC_HEAD = '''"""The services of the API, every method asynchronous."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable

from cohortlens.client._generated.cohortlens import v1
from cohortlens.client._generated.google import api
from cohortlens.client._generated.methods import METHODS
from cohortlens.client.calls import Caller
from cohortlens.client.methods import Metadata
from cohortlens.client.paging import iterate
'''
_BLOCKING_HEAD = '''"""The services of the API, every method blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cohortlens.client._generated import services
from cohortlens.client._generated.cohortlens import v1
from cohortlens.client._generated.google import api
from cohortlens.client.methods import Metadata
from cohortlens.client.portal import Portal
'''
_METHODS_HEAD = '''"""Every RPC of the API: where it is, who may call it, its routes over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cohortlens.client.methods import Binding, Method

METHODS: Final[Mapping[str, Method]] = {
'''
_SENSITIVE_HEAD = '''"""Fields that no text for people may show, by message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENSITIVE: Final[Mapping[str, frozenset[str]]] = {
'''


@dataclass(frozen=True)
class Rpc:
    """An RPC and the names it has in Python.

    Attributes:
        service: Name of the service, such as ``AnalyticsService``.
        descriptor: Its descriptor.
        comment: What its proto says of it.
        request: Type of the request in Python, with its module.
        reply: The same of a reply.
        optional: Whether an empty request is a valid one.
    """

    service: str
    descriptor: Any
    comment: str
    request: str
    reply: str
    optional: bool

    @property
    def key(self) -> str:
        """Its key in ``METHODS``."""
        return f"{self.service}.{self.descriptor.name}"

    @property
    def name(self) -> str:
        """Name of the method in Python."""
        return pythonize_method_name(self.descriptor.name)

    @property
    def paged(self) -> tuple[str, str] | None:
        """Field and type of the rows, if the RPC is a list of pages."""
        request, reply = self.descriptor.input_type, self.descriptor.output_type
        if "page_token" not in request.fields_by_name or "next_page_token" not in reply.fields_by_name:
            return None
        rows = [field for field in reply.fields if field.is_repeated and field.message_type is not None]
        if len(rows) != 1:
            raise SystemExit(f"{self.key}: a list of pages has one repeated message, found {len(rows)}")
        return pythonize_field_name(rows[0].name), _type(rows[0].message_type)


def _type(message: Any) -> str:
    module = "v1" if message.file.package == "cohortlens.v1" else message.file.package.rpartition(".")[2]
    return f"{module}.{_python_name(message)}"


def _python_name(message: Any) -> str:
    """Name of a message's class: nested ones carry the names of those around them."""
    return pythonize_class_name(message.full_name.removeprefix(f"{message.file.package}."))


def _with_nested(messages: Iterable[Any]) -> Iterator[Any]:
    for message in messages:
        yield message
        yield from _with_nested(message.nested_types)


class Services:
    """The services of a package of a descriptor image.

    Args:
        image: FileDescriptorSet with source information and all imports.
        package: Proto package whose services are written.
    """

    def __init__(self, image: bytes, package: str) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(image)
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self._options = message_factory.GetMessageClass(
            pool.FindMessageTypeByName("google.protobuf.MethodOptions")
        )
        self._field_options = message_factory.GetMessageClass(
            pool.FindMessageTypeByName("google.protobuf.FieldOptions")
        )
        self._policy = pool.FindExtensionByName(f"{package}.policy")
        self._rules = pool.FindExtensionByName(f"{package}.rules")
        self._comments: dict[str, str] = {}
        self._services: dict[str, list[Rpc]] = {}
        self._messages: list[Any] = []
        for file in files.file:
            if file.package == package:
                found = pool.FindFileByName(file.name).message_types_by_name.values()
                self._messages += _with_nested(found)
            if file.package == package and file.service:
                self._read(file, pool)

    def _read(self, file: Any, pool: Any) -> None:
        comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
        for place, proto in enumerate(file.service):
            service = pool.FindServiceByName(f"{file.package}.{proto.name}")
            self._comments[service.name] = comments.get((6, place), "")
            self._services[service.name] = [
                Rpc(
                    service.name,
                    method,
                    comments.get((6, place, 2, index), ""),
                    _type(method.input_type),
                    _type(method.output_type),
                    not any(self._is_required(field) for field in method.input_type.fields),
                )
                for index, method in enumerate(service.methods)
            ]

    def _is_required(self, field: Any) -> bool:
        return bool(self._rules_of(field).required)

    def _rules_of(self, field: Any) -> Any:
        options = self._field_options.FromString(field.GetOptions().SerializeToString())
        return options.Extensions[self._rules]

    def _policy_of(self, rpc: Rpc) -> Any:
        raw = rpc.descriptor.GetOptions().SerializeToString()
        return self._options.FromString(raw).Extensions[self._policy]

    def _rpcs(self) -> Iterator[Rpc]:
        for rpcs in self._services.values():
            yield from rpcs

    def methods(self) -> str:
        """Text of the table of methods."""
        rows = []
        for rpc in self._rpcs():
            options = rpc.descriptor.GetOptions()
            public = self._policy_of(rpc).DESCRIPTOR.fields_by_name["access"].enum_type
            is_public = self._policy_of(rpc).access == public.values_by_name["ACCESS_PUBLIC"].number
            path = f"/{rpc.descriptor.containing_service.full_name}/{rpc.descriptor.name}"
            bindings = "".join(f"{binding}, " for binding in _bindings(rpc.descriptor))
            marks = f"public={is_public}, deprecated={options.deprecated}"
            rows.append(f'    "{rpc.key}": Method("{path}", ({bindings.rstrip()}), {marks}),\n')
        return _METHODS_HEAD + "".join(rows) + "}\n"

    def sensitive(self) -> str:
        """Text of the table of fields that must not be shown."""
        rows = []
        for message in self._messages:
            hidden = [
                pythonize_field_name(one.name) for one in message.fields if self._rules_of(one).sensitive
            ]
            if hidden:
                names = ", ".join(f'"{name}"' for name in hidden)
                rows.append(f'    "{_python_name(message)}": frozenset({{{names}}}),\n')
        return _SENSITIVE_HEAD + "".join(rows) + "}\n"

    def config(self) -> dict[str, Any]:
        """The service config after gRFC A6: which methods may be sent again, and when."""
        names = [
            {"service": rpc.descriptor.containing_service.full_name, "method": rpc.descriptor.name}
            for rpc in self._rpcs()
            if rpc.descriptor.GetOptions().idempotency_level and not rpc.descriptor.client_streaming
        ]
        return {
            "methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}],
            "retryThrottling": _THROTTLING,
        }

    def asynchronous(self) -> str:
        """Text of the asynchronous services."""
        parts = [_ASYNC_HEAD]
        for service, rpcs in self._services.items():
            parts.append(f"\n\nclass {service}:\n{_docstring(self._comments[service], 4)}")
            parts.append("\n    def __init__(self, caller: Caller) -> None:\n        self._caller = caller\n")
            parts += [_asynchronous(rpc) for rpc in rpcs]
        parts.append('\n\nclass Services:\n    """One attribute for each service."""\n')
        parts.append("\n    def __init__(self, caller: Caller) -> None:\n")
        parts += [f"        self.{_attribute(name)} = {name}(caller)\n" for name in self._services]
        return "".join(parts)

    def blocking(self) -> str:
        """Text of the blocking services."""
        parts = [_BLOCKING_HEAD]
        for service, rpcs in self._services.items():
            parts.append(f"\n\nclass {service}:\n{_docstring(self._comments[service], 4)}")
            parts.append(f"\n    def __init__(self, portal: Portal, service: services.{service}) -> None:\n")
            parts.append("        self._portal, self._service = portal, service\n")
            parts += [_blocking(rpc) for rpc in rpcs]
        parts.append('\n\nclass Services:\n    """One attribute for each service."""\n')
        parts.append("\n    def __init__(self, portal: Portal, found: services.Services) -> None:\n")
        for name in self._services:
            attribute = _attribute(name)
            parts.append(f"        self.{attribute} = {name}(portal, found.{attribute})\n")
        return "".join(parts)


def _bindings(method: Any) -> Iterator[str]:
    raw = descriptor_pb2.MethodOptions.FromString(method.GetOptions().SerializeToString())
    rule = raw.Extensions[annotations_pb2.http]
    for one in (rule, *rule.additional_bindings):
        verb = one.WhichOneof("pattern")
        if verb in _VERBS:
            body = f'"{one.body}"' if one.body else "None"
            yield f'Binding("{verb.upper()}", "{getattr(one, verb)}", {body})'


def _attribute(service: str) -> str:
    """Name of a service's attribute: ``AnalyticsService`` is ``analytics``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", service.removesuffix("Service")).lower()


def _docstring(comment: str, indent: int) -> str:
    lines = [line.removeprefix(" ") for line in comment.rstrip("\n").split("\n")]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"', '\\"')
    pad = " " * indent
    body = text.replace("\n", f"\n{pad}") + (f"\n{pad}" if len(lines) > 1 else "")
    return re.sub(r"[ \t]+\n", "\n", f'{pad}"""{body}"""\n')


def _head(rpc: Rpc, name: str, of: str, result: str, *, is_async: bool) -> str:
    """The line that declares a method; ``of`` is the form of a stream of requests."""
    if rpc.descriptor.client_streaming:
        taken = f"requests: {of}"
    else:
        taken = f"request: {rpc.request} | None = None" if rpc.optional else f"request: {rpc.request}"
    start = "async def" if is_async else "def"
    return f"\n    {start} {name}(self, {taken}, *, {_OPTIONS}) -> {result}:\n"


def _given(rpc: Rpc) -> str:
    if rpc.descriptor.client_streaming:
        return "requests"
    return f"request or {rpc.request}()" if rpc.optional else "request"


def _asynchronous(rpc: Rpc) -> str:
    many = rpc.descriptor.server_streaming
    of = f"AsyncIterable[{rpc.request}] | Iterable[{rpc.request}]"
    result = f"AsyncIterator[{rpc.reply}]" if many else rpc.reply
    kind = {
        (False, False): "unary",
        (False, True): "stream",
        (True, False): "upload",
        (True, True): "converse",
    }[rpc.descriptor.client_streaming, many]
    arguments = f'METHODS["{rpc.key}"], {_given(rpc)}, {rpc.reply}, timeout_s, metadata'
    called = f"        return {'' if many else 'await '}self._caller.{kind}({arguments})\n"
    text = _head(rpc, rpc.name, of, result, is_async=not many) + _docstring(rpc.comment, 8) + called
    if rpc.paged:
        rows, row = rpc.paged
        name = f"iter_{rpc.name.removeprefix('list_')}"
        text += _head(rpc, name, of, f"AsyncIterator[{row}]", is_async=False)
        text += (
            f'        """The {rows} of ``{rpc.name}``, one page after the other; deadline of each page."""\n'
        )
        text += f"        return iterate(self.{rpc.name}, {_given(rpc)}, "
        text += f"lambda reply: reply.{rows}, timeout_s, metadata)\n"
    return text


def _blocking(rpc: Rpc) -> str:
    many = rpc.descriptor.server_streaming
    of = f"Iterable[{rpc.request}]"
    given = "self._portal.feed(requests)" if rpc.descriptor.client_streaming else _given(rpc)
    result = f"Iterator[{rpc.reply}]" if many else rpc.reply
    asked = f"self._service.{rpc.name}({given}, timeout_s=timeout_s, metadata=metadata)"
    called = f"        return self._portal.{'iterate' if many else 'run'}({asked})\n"
    text = _head(rpc, rpc.name, of, result, is_async=False) + _docstring(rpc.comment, 8) + called
    if rpc.paged:
        rows, row = rpc.paged
        name = f"iter_{rpc.name.removeprefix('list_')}"
        text += _head(rpc, name, of, f"Iterator[{row}]", is_async=False)
        text += (
            f'        """The {rows} of ``{rpc.name}``, one page after the other; deadline of each page."""\n'
        )
        asked = f"self._service.{name}({_given(rpc)}, timeout_s=timeout_s, metadata=metadata)"
        text += f"        return self._portal.iterate({asked})\n"
    return text
