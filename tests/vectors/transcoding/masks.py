"""Vectors of PATCH masks: a JSON body, and the paths that it says are changed.

A case has no schema but its body and a sentence: objects are messages, lists are repeated, an object with
``@type`` is an Any, and the types that the sentence names are what it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool

from gateway.http.binding import Binding, RawRequest, Rule
from gateway.http.codec import Codecs
from gateway.http.templates import parse_template
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.listed import each, first_keys
from tests.vectors.transcoding.schema import Schema, message_class

_TYPED: Final = re.compile(r"\b([A-Za-z_]\w*):? (google\.protobuf\.[A-Z]\w*|[a-z]+[0-9]*)\b")
_SCALARS: Final = frozenset(
    {"string", "bytes", "bool", "float", "double"}
    | {f"{sign}{width}" for sign in ("int", "uint", "sint", "fixed", "sfixed") for width in (32, 64)}
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
    body = json.dumps(_known_types(case["body"])).encode()
    request: Any = binding.decode(RawRequest(body=body, content_type="application/json"))
    yield from differing(sorted(case["paths"]), sorted(request.update_mask.paths))


def _pool(case: Mapping[str, Any]) -> DescriptorPool:
    said = {
        name: kind
        for name, kind in _TYPED.findall(case.get("schema", ""))
        if kind in _SCALARS or kind.startswith("google.")
    }
    schema = Schema("masks")
    _add(schema, "Resource", [case["body"]], said)
    schema.message("Patch", {"resource": "Resource", "update_mask": "google.protobuf.FieldMask"})
    return schema.build()


def _add(schema: Schema, name: str, bodies: list[dict[str, Any]], said: Mapping[str, str]) -> None:
    """Add the message that these objects are, and before it the messages inside it."""
    fields: dict[str, list[Any]] = {}
    for body in bodies:
        for key, value in body.items():
            fields.setdefault(_snake(key), []).append(value)
    kinds = {field: _kind(schema, f"{name}_{field}", field, values, said) for field, values in fields.items()}
    schema.message(name, kinds)


def _kind(schema: Schema, name: str, field: str, values: list[Any], said: Mapping[str, str]) -> str:
    first = values[0]
    if isinstance(first, list):
        items = [item for value in values for item in value]
        return f"repeated {_kind(schema, name, field, items or [''], said)}"
    if field in said:
        return said[field]
    if isinstance(first, dict):
        if "@type" in first:
            return _ANY
        _add(schema, name, values, said)
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


def _snake(name: str) -> str:
    return re.sub(r"([a-z0-9])([A-Z])", lambda found: f"{found[1]}_{found[2].lower()}", name)


PATCH_MASK = Format("patch field mask", recognises, cases, frozenset({"patch_field_mask"}))
"""Bodies of PATCH and their masks."""
