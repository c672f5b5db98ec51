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
from gateway.http.headers import FORM, media_type
from gateway.http.masks import MASK_FIELD, UpdateMask, mask_of
from gateway.http.query import TextBinder, check_oneof, query_pairs, shown
from gateway.http.scalars import Dropped, JsonFault
from gateway.http.templates import Template, TemplateInvalid
from gateway.http.wellknown import is_scalar_like

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
        takes_forms: Whether a form sent to a rule without body is its query.

    Raises:
        TemplateInvalid: The rule names a field it must not name.
    """

    def __init__(
        self,
        rule: Rule,
        message_class: type[Message],
        strict: Codecs,
        lenient: Codecs,
        *,
        takes_forms: bool = False,
    ) -> None:
        self.rule = rule
        self._takes_forms = takes_forms
        self._class = message_class
        descriptor: Descriptor = message_class.DESCRIPTOR
        self._codecs = {False: strict, True: lenient}
        self._binders = {mode: TextBinder(codecs, descriptor) for mode, codecs in self._codecs.items()}
        self._path = [self._path_fields(variable.field_path) for variable in rule.template.variables]
        self._check_path()
        self._body = [] if rule.body in {"", "*"} else self._checked_chain(rule.body.split("."))
        if rule.body and rule.verb in {"GET", "DELETE"}:
            raise self._invalid(f"a {rule.verb} rule has no body")
        body_type = self._body[-1].message_type if self._body else descriptor if rule.body else None
        self.raw_body = body_type is not None and body_type.full_name == HTTP_BODY
        if len(self._body) > 1 and not self.raw_body:
            raise self._invalid("a body is a field of the request itself, unless it is an HttpBody")
        self._taken = {_names(fields) for fields in [*self._path, self._body] if fields}
        self._mask = self._mask_of(descriptor, body_type)

    def _invalid(self, why: str) -> TemplateInvalid:
        return TemplateInvalid(f"{self.rule.verb} {self.rule.template.text!r}: {why}")

    def _check_path(self) -> None:
        """Raise TemplateInvalid where two variables are one field, or members of one oneof."""
        bound: set[tuple[str, ...]] = set()
        for fields in self._path:
            names, oneof = _names(fields), fields[-1].containing_oneof
            if names in bound:
                raise self._invalid(f"{'.'.join(names)} is bound twice")
            bound.add(names)
            others = {field.name for field in oneof.fields} if oneof is not None else set()
            if any(other[:-1] == names[:-1] and other[-1] in others for other in bound - {names}):
                raise self._invalid(f"{'.'.join(names)} and another variable are members of one oneof")

    def _mask_of(self, request: Descriptor, body_type: Descriptor | None) -> UpdateMask | None:
        if self.rule.verb != "PATCH" or body_type is None or self.raw_body:
            return None
        if self._body and (is_repeated(self._body[-1]) or is_scalar_like(body_type.full_name)):
            return None
        inside = _names(self._body)
        bound = [_names(fields) for fields in self._path]
        apart = [names[len(inside) :] for names in bound if names[: len(inside)] == inside]
        return mask_of(request, body_type, apart)

    def _checked_chain(self, names: Sequence[str]) -> list[FieldDescriptor]:
        try:
            return self._binders[False].chain(names)
        except JsonFault as fault:
            raise self._invalid(f"{'.'.join(names)}: {fault.description}") from None

    def _path_fields(self, names: Sequence[str]) -> list[FieldDescriptor]:
        fields = self._checked_chain(names)
        if is_repeated(fields[-1]) or fields[-1].message_type is not None:
            raise self._invalid(f"{'.'.join(names)} is not a singular scalar")
        return fields

    def decode(self, raw: RawRequest) -> Message:
        """The request message.

        Raises:
            InvalidArgument: With the reason, and the field when one is at fault.
        """
        if raw.fault is not None:
            raise raw.fault
        message: Any = self._class()
        try:
            value = self._bind_body(message, raw)
            self._bind_path(message, raw)
            self._bind_query(message, raw)
            if self._mask is not None:
                self._mask.fill(getattr(message, MASK_FIELD), value)
        except JsonFault as fault:
            raise refuse(fault) from None
        except Dropped:
            raise InvalidArgument("a path value names no known enum value") from None
        bound: Message = message
        return bound

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
        query = self._query(raw)
        if not query:
            return
        pairs = query_pairs(query)
        if self.rule.body == "*":
            fields = self._codecs[False].of(self._class.DESCRIPTOR).fields
            for name, _ in pairs:
                known = name.partition("[")[0].partition(".")[0] in fields
                if known or not raw.lenient:
                    reason = "FIELD_CONFLICT" if known else "UNKNOWN_PARAMETER"
                    raise JsonFault("this method takes no query parameters", reason).under(shown(name))
            return
        self._binders[raw.lenient].bind(message, pairs, self._taken)

    def _is_form(self, raw: RawRequest) -> bool:
        return self._takes_forms and not self.rule.body and media_type(raw.content_type)[0] == FORM

    def _query(self, raw: RawRequest) -> str:
        """The query, with the form that was too long to be one."""
        if raw.body and self._is_form(raw):
            if not raw.body.isascii():
                raise JsonFault("the form is not percent-encoded", "PATH_ENCODING_INVALID")
            return "&".join(part for part in (raw.query, raw.body.decode("ascii")) if part)
        return raw.query

    def _bind_body(self, message: Any, raw: RawRequest) -> Any:
        """Bind the body; returns its JSON value, None when there is none."""
        if not self.rule.body:
            if raw.body and not self._is_form(raw):
                raise JsonFault("this method takes no body", "BODY_NOT_ALLOWED")
            return None
        parent = message
        for field in self._body[:-1]:
            parent = getattr(parent, field.name)
        body = raw.body or b""
        if self.raw_body:
            target = getattr(parent, self._body[-1].name) if self._body else message
            target.content_type, target.data = raw.content_type, body
        elif body or raw.content_type:
            value = jsontext.load(body)
            self._load(parent, value, self._codecs[raw.lenient])
            return value
        return None

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


def _names(fields: Sequence[FieldDescriptor]) -> tuple[str, ...]:
    return tuple(field.name for field in fields)


def _named(value: Any, fields: Sequence[FieldDescriptor]) -> bool:
    """Whether a JSON value names the field at the end of ``fields``, in either spelling at every level."""
    values = [value]
    for field in fields:
        names = {field.name, field.json_name}
        values = [item[name] for item in values if type(item) is dict for name in names if name in item]
    return bool(values)
