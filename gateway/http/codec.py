"""Proto JSON codecs, compiled once per message type.

A codec walks the fields of its descriptor once and keeps a setter and a printer for each; types refer to one
another by name, so cyclic messages work. Reading is strict (see ``gateway.http.jsontext`` and ``scalars``);
the lenient form drops unknown fields and unknown enum names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from gateway.http import jsontext, scalars
from gateway.http.scalars import Dropped, JsonFault
from gateway.http.wellknown import WELL_KNOWN, WRAPPERS
from gateway.wire.rows import ColumnReply

# The stubs type the descriptors of messages as optional or as two unrelated classes.
Descriptor = Any
Setter = Callable[[Any, Any], None]
Printer = Callable[[Any], Any]
_ANY = "google.protobuf.Any"
_DOUBLES = {float, int}


class Field:
    """One field of a message type.

    Attributes:
        descriptor: The field.
        name: Proto name.
        json_name: JSON name.
        oneof: Name of the real oneof it belongs to; empty for none.
        null_is_value: Whether null is a value of the field and not its absence.
        set: Puts a JSON value into a message.
        print: Makes the JSON value of what ``ListFields`` gives; None when it is one already.
    """

    __slots__ = ("descriptor", "json_name", "name", "null_is_value", "oneof", "print", "set")

    def __init__(self, descriptor: FieldDescriptor, setter: Setter, printer: Printer | None) -> None:
        self.descriptor = descriptor
        self.name: str = descriptor.name
        self.json_name: str = descriptor.json_name
        oneof = descriptor.containing_oneof
        synthetic = oneof is not None and len(oneof.fields) == 1 and oneof.name.startswith("_")
        self.oneof = oneof.name if oneof is not None and not synthetic else ""
        self.null_is_value = is_null_value(descriptor) and not is_repeated(descriptor)
        self.set = setter
        self.print = printer


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field is a list or a map."""
    return bool(field.is_repeated)


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def message_type(field: FieldDescriptor) -> Descriptor:
    """The message type of a message or map field."""
    return field.message_type


def is_null_value(field: FieldDescriptor) -> bool:
    """Whether null is a value of a field's type."""
    if field.message_type is not None:
        return field.message_type.full_name == "google.protobuf.Value"
    return field.enum_type is not None and field.enum_type.full_name == "google.protobuf.NullValue"


