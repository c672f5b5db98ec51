"""Scalars of the proto JSON mapping: exact conversions from JSON values, and back.

Every converter takes a value as ``json`` gives it and returns what the message field takes; it raises
``JsonFault`` with a sentence about what was expected. Texts are accepted where the mapping allows them, which
is also how path and query values are read.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Iterable
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EXACT = 2.0**53
_FLOAT32_MAX = 3.4028235677973366e38  # largest double that still rounds to a finite float32
_FLOAT32_LARGEST = float.fromhex("0x1.fffffep+127")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


class JsonFault(Exception):
    """A JSON value that does not fit its field.

    Args:
        description: What is wrong and what is expected.
        reason: Reason of the error.
    """

    def __init__(self, description: str, reason: str = "FIELD_INVALID") -> None:
        super().__init__(description)
        self.description = description
        self.reason = reason
        self._path: list[str] = []

    def under(self, step: str) -> JsonFault:
        """The same fault seen from one level further out: ``step`` is a field name or ``[index]``."""
        self._path.append(step)
        return self

    @property
    def field(self) -> str:
        """Path of the value in proto names, such as ``vectors[3].values[0]``."""
        text = ""
        for step in reversed(self._path):
            text += step if step.startswith("[") or not text else f".{step}"
        return text


def printable(name: str) -> str:
    """A name from the caller as it may stand in an error text: quoted, ASCII, at most 80 characters."""
    return ascii(name[:80])


def unknown_field(name: str, known: Iterable[str], reason: str) -> JsonFault:
    """The fault of a name that is no field, with the nearest one that is.

    Args:
        name: As the caller wrote it.
        known: Names in JSON form.
        reason: Reason of the error.
    """
    near = get_close_matches(name[:80], list(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return JsonFault(f"there is no field {printable(name)}{hint or '; leave it out'}", reason)


class Dropped(Exception):
    """An unknown enum name in lenient mode: the value is left out."""


def integer(low: int, high: int) -> Convert:
    """Converter of whole numbers from ``low`` to ``high``: numbers or decimal text, never rounded."""

    def convert(value: Any) -> int:
        kind = type(value)
        if kind is int:
            number = value
        elif kind is str:
            number = _integer_text(value)
        elif kind is float:
            # From 2**53 on a double no longer says which whole number was written.
            if not value.is_integer() or abs(value) >= _EXACT:
                raise JsonFault("expected a whole number; write large ones without fraction, or as text")
            number = int(value)
        else:
            raise JsonFault("expected a whole number")
        if not low <= number <= high:
            raise JsonFault(f"expected a whole number from {low} to {high}")
        return int(number)

    return convert


def _integer_text(text: str) -> int:
    if len(text) <= 400:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            number = Decimal(text)
            # The exponent is looked at first: int() of 1e999999999 would fill the memory.
            if number.adjusted() < 30 and number == number.to_integral_value():
                return int(number)
    raise JsonFault("expected a whole number")


def double(value: Any) -> float:
    """Convert a number, its text, or NaN, Infinity, -Infinity as text."""
    kind = type(value)
    if kind is str:
        if value in _SPECIAL:
            return _SPECIAL[value]
        if len(value) > 400 or not _NUMBER.fullmatch(value):
            raise JsonFault("expected a number")
        value = float(value)
    elif kind is int:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    elif kind is not float:
        raise JsonFault("expected a number")
    if math.isinf(value):
        raise JsonFault("expected a number that fits a double")
    return float(value)


def single(value: Any) -> float:
    """Convert like ``double``; a number beyond float32 is refused."""
    number = double(value)
    if math.isfinite(number) and abs(number) >= _FLOAT32_MAX:
        raise JsonFault("expected a number that fits a float")
    return number


def boolean(value: Any) -> bool:
    """Convert true or false."""
    if value is True or value is False:
        return bool(value)
    raise JsonFault("expected true or false")


def string(value: Any) -> str:
    """Convert a text without lone surrogates."""
    if type(value) is not str:
        raise JsonFault("expected a text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise JsonFault("expected a text without lone surrogates", "MALFORMED_JSON") from None
    return value


def binary(value: Any) -> bytes:
    """Convert base64 in either alphabet, padded or not."""
    if type(value) is not str:
        raise JsonFault("expected bytes as base64 text")
    text = value.translate(_URL_SAFE)
    body = text.rstrip("=")
    padded = len(text) != len(body)
    if not _BASE64.fullmatch(text) or len(body) % 4 == 1 or (padded and len(text) % 4):
        raise JsonFault("expected bytes as base64 text")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error:
        raise JsonFault("expected bytes as base64 text") from None


_URL_SAFE: Final = str.maketrans("-_", "+/")


def enum(descriptor: EnumDescriptor, *, lenient: bool) -> Convert:
    """Converter of an enum: exact name, or a 32-bit number (unknown ones are kept, as on the wire)."""
    numbers = {value.name: value.number for value in descriptor.values}
    whole = integer(-(2**31), 2**31 - 1)
    names = ", ".join(list(numbers)[:12])
    takes_null = descriptor.full_name == "google.protobuf.NullValue"

    def convert(value: Any) -> int:
        if type(value) is str:
            number = numbers.get(value)
            if number is None:
                if lenient:
                    raise Dropped
                raise JsonFault(f"expected one of {names}")
            return int(number)
        if type(value) in {int, float}:
            return int(whole(value))
        if value is None and takes_null:
            return 0
        raise JsonFault(f"expected one of {names}")

    return convert


def enum_text(descriptor: EnumDescriptor, *, lenient: bool) -> Convert:
    """Like ``enum`` for path and query values, where a number is text too."""
    convert = enum(descriptor, lenient=lenient)
    return lambda text: convert(int(text) if _INTEGER.fullmatch(text) and len(text) < 20 else text)


def boolean_text(text: str) -> bool:
    """Convert ``true`` or ``false`` of a path or query value."""
    if text not in {"true", "false"}:
        raise JsonFault("expected true or false")
    return text == "true"


_INT32, _UINT32 = integer(-(2**31), 2**31 - 1), integer(0, 2**32 - 1)
_INT64, _UINT64 = integer(-(2**63), 2**63 - 1), integer(0, 2**64 - 1)

CONVERTERS: Final[dict[int, Convert]] = {
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_DOUBLE: double,
    FieldDescriptor.TYPE_FLOAT: single,
    FieldDescriptor.TYPE_BOOL: boolean,
    FieldDescriptor.TYPE_STRING: string,
    FieldDescriptor.TYPE_BYTES: binary,
}
"""Converter of each scalar type but enums."""

WIDE: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
    }
)
"""Types written as text in JSON, because a JavaScript number cannot hold them."""


def from_json(field: FieldDescriptor, *, lenient: bool) -> Convert:
    """Converter of one value of a scalar or enum field."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return enum(field.enum_type, lenient=lenient)
    return CONVERTERS[field.type]


