"""The route table: one entry per HTTP rule of every method, read from the descriptors at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FieldDescriptor

from cohortlens.v1 import common_pb2
from gateway.http import headers
from gateway.http.binding import Binding, Rule
from gateway.http.codec import Codecs
from gateway.http.requests import Request
from gateway.http.templates import Router, TemplateInvalid, Unescaping, parse_template
from gateway.interceptors.chain import MethodInfo, MethodTable
from gateway.registry import fields_of

_RULES: Any = common_pb2.rules  # generated as a bare FieldDescriptor, which the type stubs do not index


@dataclass(frozen=True, slots=True)
class Upload:
    """Names of the fields of a client stream that is a file: options first, then its bytes.

    Attributes:
        options: Message field of the first request.
        chunk: Bytes field of the others.
    """

    options: str
    chunk: str


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP rule of one method.

    Attributes:
        method: The RPC.
        rule: Verb, template, body.
        binding: The rule, compiled.
        upload: How a file becomes a stream of requests; None when the requests are no file.
        sensitive: Whether the reply holds a secret, so that nothing may cache it.
    """

    method: MethodInfo
    rule: Rule
    binding: Binding
    upload: Upload | None = None
    sensitive: bool = False


@dataclass
class RouteTable:
    """All routes of a process, with the codecs they share.

    Attributes:
        strict: Codecs for ordinary requests and all replies.
        lenient: Codecs for ``Prefer: handling=lenient``.
        router: Finds a route.
        routes: All of them, in the order of the descriptors.
        form_fallback: Whether a form that is POSTed to a path stands for a GET whose query it is, or for the
            method that ``X-HTTP-Method-Override`` names. It is a way around whatever guards a method by its
            name, so the product leaves it off (hashicorp/boundary#5050).
    """

    strict: Codecs = field(default_factory=Codecs)
    lenient: Codecs = field(default_factory=lambda: Codecs(lenient=True))
    router: Router[Route] = field(default_factory=lambda: Router[Route](Unescaping.EXCEPT_RESERVED))
    routes: list[Route] = field(default_factory=list)
    form_fallback: bool = False

    def add(self, method: MethodInfo, http_rule: Any) -> None:
        """Register a ``google.api.HttpRule`` with its additional bindings.

        Raises:
            TemplateInvalid: Naming the RPC and the rule.
        """
        for one in (http_rule, *http_rule.additional_bindings):
            try:
                self._add_one(method, one)
            except TemplateInvalid as fault:
                where = f"{method.descriptor.containing_service.file.name}: {method.descriptor.full_name}"
                raise TemplateInvalid(f"{where}: {fault}") from None

    def _add_one(self, method: MethodInfo, http_rule: Any) -> None:
        verb, path = _pattern(http_rule)
        rule = Rule(verb, parse_template(path), http_rule.body, http_rule.response_body)
        binding = Binding(rule, method.input_class, self.strict, self.lenient, takes_forms=self.form_fallback)
        fields = method.descriptor.output_type.fields_by_name
        if rule.response_body and rule.response_body not in fields:
            raise TemplateInvalid(f"{path!r}: the reply has no field {rule.response_body}")
        upload = _upload(method) if method.client_streaming and rule.body == "*" else None
        route = Route(method, rule, binding, upload, holds_secret(method))
        self.router.add(verb, rule.template, route)
        self.routes.append(route)
        self.strict.of(method.descriptor.output_type)


def build_routes(table: MethodTable) -> RouteTable:
    """The routes of all methods that have an HTTP rule; raises TemplateInvalid."""
    routes = RouteTable()
    for method in table:
        options = method.descriptor.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            routes.add(method, options.Extensions[annotations_pb2.http])
    return routes


def _pattern(rule: http_pb2.HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise TemplateInvalid("an HTTP rule without a path")
    if kind == "custom":
        return rule.custom.kind.upper(), rule.custom.path
    return kind.upper(), getattr(rule, kind)


def method_of(routes: RouteTable, request: Request) -> str:
    """The HTTP method that a request stands for: its own but for forms, where ``form_fallback`` is on."""
    head = request.head
    is_form = request.verb == "POST" and headers.media_type(head.get("content-type"))[0] == headers.FORM
    if not routes.form_fallback or not is_form:
        return request.verb
    named = head.get("x-http-method-override").upper()
    return named or ("POST" if "POST" in routes.router.methods(request.path) else "GET")


def _upload(method: MethodInfo) -> Upload | None:
    """A stream is a file when its requests are one choice between a message and bytes."""
    fields = method.descriptor.input_type.fields
    if len(fields) != 2 or any(field.containing_oneof is None for field in fields):
        return None
    messages = [field.name for field in fields if field.type == FieldDescriptor.TYPE_MESSAGE]
    chunks = [field.name for field in fields if field.type == FieldDescriptor.TYPE_BYTES]
    return Upload(messages[0], chunks[0]) if messages and chunks else None


def holds_secret(method: MethodInfo) -> bool:
    """Whether the reply of a method holds a secret, so that nothing may store it."""
    return any(
        one.GetOptions().Extensions[_RULES].sensitive for one in fields_of(method.descriptor.output_type)
    )
