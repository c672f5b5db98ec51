"""Replies written from columns: one record per row, all of the same make, as the bytes of a repeated field.

A record's constant fields are serialised once by protobuf; values and texts of one length are put in as
columns; what differs in length from row to row is appended. The order of fields inside a message is free, so
the bytes are another spelling of what protobuf would write, and parse to the same message.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from cohortlens.contracts.varints import varint

Doubles: TypeAlias = NDArray[np.float64]
Characters: TypeAlias = NDArray[np.uint8]
Dump: TypeAlias = Callable[[Message], Any]

_FIXED64, _LENGTH_DELIMITED = 1, 2
_DOUBLE_BYTES = 8


class ColumnReply(Message):
    """A reply that holds columns and writes itself; doors take it where they take a message."""

    __slots__ = ()

    @abstractmethod
    def SerializeToString(self, **_: Any) -> bytes:  # noqa: N802 - named as in protobuf
        """The bytes of the reply."""

    @abstractmethod
    def json_value(self, dump: Dump) -> dict[str, Any]:
        """The JSON value of the reply; ``dump`` gives that of an ordinary message."""


class RowWriter:
    """Writes the records of one repeated field.

    Args:
        field: The repeated field of the reply.
        doubles: Fields of the record that hold a double of each row.
        texts: Fields of the record that hold a text of each row, all of one length.
    """

    def __init__(self, field: Any, doubles: Sequence[str], texts: Sequence[str] = ()) -> None:
        self._tag = tag(field.number, _LENGTH_DELIMITED)
        record = field.message_type
        self._doubles = [_tag_of(record, name, FieldDescriptor.TYPE_DOUBLE) for name in doubles]
        self._texts = [_tag_of(record, name, FieldDescriptor.TYPE_STRING) for name in texts]

    def fixed(
        self, rows: int, constant: bytes, doubles: Sequence[Doubles], texts: Sequence[Characters] = ()
    ) -> Characters:
        """The records without tag and length, one per row of the result, shape (rows, bytes).

        Args:
            rows: Number of rows.
            constant: Serialised fields that are the same in every row.
            doubles: One column per field of ``doubles``, shape (rows,), float64.
            texts: One column per field of ``texts``, shape (rows, characters), ASCII or UTF-8 codes.
        """
        template, marks = bytearray(constant), []
        for mark in self._doubles:
            template += mark
            marks.append(len(template))
            template += bytes(_DOUBLE_BYTES)
        for mark, column in zip(self._texts, texts, strict=True):
            template += mark + varint(column.shape[1])
            marks.append(len(template))
            template += bytes(column.shape[1])
        made = np.empty((rows, len(template)), np.uint8)
        made[:] = np.frombuffer(template, np.uint8)
        columns = [np.ascontiguousarray(one, "<f8").view(np.uint8).reshape(rows, -1) for one in doubles]
        for mark_at, column in zip(marks, [*columns, *texts], strict=True):
            made[:, mark_at : mark_at + column.shape[1]] = column
        return made

    def equal(self, fixed: Characters) -> bytes:
        """The repeated field of rows of one length."""
        rows, size = fixed.shape
        prefix = self._tag + varint(size)
        made = np.empty((rows, len(prefix) + size), np.uint8)
        made[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
        made[:, len(prefix) :] = fixed
        return made.tobytes()

    def varying(self, fixed: Characters, rest: Sequence[bytes]) -> bytes:
        """The repeated field of rows that each end in serialised fields of their own."""
        size, data = fixed.shape[1], fixed.tobytes()
        prefixes = {extra: self._tag + varint(size + extra) for extra in set(map(len, rest))}
        parts: list[bytes] = []
        for at, own in enumerate(rest):
            parts += (prefixes[len(own)], data[at * size : (at + 1) * size], own)
        return b"".join(parts)


def tag(number: int, kind: int) -> bytes:
    """The tag of a field on the wire."""
    return varint(number << 3 | kind)


def text_field(number: int, text: str) -> bytes:
    """A text on the wire; nothing when it is empty."""
    data = text.encode()
    return tag(number, _LENGTH_DELIMITED) + varint(len(data)) + data if data else b""


def characters(text: str, rows: int) -> Characters:
    """ASCII texts of one length, joined, as a column of shape (rows, characters)."""
    return np.frombuffer(text.encode("ascii"), np.uint8).reshape(rows, -1)


def _tag_of(record: Any, name: str, kind: int) -> bytes:
    field = record.fields_by_name[name]
    if field.type != kind or field.is_repeated:
        raise ValueError(f"{record.full_name}.{name} is of another type than its column")
    return tag(field.number, _FIXED64 if kind == FieldDescriptor.TYPE_DOUBLE else _LENGTH_DELIMITED)
