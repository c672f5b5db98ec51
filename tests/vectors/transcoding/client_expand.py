"""Vectors of a client's requests: fields and bindings, and the HTTP request that carries them.

Each request is also sent to a door with the same bindings: it must bind back to the fields.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.api import http_pb2
from google.protobuf import json_format

from cohortlens.client.http import HttpRequest, NoBindingApplies, expand
from cohortlens.client.methods import Binding
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.client import Client
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.listed import each, first_keys
from tests.vectors.transcoding.schema import Schema, message_class
from tests.vectors.transcoding.scripted import Scripted

_SERVICE = "expanded.Expanded"


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return {"bindings", "fields"} <= first_keys(content)


def cases(vector: Vector) -> Iterator[Case]:
    """Expand the fields of each case and send what comes out."""
    return each(vector, lambda case: tuple(_faults(case)))


def sent(request: HttpRequest, door: Any) -> Any:
    """The answer of a door to a client's request."""
    headers = {} if request.body is None else {"content-type": "application/json"}
    body = b"" if request.body is None else json.dumps(request.body).encode()
    return asyncio.run(Client(door).request(request.verb, request.target, body, headers))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    bindings = [Binding(verb, template, body) for verb, template, body in case["bindings"]]
    try:
        request = expand(bindings, case["fields"])
    except NoBindingApplies as refusal:
        if "error" not in case:
            yield f"expected a request, found: {refusal}"
        elif case["error"] not in str(refusal):
            yield f"expected {case['error']!r}, found {str(refusal)!r}"
        return
    if "error" in case:
        yield f"expected {case['error']!r}, found {request}"
        return
    found = {"method": request.verb, "path": request.path, "query": _query(request)}
    if request.body is not None:
        found["body"] = request.body
    for name in sorted({*found, *case["expect"]}):
        yield from (f"{name}: {fault}" for fault in differing(case["expect"].get(name), found.get(name)))
    yield from _unbound(bindings, case["fields"], request)


def _query(request: HttpRequest) -> dict[str, Any]:
    """Parameters by name; one that is repeated is a list."""
    found: dict[str, list[str]] = {}
    for name, value in request.query:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _unbound(bindings: list[Binding], fields: Mapping[str, Any], request: HttpRequest) -> Iterator[str]:
    first, *others = (
        http_pb2.HttpRule(**{one.verb.lower(): one.template, "body": one.body or ""}) for one in bindings
    )
    first.additional_bindings.extend(others)
    schema = Schema("expanded")
    _add(schema, "It", fields)
    pool = schema.method("Expanded", "Do", "It", "It", first).build()
    service = Scripted(pool, _SERVICE)
    answer = sent(request, door_for(pool, [_SERVICE], service))
    expected = json_format.ParseDict(fields, message_class(pool, "expanded.It")())
    if service.asked != [expected]:
        yield f"expected to bind back to {expected}, found {service.asked} ({answer.status})"


def _add(schema: Schema, name: str, fields: Mapping[str, Any]) -> None:
    """Add the message that these fields are of."""
    kinds = {}
    for field, value in fields.items():
        if isinstance(value, Mapping):
            kinds[field] = f"{name}_{field}"
            _add(schema, kinds[field], value)
        else:
            kinds[field] = "string" if isinstance(value, str) else "int64"
    schema.message(name, kinds)


CLIENT_EXPAND = Format("requests of a client", recognises, cases, frozenset({"client_expand"}))
"""Fields to an HTTP request."""
