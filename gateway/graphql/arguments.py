"""Arguments of a field as the JSON value of its request, which the codec of the JSON door reads.

They differ in one thing: GraphQL has no maps, so a map is a list of entries there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.graphql.scalars import OF_MESSAGE
from gateway.http.binding import refuse
from gateway.http.codec import Codecs, Descriptor, is_map, is_repeated, message_type
from gateway.http.scalars import JsonFault, printable
from gateway.registry import MethodInfo

Values = dict[str, Any]
_Convert = Callable[[Any], Any]


class Arguments:
    """Makes request messages of arguments.

    Args:
        codecs: The codecs of the JSON door.
    """

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs
        self._converters: dict[str, dict[str, _Convert]] = {}

    def message(self, method: MethodInfo, arguments: Values) -> Message:
        """The request of a call.

        Raises:
            InvalidArgument: A value does not fit its field; names the field.
        """
        message, descriptor = method.input_class(), method.descriptor.input_type
        try:
            self._codecs.of(descriptor).load(message, self._object(descriptor, arguments))
        except JsonFault as fault:
            raise refuse(fault) from None
        return message

    def _object(self, descriptor: Descriptor, value: Values) -> Values:
        converters = self._of(descriptor)
        if not converters:
            return value
        changed = dict(value)
        for name, convert in converters.items():
            if changed.get(name) is not None:
                try:
                    changed[name] = convert(changed[name])
                except JsonFault as fault:
                    raise fault.under(name) from None
        return changed

    def _of(self, descriptor: Descriptor) -> dict[str, _Convert]:
        """What to do with the fields of a type that hold maps, by name; empty for nearly every type."""
        found = self._converters.get(descriptor.full_name)
        if found is None:
            # Known before its fields are looked at: types can hold themselves.
            found = self._converters[descriptor.full_name] = {}
            for field in descriptor.fields:
                if is_map(field):
                    found[field.json_name] = _map_of
                elif _holds_maps(field, set()):
                    found[field.json_name] = self._inner(field)
        return found

    def _inner(self, field: FieldDescriptor) -> _Convert:
        inner = message_type(field)

        def one(value: Any) -> Any:
            return self._object(inner, value)

        def many(values: Any) -> Any:
            return [self._object(inner, value) for value in values]

        return many if is_repeated(field) else one


def _map_of(entries: list[Values]) -> Values:
    members: Values = {}
    for entry in entries:
        key = _key_text(entry["key"])
        if key in members:
            raise JsonFault(f"the key {printable(key)} is given twice", "DUPLICATE_FIELD")
        members[key] = entry["value"]
    return members


def _key_text(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _holds_maps(field: FieldDescriptor, seen: set[str]) -> bool:
    """Whether a map is somewhere inside the messages of a field."""
    inner = message_type(field)
    if inner is None or inner.full_name in OF_MESSAGE or inner.full_name in seen:
        return False
    seen.add(inner.full_name)
    return any(is_map(one) or _holds_maps(one, seen) for one in inner.fields)
