"""The JSON forms of the well-known types, stricter than ``json_format``.

``WELL_KNOWN`` maps a full name to its two functions: ``load(message, value)`` fills a message from a JSON
value, ``dump(message)`` gives the JSON value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.http.scalars import JsonFault, print_double, printable, string

Load = Callable[[Any, Any], None]
Dump = Callable[[Any], Any]

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:(Z)|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_DURATION_MAX_S = 315_576_000_000
_MIN_S, _MAX_S = -62_135_596_800, 253_402_300_799
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CAMEL = re.compile(r"[a-z][A-Za-z0-9]*(?:\.[a-z][A-Za-z0-9]*)*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z][a-z0-9]*)*(?:\.[a-z][a-z0-9]*(?:_[a-z][a-z0-9]*)*)*")


def load_timestamp(message: Any, value: Any) -> None:
    """RFC 3339 with seconds and offset, years 1 to 9999, no leap second."""
    match = _TIMESTAMP.fullmatch(value) if type(value) is str else None
    if match is None:
        raise JsonFault("expected a time such as 2026-11-01T09:00:00Z")
    offset_s = 0
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            raise JsonFault("expected a time with an offset of at most 23:59")
        offset_s = (hours * 60 + minutes) * (60 if match[9] == "+" else -60)
    try:
        local = datetime(*(int(match[part]) for part in range(1, 7)), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        raise JsonFault("expected a time that exists") from None
    seconds = (local - _EPOCH) // timedelta(seconds=1) - offset_s
    if not _MIN_S <= seconds <= _MAX_S:
        raise JsonFault("expected a time in the years 1 to 9999")
    message.seconds, message.nanos = seconds, int((match[7] or "0").ljust(9, "0"))
    message.SetInParent()


def dump_timestamp(message: Any) -> str:
    """RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second."""
    if not (_MIN_S <= message.seconds <= _MAX_S and 0 <= message.nanos < 10**9):
        raise ValueError("timestamp outside the years 1 to 9999")
    text = (_EPOCH + timedelta(seconds=message.seconds)).isoformat()[:19]
    return f"{text}{_fraction(message.nanos)}Z"


def load_duration(message: Any, value: Any) -> None:
    """Seconds with up to nine digits after the point and the letter s."""
    match = _DURATION.fullmatch(value) if type(value) is str else None
    if match is None or int(match[2]) > _DURATION_MAX_S:
        raise JsonFault("expected a duration such as 1.5s, at most 315576000000s")
    sign = -1 if match[1] else 1
    nanos = int((match[3] or "0").ljust(9, "0"))
    message.seconds, message.nanos = sign * int(match[2]), sign * nanos
    message.SetInParent()


def dump_duration(message: Any) -> str:
    """Seconds with 0, 3, 6 or 9 digits after the point."""
    seconds, nanos = message.seconds, message.nanos
    if abs(seconds) > _DURATION_MAX_S or abs(nanos) >= 10**9 or seconds * nanos < 0:
        raise ValueError("duration out of range")
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    digits = f"{nanos:09d}"
    for keep in (0, 3, 6):
        if not digits[keep:].strip("0"):
            return f".{digits[:keep]}" if keep else ""
    return f".{digits}"


def load_field_mask(message: Any, value: Any) -> None:
    """Comma list of lowerCamel paths."""
    if type(value) is not str:
        raise JsonFault("expected a field mask such as displayName,email")
    for path in value.split(",") if value else ():
        if not _CAMEL.fullmatch(path):
            raise JsonFault("expected a field mask of lowerCamel paths")
        message.paths.append(re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", path))
    message.SetInParent()


def load_field_mask_text(message: Any, value: str) -> None:
    """Comma list of paths in either spelling, as query parameters give it."""
    load_field_mask(message, ",".join(_to_camel(path) for path in value.split(",")) if value else "")


def dump_field_mask(message: Any) -> str:
    """Comma list of lowerCamel paths."""
    if bad := [path for path in message.paths if not _SNAKE.fullmatch(path)]:
        raise ValueError(f"field mask path without a JSON spelling: {bad[0]!r}")
    return ",".join(_to_camel(path) for path in message.paths)


def _to_camel(path: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), path)


def load_struct(message: Any, value: Any) -> None:
    """Any JSON object."""
    if type(value) is not dict:
        raise JsonFault("expected an object")
    message.SetInParent()
    for key, item in value.items():
        try:
            load_value(message.fields[string(key)], item)
        except JsonFault as fault:
            raise fault.under(f"[{printable(key)}]") from None


def load_list(message: Any, value: Any) -> None:
    """Any JSON array."""
    if type(value) is not list:
        raise JsonFault("expected a list")
    message.SetInParent()
    for index, item in enumerate(value):
        try:
            load_value(message.values.add(), item)
        except JsonFault as fault:
            raise fault.under(f"[{index}]") from None


def load_value(message: Any, value: Any) -> None:
    """Any JSON value."""
    kind = type(value)
    if value is None:
        message.null_value = 0
    elif kind is bool:
        message.bool_value = value
    elif kind is str:
        message.string_value = string(value)
    elif kind is dict:
        load_struct(message.struct_value, value)
    elif kind is list:
        load_list(message.list_value, value)
    else:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise JsonFault("expected a number that fits a double")
        message.number_value = number


def dump_struct(message: Any) -> dict[str, Any]:
    """The JSON object."""
    return {key: dump_value(value) for key, value in message.fields.items()}


def dump_list(message: Any) -> list[Any]:
    """The JSON array."""
    return [dump_value(value) for value in message.values]


def dump_value(message: Any) -> Any:
    """The JSON value; a Value with nothing set, or with NaN, has none."""
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return dump_struct(message.struct_value)
    if kind == "list_value":
        return dump_list(message.list_value)
    if kind == "null_value":
        return None
    if kind is None or (kind == "number_value" and not math.isfinite(message.number_value)):
        raise ValueError("a google.protobuf.Value without a JSON form")
    return print_double(message.number_value) if kind == "number_value" else getattr(message, kind)


WELL_KNOWN: Final[dict[str, tuple[Load, Dump]]] = {
    "google.protobuf.Timestamp": (load_timestamp, dump_timestamp),
    "google.protobuf.Duration": (load_duration, dump_duration),
    "google.protobuf.FieldMask": (load_field_mask, dump_field_mask),
    "google.protobuf.Struct": (load_struct, dump_struct),
    "google.protobuf.ListValue": (load_list, dump_list),
    "google.protobuf.Value": (load_value, dump_value),
}
"""Types with a JSON form of their own, Any and the wrappers aside."""

WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""Wrapper types: written as the value they hold."""

JSON_TEXT: Final = frozenset({"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"})
"""Types given as JSON text in a query parameter."""


def is_scalar_like(full_name: str) -> bool:
    """Whether a message type is written as one JSON scalar."""
    return full_name in WRAPPERS or full_name in {
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "google.protobuf.FieldMask",
    }
