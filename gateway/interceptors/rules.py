"""Validators compiled from the field options ``rules``, once per message type; used by the ``validate`` step.

Beside the declared rules every message gets: finite numbers, enum values that exist, timestamps and durations
in their range, and no NUL in a string, which PostgreSQL could not store. Descriptions never hold the value.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.ids import parse_uuid
from cohortlens.v1 import common_pb2

MAX_VIOLATIONS = 50

ValueCheck = Callable[[Any], str | None]
"""Gives what is wrong with one value, or None."""

_RULES: Any = common_pb2.rules
_FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_NOT_FINITE = "must be a finite number"
_NOT_INFINITE = "must be a number; infinity is not allowed"
_REQUIRED = "is required"


class _EnoughError(Exception):
    """Stops the walk once as many violations are found as are ever shown."""


class Violations:
    """Collects what is wrong with one message, one violation per field."""

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def add(self, path: str, description: str) -> None:
        """Note one faulty field; raises _EnoughError at the limit."""
        self.found.append(Violation(path, description))
        if len(self.found) >= MAX_VIOLATIONS:
            raise _EnoughError

    def fault(self) -> InvalidArgument | None:
        """The fault of all violations, VALUE_NOT_FINITE or FIELD_INVALID; None if there are none."""
        if not self.found:
            return None
        finite_only = all(one.description in (_NOT_FINITE, _NOT_INFINITE) for one in self.found)
        first = self.found[0]
        message = f"{first.field} {first.description}"
        if len(self.found) > 1:
            more = "at least " if len(self.found) >= MAX_VIOLATIONS else ""
            message = f"{more}{len(self.found)} fields are invalid; the first: {message}"
        return InvalidArgument(
            message,
            reason="VALUE_NOT_FINITE" if finite_only else "FIELD_INVALID",
            violations=tuple(self.found),
        )


class _AnyViolation(Violations):
    """Stops the walk at the first violation and keeps none."""

    def add(self, path: str, description: str) -> None:  # noqa: ARG002 - nobody will read them
        raise _EnoughError


_ANY = _AnyViolation()

FieldCheck = Callable[[Message, str, Violations], None]


class MessageValidator:
    """All checks of one message type."""

    __slots__ = ("checks",)

    def __init__(self) -> None:
        self.checks: list[FieldCheck] = []

    def walk(self, message: Message, prefix: str, violations: Violations) -> None:
        """Add the violations of ``message``, whose fields are named below ``prefix``."""
        for check in self.checks:
            check(message, prefix, violations)

    def check(self, message: Message) -> None:
        """Raise InvalidArgument if anything is wrong with ``message``."""
        try:
            # Most messages are right: the first look gathers nothing and names nothing.
            self.walk(message, "", _ANY)
        except _EnoughError:
            self._refuse(message)

    def _refuse(self, message: Message) -> None:
        violations = Violations()
        with contextlib.suppress(_EnoughError):
            self.walk(message, "", violations)
        fault = violations.fault()
        if fault is not None:
            raise fault


class ValidatorCompiler:
    """Makes validators; message types that contain themselves are made once."""

    def __init__(self) -> None:
        self._made: dict[str, MessageValidator] = {}

    def validator(self, descriptor: Descriptor) -> MessageValidator:
        """The validator of a message type."""
        made = self._made.get(descriptor.full_name)
        if made is None:
            made = self._made[descriptor.full_name] = MessageValidator()
            special = _WELL_KNOWN.get(descriptor.full_name)
            if special is not None:
                made.checks.append(special)
            elif not descriptor.full_name.startswith("google.protobuf."):
                made.checks.extend(check for field in descriptor.fields if (check := self._field(field)))
        return made

    def _field(self, field: FieldDescriptor) -> FieldCheck | None:
        rules = field.GetOptions().Extensions[_RULES]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field, field.message_type, rules)
        value = _value_check(field, rules)
        nested = self.validator(field.message_type) if field.message_type is not None else None
        if field.is_repeated:
            return _repeated(field, rules, value, nested)
        return _singular(field, rules, value, nested)

    def _map(self, field: FieldDescriptor, entry: Descriptor, rules: common_pb2.FieldRules) -> FieldCheck:
        name, size = field.name, _size_check(rules, "entries")
        key_field, value_field = (entry.fields_by_name[part] for part in ("key", "value"))
        key_check = _value_check(key_field, rules)
        value_check = _value_check(value_field, rules)
        nested = self.validator(value_field.message_type) if value_field.message_type is not None else None

        def check(message: Message, prefix: str, violations: Violations) -> None:
            entries, path = getattr(message, name), prefix + name
            if wrong := size(entries):
                violations.add(path, wrong)
                return
            for key in entries:
                if wrong := (key_check and key_check(key)) or (value_check and value_check(entries[key])):
                    violations.add(f"{path}[{key!r}]", wrong)
                elif nested is not None:
                    nested.walk(entries[key], f"{path}[{key!r}].", violations)

        return check


def _singular(
    field: FieldDescriptor,
    rules: common_pb2.FieldRules,
    value_check: ValueCheck | None,
    nested: MessageValidator | None,
) -> FieldCheck | None:
    name, required = field.name, rules.required
    if nested is not None:

        def check_message(message: Message, prefix: str, violations: Violations) -> None:
            if message.HasField(name):
                nested.walk(getattr(message, name), f"{prefix}{name}.", violations)
            elif required:
                violations.add(prefix + name, _REQUIRED)

        return check_message
    if value_check is None and not required:
        return None
    has_presence = field.has_presence
    # A text that is not there is nothing to check; a number without presence always has a value.
    skip_empty = field.cpp_type == FieldDescriptor.CPPTYPE_STRING

    def check(message: Message, prefix: str, violations: Violations) -> None:
        value = getattr(message, name)
        present = message.HasField(name) if has_presence else bool(value)
        if required and (not present or (skip_empty and not value)):
            violations.add(prefix + name, _REQUIRED)
        elif present or not (has_presence or skip_empty):
            wrong = value_check(value) if value_check is not None else None
            if wrong:
                violations.add(prefix + name, wrong)

    return check


def _repeated(
    field: FieldDescriptor,
    rules: common_pb2.FieldRules,
    value_check: ValueCheck | None,
    nested: MessageValidator | None,
) -> FieldCheck:
    name, size, required = field.name, _size_check(rules, "items"), rules.required
    # A pass or two in C over a long vector; only one that may be at fault is looked at value by value.
    in_bulk = _bulk_check(rules) if field.cpp_type in _FLOATS else None

    def check(message: Message, prefix: str, violations: Violations) -> None:
        values = getattr(message, name)
        if not values and not required:
            return
        path = prefix + name
        if wrong := size(values):
            violations.add(path, wrong)
        elif nested is not None:
            for index, value in enumerate(values):
                nested.walk(value, f"{path}[{index}].", violations)
        elif value_check is not None and not (in_bulk is not None and in_bulk(values)):
            _each(values, value_check, path, violations)

    return check


def _bulk_check(rules: common_pb2.FieldRules) -> Callable[[Sequence[float]], bool] | None:
    """Tells of all numbers of a list at once that none can be at fault; None when each has bounds."""
    if rules.has_min or rules.has_max:
        return None
    nan_allowed = rules.allow_nan

    def check(values: Sequence[float]) -> bool:
        numbers = values[:]  # a list in one step; to iterate the field itself costs several times as much
        return math.isfinite(sum(numbers)) or (nan_allowed and math.inf not in map(abs, numbers))

    return check


def _each(values: Iterable[Any], check: ValueCheck, path: str, violations: Violations) -> None:
    for index, value in enumerate(values):
        if wrong := check(value):
            violations.add(f"{path}[{index}]", wrong)


def _size_check(rules: common_pb2.FieldRules, unit: str) -> ValueCheck:
    least, most, required = rules.min_len, rules.max_len, rules.required

    def check(values: Any) -> str | None:
        count = len(values)
        if required and not count:
            return _REQUIRED
        if count < least and count:
            return f"must have at least {least} {unit}"
        return f"must have at most {most} {unit}" if most and count > most else None

    return check


def _value_check(field: FieldDescriptor, rules: common_pb2.FieldRules) -> ValueCheck | None:
    if field.cpp_type in _FLOATS:
        return _float_check(rules)
    if field.cpp_type in _INTEGERS:
        return _range_check(rules)
    if field.enum_type is not None:
        known = frozenset(field.enum_type.values_by_number)
        fault = f"must be one of {', '.join(one.name for one in field.enum_type.values if one.number)}"
        return lambda value: None if value in known else fault
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text_check(rules, is_item=field.is_repeated)
    if field.type == FieldDescriptor.TYPE_BYTES and not field.is_repeated:
        return _length_check(rules, "bytes")
    return None


def _range_check(rules: common_pb2.FieldRules) -> ValueCheck | None:
    least = rules.min if rules.has_min else -math.inf
    most = rules.max if rules.has_max else math.inf
    if least == -math.inf and most == math.inf:
        return None

    def check(value: float) -> str | None:
        if value < least:
            return f"must be at least {least:.15g}"
        return f"must be at most {most:.15g}" if value > most else None

    return check


def _float_check(rules: common_pb2.FieldRules) -> ValueCheck:
    in_range, nan_allowed = _range_check(rules), rules.allow_nan

    def check(value: float) -> str | None:
        if not math.isfinite(value):
            if not nan_allowed:
                return _NOT_FINITE
            return None if math.isnan(value) else _NOT_INFINITE
        return in_range(value) if in_range is not None else None

    return check


def _length_check(rules: common_pb2.FieldRules, unit: str) -> ValueCheck | None:
    least, most = rules.min_len, rules.max_len
    if not (least or most):
        return None

    def check(value: str | bytes) -> str | None:
        if len(value) < least:
            return f"must have at least {least} {unit}"
        return f"must have at most {most} {unit}" if most and len(value) > most else None

    return check


def _text_check(rules: common_pb2.FieldRules, *, is_item: bool) -> ValueCheck:
    length = None if is_item else _length_check(rules, "characters")
    pattern = re.compile(rules.pattern) if rules.pattern else None
    uuid = rules.uuid

    def check(value: str) -> str | None:
        wrong = length(value) if length is not None else None
        if wrong is None and "\0" in value:
            wrong = "must not contain the character NUL"
        if wrong is None and uuid and parse_uuid(value) is None:
            wrong = "must be a UUID in lower case, such as 01890a5d-ac96-774b-bcce-b302099a8057"
        if wrong is None and pattern is not None and pattern.fullmatch(value) is None:
            wrong = f"must match {pattern.pattern}"
        return wrong

    return check


def _timestamp(message: Any, prefix: str, violations: Violations) -> None:
    if not (-62135596800 <= message.seconds <= 253402300799 and 0 <= message.nanos <= 999_999_999):
        violations.add(prefix.removesuffix("."), "must be a time in the years 1 to 9999")


def _duration(message: Any, prefix: str, violations: Violations) -> None:
    seconds, nanos = message.seconds, message.nanos
    within = -315_576_000_000 <= seconds <= 315_576_000_000 and abs(nanos) <= 999_999_999
    if not within or (seconds and nanos and (seconds < 0) != (nanos < 0)):
        violations.add(prefix.removesuffix("."), "must be a duration of at most 10,000 years")


def _wrapped_float(message: Any, prefix: str, violations: Violations) -> None:
    if not math.isfinite(message.value):
        violations.add(prefix.removesuffix("."), _NOT_FINITE)


_WELL_KNOWN: dict[str, FieldCheck] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.DoubleValue": _wrapped_float,
    "google.protobuf.FloatValue": _wrapped_float,
}
