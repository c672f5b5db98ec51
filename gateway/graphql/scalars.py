"""The scalars of the schema: values are the texts and numbers of the JSON door, checked by its codec.

A scalar leaves it to the codec what fits, so that a value that does not gets the same error at both doors,
and only callers who are known learn of it.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLFloat,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLString,
    ValueNode,
)
from graphql.utilities import value_from_ast_untyped

_T = FieldDescriptor


def _same(value: Any) -> Any:
    return value


def _plain(value: Any) -> Any:
    """A text or a number; anything else is no value of a scalar."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise GraphQLError("expected a text or a number")


def _plain_literal(node: ValueNode) -> Any:
    return _plain(value_from_ast_untyped(node))


def _scalar(name: str, description: str) -> GraphQLScalarType:
    return GraphQLScalarType(
        name,
        coerce_output_value=_same,
        coerce_input_value=_plain,
        coerce_input_literal=_plain_literal,
        description=description,
    )


INT64: Final = _scalar(
    "Int64", 'A whole number of 64 bits, as a text: `"9007199254740993"`. Numbers are taken too.'
)
UINT32: Final = _scalar("UInt32", "A whole number from 0 to 4294967295.")
DOUBLE: Final = _scalar(
    "Double", 'A number that may be missing or endless: then the text `"NaN"`, `"Infinity"` or `"-Infinity"`.'
)
BASE64: Final = _scalar(
    "Base64", "Bytes in base64 (RFC 4648, section 4); the alphabet for URLs is taken too."
)
DATE_TIME: Final = _scalar("DateTime", "A moment, as in RFC 3339: `2026-11-23T10:00:00Z`.")
DURATION: Final = _scalar("Duration", "Seconds with the letter s behind them: `90s`, `1.5s`.")
FIELD_MASK: Final = _scalar("FieldMask", "Names of fields, separated by commas: `displayName,settings`.")
JSON: Final = GraphQLScalarType(
    "JSON", coerce_output_value=_same, coerce_input_value=_same, description="Any JSON value."
)

OF_KIND: Final[dict[int, GraphQLScalarType]] = {
    _T.TYPE_DOUBLE: GraphQLFloat,
    _T.TYPE_FLOAT: GraphQLFloat,
    _T.TYPE_BOOL: GraphQLBoolean,
    _T.TYPE_STRING: GraphQLString,
    _T.TYPE_BYTES: BASE64,
    **dict.fromkeys((_T.TYPE_INT32, _T.TYPE_SINT32, _T.TYPE_SFIXED32), GraphQLInt),
    **dict.fromkeys((_T.TYPE_UINT32, _T.TYPE_FIXED32), UINT32),
    **dict.fromkeys(
        (_T.TYPE_INT64, _T.TYPE_SINT64, _T.TYPE_SFIXED64, _T.TYPE_UINT64, _T.TYPE_FIXED64), INT64
    ),
}
"""Scalar of each scalar kind of field."""

_WRAPPED: Final = {
    "Double": GraphQLFloat,
    "Float": GraphQLFloat,
    "Int64": INT64,
    "UInt64": INT64,
    "Int32": GraphQLInt,
    "UInt32": UINT32,
    "Bool": GraphQLBoolean,
    "String": GraphQLString,
    "Bytes": BASE64,
}
OF_MESSAGE: Final[dict[str, GraphQLScalarType]] = {
    "google.protobuf.Timestamp": DATE_TIME,
    "google.protobuf.Duration": DURATION,
    "google.protobuf.FieldMask": FIELD_MASK,
    **{f"google.protobuf.{name}": JSON for name in ("Struct", "Value", "ListValue", "Any", "Empty")},
    **{f"google.protobuf.{name}Value": scalar for name, scalar in _WRAPPED.items()},
}
"""Scalar of each message type that JSON writes as one value."""
