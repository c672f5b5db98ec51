"""Texts to fields: path values and query parameters, with the names and forms the JSON mapping gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.http import jsontext, scalars
from gateway.http.codec import Codecs, Descriptor, MessageCodec, is_map, is_repeated, message_type
from gateway.http.scalars import Dropped, JsonFault
from gateway.http.templates import PathUndecodable, unescape
from gateway.http.wellknown import JSON_TEXT, is_scalar_like, load_field_mask_text

MAX_PARAMETERS = 256
MAX_FIELD_DEPTH = 16
Pairs = Sequence[tuple[str, str]]
TextSetter = Callable[[Any, str], None]


def query_pairs(query: str, *, plus_is_space: bool = True) -> list[tuple[str, str]]:
    """Decoded names and values of a query string, in order.

    Raises:
        JsonFault: Too many parameters, or one that cannot be decoded.
    """
    if not query:
        return []
    if query.count("&") >= MAX_PARAMETERS:
        raise JsonFault(f"more than {MAX_PARAMETERS} query parameters", "TOO_MANY_PARAMETERS")
    if plus_is_space:
        query = query.replace("+", " ")
    try:
        return [
            (unescape(name), unescape(value))
            for name, _, value in (part.partition("=") for part in query.split("&") if part)
        ]
    except PathUndecodable:
        raise JsonFault("a query parameter is not percent-encoded UTF-8", "PATH_ENCODING_INVALID") from None


class TextBinder:
    """Sets fields of a message from texts, as path values and query parameters give them.

    Args:
        codecs: Codecs whose leniency it shares.
        descriptor: The message type.
    """

    def __init__(self, codecs: Codecs, descriptor: Descriptor) -> None:
        self._codecs = codecs
        self._root = codecs.of(descriptor)
        self._setters: dict[str, TextSetter] = {}

    def chain(self, names: Sequence[str]) -> list[FieldDescriptor]:
        """The fields along a path of proto or JSON names; the last may be of any kind.

        Raises:
            JsonFault: No such field, or a step into something that has no fields.
        """
        codec, found = self._root, []
        for index, name in enumerate(names):
            field = codec.fields.get(name)
            if field is None:
                raise scalars.unknown_field(name, codec.names(), "UNKNOWN_PARAMETER")
            found.append(field.descriptor)
            if index < len(names) - 1:
                codec = self._inside(field.descriptor)
        return found

    def bind(self, message: Message, pairs: Pairs, taken: set[tuple[str, ...]]) -> None:
        """Set the fields named by query parameters.

        Args:
            message: Where they are set.
            pairs: Decoded parameters.
            taken: Field paths bound elsewhere: naming one, or a field inside or around it, is a conflict.

        Raises:
            JsonFault: A parameter is unknown, in conflict, repeated or of the wrong form.
        """
        seen: set[tuple[str, ...]] = set()
        for name, value in pairs:
            try:
                self._bind_one(message, name, value, taken, seen)
            except Dropped:
                continue
            except JsonFault as fault:
                if fault.reason == "UNKNOWN_PARAMETER" and self._codecs.lenient:
                    continue
                raise JsonFault(fault.description, fault.reason).under(shown(name)) from None

    def _bind_one(
        self, message: Any, name: str, value: str, taken: set[tuple[str, ...]], seen: set[tuple[str, ...]]
    ) -> None:
        path, bracket, key = name.partition("[")
        names = path.split(".")
        if len(names) > MAX_FIELD_DEPTH:
            raise JsonFault(f"a field path has at most {MAX_FIELD_DEPTH} names")
        fields = self.chain(names)
        leaf, proto_path = fields[-1], tuple(field.name for field in fields)
        if any(_overlap(proto_path, other) for other in taken):
            raise JsonFault("bound by the path or the body already", "FIELD_CONFLICT")
        if is_map(leaf) != (bracket == "[" and key.endswith("]")):
            raise JsonFault("expected name[key]=value" if is_map(leaf) else "not a map")
        unique = (*proto_path, key) if bracket else proto_path
        if unique in seen and (is_map(leaf) or not is_repeated(leaf)):
            raise JsonFault("given twice", "DUPLICATE_FIELD")
        seen.add(unique)
        for field in fields[:-1]:
            check_oneof(message, field)
            message = getattr(message, field.name)
        check_oneof(message, leaf)
        if is_map(leaf):
            self._put(message, leaf, key[:-1], value)
        else:
            self.setter(leaf)(message, value)

    def _put(self, message: Any, leaf: FieldDescriptor, key: str, value: str) -> None:
        entries = getattr(message, leaf.name)
        key_field, value_field = (message_type(leaf).fields_by_name[part] for part in ("key", "value"))
        converted = scalars.from_text(key_field, lenient=False)(key)
        if value_field.message_type is None:
            entries[converted] = scalars.from_text(value_field, lenient=self._codecs.lenient)(value)
        else:
            self._message_text(value_field)(entries[converted], value)

    def setter(self, field: FieldDescriptor) -> TextSetter:
        """The function that puts one text into a field (appends it to a list)."""
        setter = self._setters.get(field.full_name)
        if setter is None:
            setter = self._setters[field.full_name] = self._make(field)
        return setter

    def _make(self, field: FieldDescriptor) -> TextSetter:
        name = field.name
        if field.message_type is not None:
            load = self._message_text(field)
            if is_repeated(field):
                return lambda message, text: load(getattr(message, name).add(), text)
            return lambda message, text: load(getattr(message, name), text)
        convert = scalars.from_text(field, lenient=self._codecs.lenient)
        if is_repeated(field):
            return lambda message, text: getattr(message, name).append(convert(text))
        return lambda message, text: setattr(message, name, convert(text))

    def _message_text(self, field: FieldDescriptor) -> TextSetter:
        full_name = message_type(field).full_name
        codec = self._codecs.of(message_type(field))
        if full_name in JSON_TEXT:
            return lambda message, text: codec.load(message, jsontext.load_text(text))
        if full_name == "google.protobuf.FieldMask":
            return load_field_mask_text
        if full_name == "google.protobuf.BoolValue":
            return lambda message, text: codec.load(message, scalars.boolean_text(text))
        if is_scalar_like(full_name):
            return codec.load
        raise JsonFault("a message cannot be given as one parameter; name its fields")

    def _inside(self, field: FieldDescriptor) -> MessageCodec:
        kind = field.message_type
        if (
            kind is None
            or is_repeated(field)
            or is_scalar_like(kind.full_name)
            or kind.full_name in JSON_TEXT
        ):
            raise JsonFault(f"{field.name} has no fields to name")
        return self._codecs.of(kind)


def check_oneof(message: Any, field: FieldDescriptor) -> None:
    """Raise JsonFault when another member of the field's oneof is set."""
    oneof = field.containing_oneof
    if oneof is not None:
        other = message.WhichOneof(oneof.name)
        if other is not None and other != field.name:
            raise JsonFault(f"only one of {oneof.name} may be set, and {other} is")


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    count = min(len(one), len(other))
    return one[:count] == other[:count]


def shown(name: str) -> str:
    """A parameter's name as it may stand in an error."""
    return name if name.isidentifier() or name.replace(".", "_").isidentifier() else scalars.printable(name)
