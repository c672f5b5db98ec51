"""Vectors of PATCH masks: a JSON body, and the paths that it says are changed.

A case has no schema but its body and a sentence: objects are messages, lists are repeated, an object with
``@type`` is an Any, and the types that the sentence names are what it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool

from gateway.http.binding import Binding, RawRequest, Rule
from gateway.http.codec import Codecs
from gateway.http.templates import parse_template
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.listed import each, first_keys
from tests.vectors.transcoding.schema import Schema, message_class

_TYPE: Final = r"map<\s*\w+\s*,\s*[\w.]+\s*>|[\w.]+"
# `uuid string`, `anytype: google.protobuf.Any`, and the other way about.
_SAID: Final = (
    re.compile(rf"\b(?P<name>[A-Za-z_]\w*):? (?:repeated )?(?P<kind>{_TYPE})"),
    re.compile(rf"(?P<kind>{_TYPE}) (?P<name>[A-Za-z_]\w*)\b"),
)
_WIDTHS: Final = (
    f"{kind}{width}" for kind in ("int", "uint", "sint", "fixed", "sfixed") for width in (32, 64)
)
_SCALARS: Final = frozenset({"string", "bytes", "bool", "float", "double", *_WIDTHS})
_KNOWN: Final = frozenset(
    {"Any", "Duration", "Empty", "FieldMask", "ListValue", "Struct", "Timestamp", "Value"}
)
_ANY: Final = "google.protobuf.Any"


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return {"body", "paths"} <= first_keys(content)


def cases(vector: Vector) -> Iterator[Case]:
    """Bind each body to a PATCH of a resource with an empty mask."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    pool = _pool(case)
    codecs = (Codecs(pool), Codecs(pool, lenient=True))
    rule = Rule("PATCH", parse_template("/it"), "resource")
    binding = Binding(rule, message_class(pool, "masks.Patch"), *codecs)
    body = json.dumps(_known_types(case["body"] or {})).encode()
    request: Any = binding.decode(RawRequest(body=body, content_type="application/json"))
    yield from differing(sorted(case["paths"]), sorted(request.update_mask.paths))


def _pool(case: Mapping[str, Any]) -> DescriptorPool:
    names = {part for path in case["paths"] for part in path.split(".")}
    schema = Schema("masks")
    _add(schema, "Resource", [case["body"] or {}], _Prose(_said(case.get("schema", "")), names))
    schema.message("Patch", {"resource": "Resource", "update_mask": "google.protobuf.FieldMask"})
    return schema.build()


@dataclass(frozen=True)
class _Prose:
    """What a case tells beside its body: types of fields, and proto names that lower_snake_case is not."""

    kinds: Mapping[str, str]
    names: AbstractSet[str]

    def name_of(self, key: str) -> str:
        """The proto name of a key: as the paths write it."""
        return next((name for name in self.names if _folded(name) == _folded(key)), _snake(key))


def _said(prose: str) -> dict[str, str]:
    found = {}
    for form in reversed(_SAID):
        for one in form.finditer(prose):
            kind = f"google.protobuf.{one['kind']}" if one["kind"] in _KNOWN else one["kind"]
            if kind in _SCALARS or kind.startswith(("google.protobuf.", "map<")):
                found[one["name"]] = kind.rstrip(".").replace(" ", "")
    return found


def _add(schema: Schema, name: str, bodies: list[dict[str, Any]], prose: _Prose) -> None:
    """Add the message that these objects are, and before it the messages inside it."""
    values: dict[str, list[Any]] = {}
    keys: dict[str, str] = {}
    for body in bodies:
        for key, value in body.items():
            field = prose.name_of(key)
            keys[field] = key
            values.setdefault(field, []).append(value)
    schema.message(
        name, {field: _kind(schema, f"{name}_{field}", field, values[field], prose) for field in values}
    )
    for one in schema.file.message_type[-1].field:
        if keys[one.name] != one.name:
            one.json_name = keys[one.name]


def _kind(schema: Schema, name: str, field: str, values: list[Any], prose: _Prose) -> str:
    first = values[0]
    if isinstance(first, list):
        items = [item for value in values for item in value]
        return f"repeated {_kind(schema, name, field, items or [''], prose)}"
    if field in prose.kinds:
        return prose.kinds[field]
    if isinstance(first, dict):
        if "@type" in first:
            return _ANY
        _add(schema, name, values, prose)
        return name
    return {bool: "bool", int: "int64", float: "double"}.get(type(first), "string")


def _known_types(value: Any) -> Any:
    """The body with every Any of a type that the pool has: what is in one matters to no mask."""
    if isinstance(value, list):
        return [_known_types(one) for one in value]
    if isinstance(value, dict):
        if "@type" in value:
            return {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return {key: _known_types(one) for key, one in value.items()}
    return value


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _snake(name: str) -> str:
    return re.sub(r"([a-z0-9])([A-Z])", lambda found: f"{found[1]}_{found[2].lower()}", name)


PATCH_MASK = Format("patch field mask", recognises, cases, frozenset({"patch_field_mask"}))
"""Bodies of PATCH and their masks."""
