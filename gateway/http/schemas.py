"""JSON Schemas of message types, as the codec reads and writes them; OpenAPI 3.1 uses them as they are."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from cohortlens.v1 import common_pb2
from gateway.http.codec import Descriptor, is_map, is_repeated, message_type
from gateway.http.comments import Comments

Schema = dict[str, Any]

_RULES: Any = common_pb2.rules  # generated as a bare FieldDescriptor, which the type stubs do not index
_T = FieldDescriptor

_SCALARS: Final[dict[int, Schema]] = {
    _T.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _T.TYPE_FLOAT: {"type": "number", "format": "float"},
    _T.TYPE_BOOL: {"type": "boolean"},
    _T.TYPE_STRING: {"type": "string"},
    _T.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    **{
        kind: {"type": "integer", "format": "int32"}
        for kind in (_T.TYPE_INT32, _T.TYPE_SINT32, _T.TYPE_SFIXED32)
    },
    **{
        kind: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1}
        for kind in (_T.TYPE_UINT32, _T.TYPE_FIXED32)
    },
    **{
        kind: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
        for kind in (_T.TYPE_INT64, _T.TYPE_SINT64, _T.TYPE_SFIXED64)
    },
    **{
        kind: {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}
        for kind in (_T.TYPE_UINT64, _T.TYPE_FIXED64)
    },
}
_WELL_KNOWN: Final[dict[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}


_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class Schemas:
    """Schemas of message and enum types; those used are gathered in ``components``.

    Args:
        comments: Descriptions.
    """

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self.components: dict[str, Schema] = {}

    def reference(self, descriptor: Descriptor) -> Schema:
        """A reference to a message type's schema, which is made on first use."""
        if descriptor.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[descriptor.full_name])
        name = descriptor.name
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self.message(descriptor)
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, descriptor: Descriptor, without: Collection[str] = ()) -> Schema:
        """The schema of a message type, leaving out the fields named."""
        fields = [field for field in descriptor.fields if field.name not in without]
        comment = self._comments.of(descriptor.full_name)
        schema: Schema = {
            "type": "object",
            "description": comment.text,
            "properties": {field.json_name: self.field(field) for field in fields},
            "additionalProperties": False,
        }
        required = self.required(descriptor, without)
        if required:
            schema["required"] = required
        exclusive: list[Schema] = []
        for oneof in descriptor.oneofs:
            if not oneof.name.startswith("_"):
                names = [field.json_name for field in oneof.fields]
                schema["description"] += f" At most one of {', '.join(names)} may be set."
                exclusive += [{"required": list(pair)} for pair in combinations(names, 2)]
        if exclusive:
            schema["not"] = {"anyOf": exclusive}
        if comment.example is not None and not without:
            schema["examples"] = [comment.example]
        return schema

    def required(self, descriptor: Descriptor, without: Collection[str] = ()) -> list[str]:
        """JSON names of the fields that a request must hold, leaving out the fields named."""
        fields = [field for field in descriptor.fields if field.name not in without]
        return [field.json_name for field in fields if rules_of(field).required]

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field, with its rules as constraints."""
        text = self._comments.of(field.full_name).text
        if is_map(field):
            value = message_type(field).fields_by_name["value"]
            schema: Schema = {"type": "object", "additionalProperties": self._single(value)}
        elif is_repeated(field):
            schema = {"type": "array", "items": self._single(field)}
        else:
            schema = self._single(field)
        if is_map(field) or is_repeated(field):
            _list_rules(field, schema)
        else:
            _value_rules(field, schema)
        schema["description"] = f"{text} {schema.get('description', '')}".strip()
        return schema

    def _single(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type)
        if field.enum_type is not None:
            schema = self._enum(field.enum_type)
            if rules_of(field).required:
                schema["not"] = {"const": field.enum_type.values_by_number[0].name}
            return schema
        if field.type == _T.TYPE_DOUBLE and rules_of(field).allow_nan:
            return {"oneOf": [dict(_SCALARS[_T.TYPE_DOUBLE]), {"type": "string", "enum": ["NaN"]}]}
        return dict(_SCALARS[field.type])

    def _enum(self, descriptor: EnumDescriptor) -> Schema:
        name = descriptor.name
        if name not in self.components:
            meanings = [
                f"`{value.name}`: {self._comments.of(f'{descriptor.full_name}.{value.name}').text}"
                for value in descriptor.values
            ]
            text = self._comments.of(descriptor.full_name).text
            self.components[name] = {
                "type": "string",
                "enum": [value.name for value in descriptor.values],
                "description": "\n\n".join([text, *meanings]),
            }
        return {"$ref": f"#/components/schemas/{name}"}


def rules_of(field: FieldDescriptor) -> Any:
    """The rules of a field."""
    return field.GetOptions().Extensions[_RULES]


def _list_rules(field: FieldDescriptor, schema: Schema) -> None:
    rules = rules_of(field)
    suffix = "Properties" if is_map(field) else "Items"
    if rules.max_len:
        schema[f"max{suffix}"] = rules.max_len
    if rules.required:
        schema[f"min{suffix}"] = max(rules.min_len, 1)
    elif rules.min_len > 1:
        # A list that is not sent is an empty one.
        schema["anyOf"] = [{f"min{suffix}": rules.min_len}, {f"max{suffix}": 0}]
    items = schema.get("items")
    if items is None:
        return
    if field.type == FieldDescriptor.TYPE_STRING:
        _pattern_rules(rules, items, may_be_empty=False)
    elif items.get("type") in {"integer", "number"}:
        _number_rules(rules, items)


def _value_rules(field: FieldDescriptor, schema: Schema) -> None:
    rules = rules_of(field)
    if field.type == FieldDescriptor.TYPE_STRING:
        # A text without presence is not sent when it is empty; one with presence is what it says.
        _text_rules(rules, schema, may_be_empty=not (rules.required or field.has_presence))
    elif schema.get("type") in {"integer", "number"}:
        _number_rules(rules, schema)
        if rules.required and not field.has_presence:
            schema["not"] = {"const": 0}
    elif rules.has_min or rules.has_max:
        low = f"at least {_number(rules.min)}" if rules.has_min else ""
        high = f"at most {_number(rules.max)}" if rules.has_max else ""
        schema["description"] = f"Must be {' and '.join(part for part in (low, high) if part)}."


def _number_rules(rules: Any, schema: Schema) -> None:
    if rules.has_min:
        schema["minimum"] = _number(rules.min)
    if rules.has_max:
        schema["maximum"] = _number(rules.max)


def _text_rules(rules: Any, schema: Schema, *, may_be_empty: bool) -> None:
    if rules.max_len:
        schema["maxLength"] = rules.max_len
    least = max(rules.min_len, 1) if rules.required else rules.min_len
    if least and not may_be_empty:
        schema["minLength"] = least
    elif least > 1:
        schema["anyOf"] = [{"minLength": least}, {"maxLength": 0}]
    if rules.sensitive:
        schema["format"] = "password"
    _pattern_rules(rules, schema, may_be_empty=may_be_empty)


def _pattern_rules(rules: Any, schema: Schema, *, may_be_empty: bool) -> None:
    pattern = _UUID if rules.uuid else rules.pattern
    if pattern:
        schema["pattern"] = f"^(?:{pattern})?$" if may_be_empty else f"^(?:{pattern})$"
    if rules.uuid and not may_be_empty:
        schema["format"] = "uuid"


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value