class MessageCodec:
    """Reads and writes one message type as JSON.

    Attributes:
        descriptor: The message type.
        fields: Fields by proto name and by JSON name.
    """

    def __init__(self, codecs: Codecs, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.fields: dict[str, Field] = {}
        self._codecs = codecs
        self._lenient = codecs.lenient
        self._by_number: dict[int, tuple[str, Printer | None]] = {}
        self._defaults: dict[str, Any] = {}
        self._special = codecs.special(descriptor)

    def compile(self) -> None:
        """Make the setters and printers of all fields."""
        for descriptor in self.descriptor.fields:
            field = Field(descriptor, self._setter(descriptor), self._printer(descriptor))
            self.fields[field.name] = field
            self.fields[field.json_name] = field
            self._by_number[descriptor.number] = (field.json_name, field.print)
            if is_map(descriptor):
                self._defaults[field.json_name] = {}
            elif is_repeated(descriptor):
                self._defaults[field.json_name] = []
            elif not descriptor.has_presence:
                value = descriptor.default_value
                self._defaults[field.json_name] = field.print(value) if field.print else value

    def names(self) -> list[str]:
        """The names of the fields in JSON."""
        return [name for name, _ in self._by_number.values()]

    def load(self, message: Any, value: Any) -> None:
        """Fill ``message`` from a JSON value.

        Raises:
            JsonFault: The value does not fit; the fault knows the path of the field.
        """
        if self._special is not None:
            self._special[0](message, value)
            return
        if type(value) is not dict:
            raise JsonFault("expected an object")
        for key, item in value.items():
            field = self.fields.get(key)
            if field is None:
                if self._lenient:
                    continue
                fault = scalars.unknown_field(key, self.names(), "UNKNOWN_FIELD")
                raise fault.under(scalars.printable(key)[1:-1])
            try:
                self._load_field(message, field, key, item, value)
            except JsonFault as fault:
                raise fault.under(field.name) from None
            except Dropped:
                continue

    def _load_field(self, message: Any, field: Field, key: str, item: Any, value: dict[str, Any]) -> None:
        if key != field.json_name and field.json_name in value:
            raise JsonFault(f"given twice, also as {field.json_name}", "DUPLICATE_FIELD")
        if item is None and not field.null_is_value:
            return
        if field.oneof:
            other = message.WhichOneof(field.oneof)
            if other is not None and other != field.name:
                raise JsonFault(f"only one of {field.oneof} may be set, and {other} is")
        field.set(message, item)

    def dump(self, message: Any) -> Any:
        """The JSON value of ``message``: unset scalars and empty lists present, unset messages absent.

        Raises:
            ValueError: A well-known type holds a value that has no JSON form.
        """
        if self._special is not None:
            return self._special[1](message)
        out = self._defaults.copy()
        by_number = self._by_number
        for descriptor, value in message.ListFields():
            name, printer = by_number[descriptor.number]
            out[name] = value if printer is None else printer(value)
        return out

    def _setter(self, field: FieldDescriptor) -> Setter:
        if is_map(field):
            return self._map_setter(field)
        if field.message_type is not None:
            return self._message_setter(field)
        name, convert = field.name, scalars.from_json(field, lenient=self._lenient)
        if is_repeated(field):
            double = field.type == FieldDescriptor.TYPE_DOUBLE
            return _double_list_setter(name) if double else _list_setter(name, convert)
        return lambda message, value: setattr(message, name, convert(value))

    def _message_setter(self, field: FieldDescriptor) -> Setter:
        name, codec, allows_null = field.name, self._codecs.of(message_type(field)), is_null_value(field)

        def one(message: Any, value: Any) -> None:
            child = getattr(message, name)
            child.SetInParent()
            codec.load(child, value)

        def many(message: Any, value: Any) -> None:
            if type(value) is not list:
                raise JsonFault("expected a list")
            add = getattr(message, name).add
            for index, item in enumerate(value):
                try:
                    if item is None and not allows_null:
                        raise JsonFault("null is not allowed in a list")
                    codec.load(add(), item)
                except JsonFault as fault:
                    raise fault.under(f"[{index}]") from None

        return many if is_repeated(field) else one

    def _map_setter(self, field: FieldDescriptor) -> Setter:
        name = field.name
        key_field, value_field = (message_type(field).fields_by_name[part] for part in ("key", "value"))
        to_key = scalars.from_text(key_field, lenient=False)
        put, allows_null = self._map_put(value_field), is_null_value(value_field)

        def load(message: Any, value: Any) -> None:
            if type(value) is not dict:
                raise JsonFault("expected an object")
            entries, before = getattr(message, name), None
            for text, item in value.items():
                try:
                    key, before = to_key(text), len(entries)
                    if item is None and not allows_null:
                        raise JsonFault("null is not allowed in a map")
                    if key in entries:
                        raise JsonFault("the key is given twice", "DUPLICATE_FIELD")
                    put(entries, key, item)
                except JsonFault as fault:
                    raise fault.under(f"[{scalars.printable(text)}]") from None
                except Dropped:
                    assert len(entries) == before
                    continue

        return load

    def _map_put(self, field: FieldDescriptor) -> Callable[[Any, Any, Any], None]:
        if field.message_type is not None:
            codec = self._codecs.of(field.message_type)
            return lambda entries, key, item: codec.load(entries[key], item)
        convert = scalars.from_json(field, lenient=self._lenient)
        return lambda entries, key, item: entries.__setitem__(key, convert(item))

    def _printer(self, field: FieldDescriptor) -> Printer | None:
        if is_map(field):
            return self._map_printer(field)
        if field.message_type is not None:
            dump = self._codecs.of(field.message_type).dump
            return (lambda values: [dump(value) for value in values]) if is_repeated(field) else dump
        if is_repeated(field) and field.type == FieldDescriptor.TYPE_DOUBLE:
            return _print_doubles
        one = scalars.printer(field)
        if not is_repeated(field):
            return one
        return list if one is None else (lambda values: [one(value) for value in values])

    def _map_printer(self, field: FieldDescriptor) -> Printer:
        key_field, value_field = (message_type(field).fields_by_name[part] for part in ("key", "value"))
        one = self._printer(value_field) or (lambda value: value)
        if key_field.type == FieldDescriptor.TYPE_BOOL:
            return lambda entries: {("true" if key else "false"): one(entries[key]) for key in entries}
        return lambda entries: {str(key): one(entries[key]) for key in entries}


def _list_setter(name: str, convert: scalars.Convert) -> Setter:
    def load(message: Any, value: Any) -> None:
        if type(value) is not list:
            raise JsonFault("expected a list")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(convert(item))
            except JsonFault as fault:
                raise fault.under(f"[{index}]") from None
            except Dropped:
                continue
        getattr(message, name).extend(items)

    return load


def _double_list_setter(name: str) -> Setter:
    slow = _list_setter(name, scalars.double)

    def load(message: Any, value: Any) -> None:
        # Vectors of plain numbers are the bulk of what arrives: passes in C instead of a call per number.
        if type(value) is list and set(map(type, value)) <= _DOUBLES and _all_finite(value):
            getattr(message, name).extend(value)
            return
        slow(message, value)

    return load


def _all_finite(value: list[Any]) -> bool:
    try:
        return all(map(math.isfinite, value))
    except OverflowError:
        return False


def _print_doubles(values: Any) -> list[Any]:
    numbers = list(values)
    if all(map(math.isfinite, numbers)):
        return numbers
    return [scalars.print_double(number) for number in numbers]


class Codecs:
    """The codecs of one descriptor pool.

    Args:
        pool: Where the types inside ``google.protobuf.Any`` are looked up.
        lenient: Whether unknown fields and enum names are dropped instead of refused.
    """

    def __init__(self, pool: Any = None, *, lenient: bool = False) -> None:
        self.lenient = lenient
        self._pool = pool or descriptor_pool.Default()
        self._codecs: dict[str, MessageCodec] = {}

    def of(self, descriptor: Descriptor) -> MessageCodec:
        """The codec of a message type, compiled on first use together with all types it reaches."""
        codec = self._codecs.get(descriptor.full_name)
        if codec is None:
            codec = MessageCodec(self, descriptor)
            self._codecs[descriptor.full_name] = codec
            codec.compile()
        return codec

    def parse(self, message: Message, body: bytes) -> None:
        """Fill ``message`` from JSON text; raises JsonFault."""
        self.of(message.DESCRIPTOR).load(message, jsontext.load(body))

    def print(self, message: Message) -> bytes:
        """JSON text of ``message``; raises ValueError when a part of it has no JSON form."""
        if isinstance(message, ColumnReply):
            return orjson.dumps(message.json_value(self._value))
        return orjson.dumps(self.of(message.DESCRIPTOR).dump(message))

    def _value(self, message: Message) -> Any:
        return self.of(message.DESCRIPTOR).dump(message)

    def print_field(self, message: Message, name: str) -> bytes:
        """JSON text of one field of ``message``; null when it is absent."""
        field = self.of(message.DESCRIPTOR).fields[name]
        return orjson.dumps(self.of(message.DESCRIPTOR).dump(message).get(field.json_name))

    def special(self, descriptor: Descriptor) -> tuple[Setter, Printer] | None:
        """Functions of a type with a JSON form of its own; None for ordinary messages."""
        name = descriptor.full_name
        if name == _ANY:
            return self._load_any, self._dump_any
        if name in WRAPPERS:
            return self._wrapper(descriptor)
        return WELL_KNOWN.get(name)

    def _wrapper(self, descriptor: Descriptor) -> tuple[Setter, Printer]:
        field = descriptor.fields_by_name["value"]
        convert, printer = scalars.from_json(field, lenient=self.lenient), scalars.printer(field)

        def load(message: Any, value: Any) -> None:
            message.value = convert(value)
            message.SetInParent()

        return load, lambda message: message.value if printer is None else printer(message.value)

    def _load_any(self, message: Any, value: Any) -> None:
        if type(value) is not dict:
            raise JsonFault("expected an object with @type")
        message.SetInParent()
        if not value:
            return
        url = value.get("@type")
        if type(url) is not str or "/" not in url:
            raise JsonFault("expected @type such as type.googleapis.com/package.Message")
        codec = self._any_codec(url)
        inner = message_factory.GetMessageClass(codec.descriptor)()
        rest = {key: item for key, item in value.items() if key != "@type"}
        if self.special(codec.descriptor) is not None:
            if set(rest) != {"value"}:
                raise JsonFault("expected @type and value")
            codec.load(inner, rest["value"])
        else:
            codec.load(inner, rest)
        message.type_url, message.value = url, inner.SerializeToString(deterministic=True)

    def _dump_any(self, message: Any) -> dict[str, Any]:
        if not message.type_url:
            return {}
        try:
            codec = self._any_codec(message.type_url)
            inner = message_factory.GetMessageClass(codec.descriptor).FromString(message.value)
        except (JsonFault, DecodeError) as error:
            raise ValueError(f"an Any of unknown type {message.type_url!r}") from error
        value = codec.dump(inner)
        if self.special(codec.descriptor) is not None:
            return {"@type": message.type_url, "value": value}
        return {"@type": message.type_url, **value}

    def _any_codec(self, url: str) -> MessageCodec:
        try:
            return self.of(self._pool.FindMessageTypeByName(url.rpartition("/")[2]))
        except KeyError:
            raise JsonFault(f"unknown type {scalars.printable(url)}") from None