def from_text(field: FieldDescriptor, *, lenient: bool) -> Convert:
    """Converter of one path or query value of a scalar or enum field."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return enum_text(field.enum_type, lenient=lenient)
    return boolean_text if field.type == FieldDescriptor.TYPE_BOOL else CONVERTERS[field.type]


def print_double(value: float) -> float | str:
    """A double for the JSON printer, which knows no NaN and no infinities."""
    return value if math.isfinite(value) else _special_name(value)


def print_single(value: float) -> float | str:
    """The shortest decimal that reads back as the same float32."""
    if not math.isfinite(value):
        return _special_name(value)
    for digits in range(6, 10):
        number = float(f"{value:.{digits}g}")
        # A decimal above the largest float32 would round to it, and other readers refuse it.
        if abs(number) <= _FLOAT32_LARGEST and struct.unpack("f", struct.pack("f", number))[0] == value:
            return number
    return value


def _special_name(value: float) -> str:
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def print_binary(value: bytes) -> str:
    """Bytes as padded base64."""
    return base64.b64encode(value).decode("ascii")


def printer(field: FieldDescriptor) -> Convert | None:
    """Function that makes a JSON value of a scalar or enum value; None when it is one already."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return enum_printer(field.enum_type)
    if field.type in WIDE:
        return str
    return _PRINTERS.get(field.type)


_PRINTERS: Final[dict[int, Convert]] = {
    FieldDescriptor.TYPE_DOUBLE: print_double,
    FieldDescriptor.TYPE_FLOAT: print_single,
    FieldDescriptor.TYPE_BYTES: print_binary,
}


def enum_printer(descriptor: EnumDescriptor) -> Convert:
    """Function that gives the name of an enum number, or the number itself when it has none."""
    if descriptor.full_name == "google.protobuf.NullValue":
        return lambda _: None
    names: dict[int, str] = {}
    for value in descriptor.values:
        # Of several names of one number the first declared is written, as json_format does.
        names.setdefault(value.number, value.name)
    return lambda number: names.get(number, number)
