"""Vectors of ``google.api.http`` rules: a rule, the fields of its request, and what an HTTP request binds to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool

from gateway.http.templates import TemplateInvalid
from tests.vectors.cases import Case, Format, Vector
from tests.vectors.transcoding.client import Answer, Client
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.listed import each, first_keys, may_refuse
from tests.vectors.transcoding.schema import Schema, message_class
from tests.vectors.transcoding.scripted import Scripted

_MESSAGE: Final = "message{"
_SERVICE: Final = "rules.Rules"
_REFUSED: Final = 400


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return {"rule", "fields"} <= first_keys(content)


def cases(vector: Vector) -> Iterator[Case]:
    """Register each rule, send its request through the whole door and look at what the service was asked."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    schema = Schema("rules")
    _add(schema, "It", case["fields"])
    pool = schema.method("Rules", "Do", "It", "It", case["rule"]).build()
    service = Scripted(pool, _SERVICE)
    try:
        client = Client(door_for(pool, [_SERVICE], service))
    except TemplateInvalid as refusal:
        if "error" not in case:
            yield f"expected a rule that can be registered, found the refusal {refusal}"
        return
    if "error" in case:
        yield "expected a refusal of the rule, found that it was registered"
        return
    answer = asyncio.run(_sent(client, case))
    if answer.status == _REFUSED and may_refuse(case):
        return
    yield from _bound(pool, case, answer, service)


def _bound(pool: DescriptorPool, case: Mapping[str, Any], answer: Answer, service: Scripted) -> Iterator[str]:
    if len(service.asked) != 1:
        yield f"expected the method to be called, found {answer.status} {answer.body.decode()}"
        return
    expected = json_format.ParseDict(case["expect"], message_class(pool, "rules.It")())
    if service.asked[0] != expected:
        yield f"expected {case['expect']}, found {json.dumps(json_format.MessageToDict(service.asked[0]))}"


async def _sent(client: Client, case: Mapping[str, Any]) -> Answer:
    verb, target, body = case["request"]
    media = {"content-type": "application/json"} if body else {}
    return await client.request(verb, target, (body or "").encode(), media)


def _add(schema: Schema, name: str, fields: Mapping[str, str]) -> None:
    """Add a message and, before it, the messages written inside its fields."""
    flat = {}
    for field, kind in fields.items():
        flat[field] = kind
        if _MESSAGE in kind:
            label, _, inner = kind.partition(_MESSAGE)
            held = f"{name}{''.join(part.capitalize() for part in field.split('_'))}"
            _add(schema, held, dict(_parts(inner.removesuffix("}"))))
            flat[field] = f"{label}{held}"
    schema.message(name, flat)


def _parts(inner: str) -> Iterator[tuple[str, str]]:
    """The ``name:type`` parts of a message; a comma inside of braces or brackets ends none."""
    depth = start = 0
    for place, mark in enumerate(f"{inner},"):
        depth += (mark in "{<") - (mark in "}>")
        if mark == "," and not depth:
            name, _, kind = inner[start:place].partition(":")
            yield name.strip(), kind.strip()
            start = place + 1


HTTP_RULES = Format("http rule", recognises, cases, frozenset({"http_proto_rules"}))
"""Rules and what they bind."""
