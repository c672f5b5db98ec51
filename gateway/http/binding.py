"""Binds a request to a message by one ``google.api.http`` rule: path values, query, body.

Strict: a field named twice in whatever spelling or place is refused, so nothing a path says can be
overridden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cohortlens.core.errors import CohortLensError, InvalidArgument, Violation
from gateway.http import jsontext
from gateway.http.codec import Codecs, Descriptor, is_repeated
from gateway.http.query import TextBinder, check_oneof, query_pairs, shown
from gateway.http.scalars import Dropped, JsonFault
from gateway.http.templates import Template, TemplateInvalid

HTTP_BODY = "google.api.HttpBody"


@dataclass(frozen=True, slots=True)
class Rule:
    """One HTTP rule of an RPC.

    Attributes:
        verb: HTTP method.
        template: Path template.
        body: ``*``, a field, or empty for none.
        response_body: Field of the reply that is the HTTP body; empty for the whole reply.
    """

    verb: str
    template: Template
    body: str = ""
    response_body: str = ""


# Not frozen: made once per request, and a frozen one takes three times as long to make.
@dataclass(slots=True)
class RawRequest:
    """What the door read, before anything is decoded.

    Attributes:
        values: Values of the template's variables.
        query: Raw query string.
        body: Raw body; None when the rule has none.
        content_type: Media type of the body; empty when not given.
        lenient: Whether unknown names are dropped.
        fault: A fault of the request line, headers or body, raised when the request is decoded.
    """

    values: tuple[str, ...] = ()
    query: str = ""
    body: bytes | None = None
    content_type: str = ""
    lenient: bool = False
    fault: CohortLensError | None = None


def refuse(fault: JsonFault) -> InvalidArgument:
    """The domain error of a fault in a value."""
    field = fault.field
    message = f"{field}: {fault.description}" if field else fault.description
    violations = (Violation(field, fault.description),) if field else ()
    return InvalidArgument(message, reason=fault.reason, violations=violations)


class Binding:
    """One rule of one RPC, compiled.

    Args:
        rule: The rule.
        message_class: Class of the request.
        strict: Codecs for ordinary requests.
        lenient: Codecs for ``Prefer: handling=lenient``.

    Raises:
        TemplateInvalid: The rule names a field it must not name.
    """

    def __init__(self, rule: Rule, message_class: type[Message], strict: Codecs, lenient: Codecs) -> None:
        self.rule = rule
        self._class = message_class
        descriptor: Descriptor = message_class.DESCRIPTOR
        self._codecs = {False: strict, True: lenient}
        self._binders = {mode: TextBinder(codecs, descriptor) for mode, codecs in self._codecs.items()}
        self._path = [self._path_fields(variable.field_path) for variable in rule.template.variables]
        self._body = [] if rule.body in {"", "*"} else self._checked_chain(rule.body.split("."))
        if rule.body and rule.verb in {"GET", "DELETE"}:
            raise TemplateInvalid(f"{rule.verb} {rule.template.text!r}: a {rule.verb} rule has no body")
        body_type = self._body[-1].message_type if self._body else descriptor if rule.body else None
        self.raw_body = body_type is not None and body_type.full_name == HTTP_BODY
        self._taken = {
            tuple(field.name for field in fields) for fields in [*self._path, self._body] if fields
        }

    def _checked_chain(self, names: Sequence[str]) -> list[FieldDescriptor]:
        try:
            return self._binders[False].chain(names)
        except JsonFault as fault:
            text = self.rule.template.text
            raise TemplateInvalid(f"{text!r}: {'.'.join(names)}: {fault.description}") from None

    def _path_fields(self, names: Sequence[str]) -> list[FieldDescriptor]:
        fields = self._checked_chain(names)
        if is_repeated(fields[-1]) or fields[-1].message_type is not None:
            text = self.rule.template.text
            raise TemplateInvalid(f"{text!r}: {'.'.join(names)} is not a singular scalar")
        return fields

    def decode(self, raw: RawRequest) -> Message:
        """The request message.

        Raises:
            InvalidArgument: With the reason, and the field when one is at fault.
        """
        if raw.fault is not None:
            raise raw.fault
        message = self._class()
        try:
            self._bind_body(message, raw)
            self._bind_path(message, raw)
            self._bind_query(message, raw)
        except JsonFault as fault:
            raise refuse(fault) from None
        except Dropped:
            raise InvalidArgument("a path value names no known enum value") from None
        return message

    def _bind_path(self, message: Any, raw: RawRequest) -> None:
        binder = self._binders[raw.lenient]
        for fields, value in zip(self._path, raw.values, strict=True):
            target = message
            for field in fields[:-1]:
                target = getattr(target, field.name)
            try:
                check_oneof(target, fields[-1])
                binder.setter(fields[-1])(target, value)
            except JsonFault as fault:
                raise fault.under(".".join(field.name for field in fields)) from None

    def _bind_query(self, message: Message, raw: RawRequest) -> None:
        if not raw.query:
            return
        pairs = query_pairs(raw.query)
        if self.rule.body == "*":
            fields = self._codecs[False].of(self._class.DESCRIPTOR).fields
            for name, _ in pairs:
                known = name.partition("[")[0].partition(".")[0] in fields
                if known or not raw.lenient:
                    reason = "FIELD_CONFLICT" if known else "UNKNOWN_PARAMETER"
                    raise JsonFault("this method takes no query parameters", reason).under(shown(name))
            return
        self._binders[raw.lenient].bind(message, pairs, self._taken)

    def _bind_body(self, message: Any, raw: RawRequest) -> None:
        if not self.rule.body:
            if raw.body:
                raise JsonFault("this method takes no body", "BODY_NOT_ALLOWED")
            return
        parent = message
        for field in self._body[:-1]:
            parent = getattr(parent, field.name)
        body = raw.body or b""
        if self.raw_body:
            target = getattr(parent, self._body[-1].name) if self._body else message
            target.content_type, target.data = raw.content_type, body
        elif body or raw.content_type:
            self._load(parent, jsontext.load(body), self._codecs[raw.lenient])

    def _load(self, parent: Any, value: Any, codecs: Codecs) -> None:
        inside = [field.name for field in self._body]
        for fields in self._path:
            names = [field.name for field in fields]
            if names[: len(inside)] == inside and _named(value, fields[len(inside) :]):
                raise JsonFault("bound by the path already", "FIELD_CONFLICT").under(".".join(names))
        if not self._body:
            codecs.of(self._class.DESCRIPTOR).load(parent, value)
            return
        leaf = self._body[-1]
        try:
            codecs.of(leaf.containing_type).fields[leaf.name].set(parent, value)
        except JsonFault as fault:
            raise fault.under(".".join(inside)) from None


def _named(value: Any, fields: Sequence[FieldDescriptor]) -> bool:
    """Whether a JSON value names the field at the end of ``fields``, in either spelling at every level."""
    values = [value]
    for field in fields:
        names = {field.name, field.json_name}
        values = [item[name] for item in values if type(item) is dict for name in names if name in item]
    return bool(values)
