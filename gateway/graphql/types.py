"""Message and enum types of the protos as GraphQL types, made on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
)

from cohortlens.v1 import common_pb2
from gateway.graphql.names import type_name
from gateway.graphql.references import References
from gateway.graphql.scalars import DOUBLE, OF_KIND, OF_MESSAGE
from gateway.http.codec import Descriptor, is_map, is_repeated, message_type
from gateway.http.comments import Comments

_RULES: Any = common_pb2.rules  # generated as a bare FieldDescriptor, which the type stubs do not index
_OK: Final = "ok"
# What GraphQL types are made of: the library's classes of input and output types have no common name.
AnyType = Any


class Types:
    """The types of one schema.

    Args:
        comments: Descriptions.
        references: Fields of messages beside their own.

    Raises:
        ValueError: Two different types would have one name; names both.
    """

    def __init__(self, comments: Comments, references: References) -> None:
        self._comments, self._references = comments, references
        self._made: dict[str, tuple[str, GraphQLNamedType]] = {}

    def output(self, descriptor: Descriptor) -> GraphQLObjectType:
        """The type of a message in replies."""
        name = type_name(descriptor)
        made: GraphQLObjectType = self._once(
            name,
            descriptor.full_name,
            lambda: GraphQLObjectType(
                name, lambda: self._output_fields(descriptor), description=self._text(descriptor.full_name)
            ),
        )
        return made

    def arguments(self, descriptor: Descriptor) -> dict[str, GraphQLArgument]:
        """The fields of a request as arguments."""
        return {
            one.json_name: GraphQLArgument(
                self._input_type(one), description=self._text(one.full_name), deprecation_reason=_reason(one)
            )
            for one in descriptor.fields
        }

    def _input(self, descriptor: Descriptor) -> GraphQLInputObjectType:
        name = f"{type_name(descriptor)}Input"
        fields = list(descriptor.fields)
        choices = {one.containing_oneof and one.containing_oneof.full_name for one in fields}
        # A type that is one choice and nothing else; a choice beside other fields is checked by the codec.
        is_choice = len(choices) == 1 and None not in choices and len(fields) > 1
        made: GraphQLInputObjectType = self._once(
            name,
            descriptor.full_name,
            lambda: GraphQLInputObjectType(
                name,
                lambda: {
                    one.json_name: GraphQLInputField(
                        self._input_type(one),
                        description=self._text(one.full_name),
                        deprecation_reason=_reason(one),
                    )
                    for one in fields
                },
                description=self._text(descriptor.full_name),
                is_one_of=is_choice,
            ),
        )
        return made

    def _enum(self, descriptor: Any) -> GraphQLEnumType:
        name = type_name(descriptor)

        def make() -> GraphQLEnumType:
            values = {
                one.name: GraphQLEnumValue(
                    one.name,
                    description=self._text(f"{descriptor.full_name}.{one.name}"),
                    deprecation_reason=_reason(one),
                )
                for one in descriptor.values
            }
            return GraphQLEnumType(name, values, description=self._text(descriptor.full_name))

        made: GraphQLEnumType = self._once(name, descriptor.full_name, make)
        return made

    def _once(self, name: str, source: str, make: Callable[[], Any]) -> Any:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = (source, make())
        if found[0] != source:
            raise ValueError(f"{found[0]} and {source} are both {name} in GraphQL; name one in names.TYPES")
        return found[1]

    def _output_fields(self, descriptor: Descriptor) -> dict[str, GraphQLField]:
        fields = {one.json_name: self._output_field(one) for one in descriptor.fields}
        if not fields:
            # A type of GraphQL has at least one field.
            done = "Always true: there is nothing to answer but that it is done."
            fields[_OK] = GraphQLField(
                GraphQLNonNull(GraphQLBoolean), description=done, resolve=lambda *_: True
            )
        return fields | self._references.fields_of(descriptor, self.output)

    def _output_field(self, field: FieldDescriptor) -> GraphQLField:
        resolve = _entries_of(field) if is_map(field) else None
        return GraphQLField(
            self._output_type(field),
            description=self._text(field.full_name),
            deprecation_reason=_reason(field),
            resolve=resolve,
        )

    def _output_type(self, field: FieldDescriptor) -> AnyType:
        one = self._single(field, self.output)
        if is_repeated(field):
            return GraphQLNonNull(GraphQLList(GraphQLNonNull(one)))
        return one if field.has_presence else GraphQLNonNull(one)

    def _input_type(self, field: FieldDescriptor) -> AnyType:
        one: AnyType = self._single(field, self._input)
        if is_repeated(field):
            one = GraphQLList(GraphQLNonNull(one))
        in_entry = is_entry(field.containing_type)
        return GraphQLNonNull(one) if in_entry or _rules_of(field).required else one

    def _single(self, field: FieldDescriptor, of_message: Callable[[Descriptor], AnyType]) -> AnyType:
        """The type of one value of a field."""
        if field.message_type is not None:
            return OF_MESSAGE.get(field.message_type.full_name) or of_message(message_type(field))
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if _rules_of(field).allow_nan:
            return DOUBLE
        return OF_KIND[field.type]

    def _text(self, full_name: str) -> str | None:
        return self._comments.of(full_name).text or None


def is_entry(descriptor: Any) -> bool:
    """Whether a message type is that of the entries of a map."""
    return bool(descriptor.GetOptions().map_entry)


def _rules_of(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[_RULES]


def _reason(declared: Any) -> str | None:
    """Why something is not to be used any more; None when it may be."""
    return "deprecated; see its description" if declared.GetOptions().deprecated else None


def _entries_of(field: FieldDescriptor) -> Callable[..., Any]:
    """A resolver that gives a map as the list of its entries."""
    name = field.json_name
    key_type = message_type(field).fields_by_name["key"].type

    def key_of(text: str) -> Any:
        # JSON writes every key as a text.
        if key_type == FieldDescriptor.TYPE_BOOL:
            return text == "true"
        return int(text) if OF_KIND[key_type].name in {"Int", "UInt32"} else text

    def resolve(source: dict[str, Any], _: Any) -> list[dict[str, Any]]:
        return [{"key": key_of(key), "value": value} for key, value in source[name].items()]

    return resolve
