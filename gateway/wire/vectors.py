"""Feature vectors read straight from the bytes of a request, in a few passes for all rows.

A request usually holds its vectors as one run of equal records: packed doubles of one width. That run is cut
out and read as a matrix; the rest is decoded and checked as ever. This way only ever accepts. Whatever is
not exactly of that form, or breaks a rule, goes the ordinary way, which also makes every error. So both ways
give the same rows or the same failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from cohortlens.core.errors import InvalidArgument
from cohortlens.v1 import analytics_pb2, common_pb2

Matrix: TypeAlias = NDArray[np.float64]
Decode: TypeAlias = Callable[[Any], Message]
Check: TypeAlias = Callable[[Message], None]

_RULES: Any = common_pb2.rules
_VALUES_TAG = 0x0A  # field 1 of FeatureVector, length-delimited
_LENGTH_DELIMITED = 2
_DOUBLE_BYTES = 8
_FIELDS_BEFORE = 4
_ONE_BYTE = 0x80


class VectorRequest(NamedTuple):
    """A checked request whose vectors stand beside it.

    Attributes:
        message: Everything but the vectors.
        vectors: Shape (n, width), float64, n >= 1; read-only and perhaps not contiguous.
    """

    message: Any
    vectors: Matrix


class VectorReader:
    """Reads the requests of one type that has a field of ``FeatureVector``.

    Args:
        request: The request type.

    Raises:
        ValueError: The type has no such field, or its rules are more than this way keeps.
    """

    def __init__(self, request: Descriptor) -> None:
        field = _vectors_field(request)
        rules = field.GetOptions().Extensions[_RULES]
        values = analytics_pb2.FeatureVector.DESCRIPTOR.fields_by_name["values"]
        value_rules = values.GetOptions().Extensions[_RULES]
        self._name = field.name
        self._tag = field.number << 3 | _LENGTH_DELIMITED
        self._most_rows = rules.max_len
        self._most_columns = value_rules.max_len
        bounded = value_rules.has_min or value_rules.has_max or value_rules.min_len or rules.min_len
        if self._tag >= _ONE_BYTE or bounded or rules.required or not value_rules.allow_nan:
            raise ValueError(f"{request.full_name}: the rules of its vectors are not those read in bulk")

    def __call__(self, payload: Any, decode: Decode, check: Check) -> Any:
        """The checked request: a ``VectorRequest`` if its vectors could be read in bulk, else the message.

        Args:
            payload: What the door received: the message's bytes, or whatever ``decode`` takes.
            decode: Makes the message.
            check: Raises InvalidArgument when the message breaks a rule.
        """
        if type(payload) is bytes:
            found = self._in_bulk(payload, decode, check)
            if found is not None:
                return found
            message = decode(payload)
        else:
            message = decode(payload)
            if len(getattr(message, self._name)) > 1:
                found = self._in_bulk(message.SerializeToString(), type(message).FromString, check)
                if found is not None:
                    return found
        check(message)
        return message

    def _in_bulk(self, data: bytes, decode: Decode, check: Check) -> VectorRequest | None:
        cut = self._cut(data)
        if cut is None:
            return None
        rest, vectors = cut
        try:
            # Fields may come in any order and any number of times: the parts around the run are a message.
            message = decode(rest)
            check(message)
        except (DecodeError, InvalidArgument):
            return None
        if getattr(message, self._name) or np.isinf(vectors).any():
            return None
        return VectorRequest(message, vectors)

    def _cut(self, data: bytes) -> tuple[bytes, Matrix] | None:
        """The first run of equal vector records as a matrix, and the bytes around it."""
        try:
            start = self._first(data)
            size, body = _length(data, start + 1)
            count, values = _length(data, body + 1)
        except IndexError:
            return None
        columns, odd = divmod(count, _DOUBLE_BYTES)
        stride = body + size - start
        fits = data[start] == self._tag and data[body] == _VALUES_TAG and values + count == body + size
        if not fits or odd or not 1 <= columns <= self._most_columns or start + stride > len(data):
            return None
        rows = _run(data, start, stride, values - start)
        if rows > self._most_rows:
            return None
        vectors = np.ndarray((rows, columns), "<f8", data, values, (stride, _DOUBLE_BYTES))
        return data[:start] + data[start + rows * stride :], vectors

    def _first(self, data: bytes) -> int:
        """Where the first vector begins; raises IndexError when it is not among the first fields."""
        at = 0
        for _ in range(_FIELDS_BEFORE):
            tag = data[at]
            if tag == self._tag:
                return at
            kind = tag & 7
            if tag >= _ONE_BYTE or kind not in (0, _LENGTH_DELIMITED):
                break
            at += 1
            if kind:
                size, at = _length(data, at)
                at += size
            else:
                while data[at] >= _ONE_BYTE:
                    at += 1
                at += 1
        raise IndexError


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length of one or two bytes and where it ends; raises IndexError on any other."""
    low = data[at]
    if low < _ONE_BYTE:
        return low, at + 1
    high = data[at + 1]
    if not 0 < high < _ONE_BYTE:
        raise IndexError
    return high << 7 | low & 0x7F, at + 2


def _run(data: bytes, start: int, stride: int, prefix: int) -> int:
    """How many records of ``stride`` bytes follow one another with the same first ``prefix`` bytes."""
    most = (len(data) - start) // stride
    if most == 1 or data[start : start + prefix] != data[start + stride : start + stride + prefix]:
        return 1
    table = np.ndarray((most, prefix), np.uint8, data, start, (stride, 1))
    same = (table == table[0]).all(axis=1)
    return most if same.all() else int(same.argmin())


def has_vectors(request: Descriptor) -> bool:
    """Whether a request type has a list of feature vectors."""
    return any(map(_is_list, request.fields))


def _vectors_field(request: Descriptor) -> FieldDescriptor:
    found = [field for field in request.fields if _is_list(field)]
    if len(found) != 1:
        raise ValueError(f"{request.full_name} has {len(found)} lists of feature vectors")
    return found[0]


def _is_list(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated) and field.message_type is analytics_pb2.FeatureVector.DESCRIPTOR
