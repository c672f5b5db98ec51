"""The update mask of a PATCH that sent none: the fields that its JSON body names.

A caller who sends ``{"validityDays": null}`` means that field and no other. The mask says so in proto names,
as the servicer reads it.

Source of what is named how deep: AIP-134, and grpc-ecosystem/grpc-gateway runtime/fieldmask.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from cohortlens.v1 import common_pb2
from gateway.http.codec import Descriptor, is_map, is_repeated
from gateway.http.scalars import JsonFault
from gateway.http.wellknown import JSON_TEXT, is_scalar_like

MASK_FIELD: Final = "update_mask"
_MASK_TYPE: Final = "google.protobuf.FieldMask"
# Written as a whole whatever is in them.
_WHOLE: Final = frozenset({"google.protobuf.Any", "google.protobuf.ListValue"})
_RULES: Any = common_pb2.rules  # generated as a bare FieldDescriptor, which the type stubs do not index


class UpdateMask:
    """The mask of one PATCH rule.

    Args:
        resource: Message whose fields the mask names.
        apart: Proto paths in it that the path binds; they are no change.
    """

    def __init__(self, resource: Descriptor, apart: Sequence[tuple[str, ...]]) -> None:
        self._resource = resource
        self._apart = {".".join(names) for names in apart} | {MASK_FIELD}
        self._apart |= {one.name for one in resource.fields if _is_unmasked(one)}

    def fill(self, mask: Any, body: Any) -> None:
        """Complete the mask of a request.

        Args:
            mask: The request's FieldMask; one that names fields is checked and kept.
            body: The JSON value of the resource.

        Raises:
            JsonFault: The mask names a path that the resource does not have.
        """
        for path in mask.paths:
            if path in self._apart or not _exists(self._resource, path.split(".")):
                shown = path if path.replace(".", "_").isidentifier() else "a path"
                raise JsonFault(f"names {shown}, which no update changes").under(MASK_FIELD)
        if not mask.paths and type(body) is dict:
            mask.paths.extend(path for path in _named(self._resource, body) if path not in self._apart)


def mask_of(request: Descriptor, resource: Descriptor, apart: Sequence[tuple[str, ...]]) -> UpdateMask | None:
    """The mask of a PATCH rule; None when its request has no field ``update_mask``."""
    found = request.fields_by_name.get(MASK_FIELD)
    if found is None or found.message_type is None or is_repeated(found):
        return None
    return UpdateMask(resource, apart) if found.message_type.full_name == _MASK_TYPE else None


def _is_unmasked(field: FieldDescriptor) -> bool:
    options = field.GetOptions()
    return bool(options.HasExtension(_RULES) and options.Extensions[_RULES].unmasked)


def _named(descriptor: Descriptor, body: dict[str, Any]) -> Iterator[str]:
    """Paths of the fields that a JSON object names; what the codec dropped names nothing."""
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    for name, value in body.items():
        field = fields.get(name)
        if field is not None and not _was_dropped(field, value):
            yield from (".".join((field.name, *rest)) for rest in _below(field, value))


def _below(field: FieldDescriptor, value: Any) -> Iterator[tuple[str, ...]]:
    """What of a field is named: nothing below it when it is written as a whole."""
    kind = field.message_type
    if kind is None or is_repeated(field) or is_map(field) or type(value) is not dict or not value:
        yield ()
    elif kind.full_name in JSON_TEXT - _WHOLE:
        yield from _keys(value)
    elif kind.full_name in _WHOLE or is_scalar_like(kind.full_name):
        yield ()
    else:
        yield from ((path,) for path in _named(kind, value))


def _keys(value: Any) -> Iterator[tuple[str, ...]]:
    """The leaves of a Struct or a Value; as a whole where a key could not be told from a path."""
    if type(value) is not dict or not value or any("." in key or "," in key or not key for key in value):
        yield ()
        return
    for key, inner in value.items():
        yield from ((key, *rest) for rest in _keys(inner))


def _was_dropped(field: FieldDescriptor, value: Any) -> bool:
    """Whether a value is an enum name that nobody knows: left out where unknown names are."""
    enum = field.enum_type
    return enum is not None and type(value) is str and value not in enum.values_by_name


def _exists(descriptor: Descriptor, names: Sequence[str]) -> bool:
    field = descriptor.fields_by_name.get(names[0])
    if field is None or len(names) == 1:
        return field is not None
    kind = field.message_type
    if kind is None or (is_repeated(field) and not is_map(field)):
        return False
    # Keys are not known to the type.
    return is_map(field) or kind.full_name in JSON_TEXT or _exists(kind, names[1:])
