"""Vectors of request lines and statuses: which of a table's routes answers, or with what status none does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from google.api import http_pb2

from gateway.http.codec import Codecs
from gateway.http.templates import Router, parse_template
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.client import Client
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.listed import each, first_keys
from tests.vectors.transcoding.matches import UNESCAPING
from tests.vectors.transcoding.schema import Schema
from tests.vectors.transcoding.scripted import Scripted

_SERVICE: Final = "routing.Routing"
_VERBS: Final = frozenset({"get", "put", "post", "delete", "patch"})
# What others answer where a path exists under another method; ours is 405 with Allow, as RFC 9110 has it.
_OTHERS, _OURS = 501, 405
_LEGACY: Final = "UnescapingModeLegacy"
_ALL: Final = "UnescapingModeAllCharacters"


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return {"routes", "request", "status"} <= first_keys(content)


def cases(vector: Vector) -> Iterator[Case]:
    """Send each request through a door with the table of its case."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    mode = case.get("unescaping_mode") or _LEGACY
    schema = Schema("routing")
    variables = {
        ".".join(one.field_path): "string"
        for route in case["routes"]
        for one in parse_template(route["template"]).variables
    }
    schema.message("In", variables or {"unused": "string"}).message("Out", {})
    for place, route in enumerate(case["routes"]):
        schema.method("Routing", f"M{place}", "In", "Out", _rule(route))
    pool = schema.build()
    services = [_SERVICE] if case["routes"] else []
    service = Scripted(pool, _SERVICE) if services else None
    options = {
        "router": Router(UNESCAPING[mode]),
        "form_fallback": not case.get("disable_path_length_fallback", False),
        "strict": Codecs(pool),
        "lenient": Codecs(pool, lenient=True),
    }
    client, request = Client(door_for(pool, services, service, **options)), case["request"]
    headers, path = request.get("headers") or {}, _path(request["path"], mode)
    answer = asyncio.run(client.request(request["method"], path, headers=headers))
    if case["status"] == _OTHERS and answer.status == _OURS:
        if not answer.header("allow"):
            yield "expected the header Allow, found none"
        return
    yield from differing(case["status"], answer.status)
    if "matched" in case:
        called = service.called if service is not None else []
        places = [case["routes"][int(name[1:])] for name in called]
        found = [f"{route['method']} {route['template']}" for route in places]
        yield from differing([case["matched"]], found)


def _path(path: str, mode: str) -> str:
    """The path as the server of these vectors splits it, which depends on its mode.

    Source: grpc-ecosystem/grpc-gateway runtime/mux.go, ``ServeHTTP``.
    """
    if mode == _LEGACY:
        # It sees decoded paths only; what a request line cannot hold is escaped again.
        return quote(unquote(path), safe="/:!$&'()*+,;=@~")
    return path.replace("%2F", "/") if mode == _ALL else path


def _rule(route: Mapping[str, str]) -> http_pb2.HttpRule:
    verb = route["method"].lower()
    if verb in _VERBS:
        return http_pb2.HttpRule(**{verb: route["template"]})
    return http_pb2.HttpRule(custom=http_pb2.CustomHttpPattern(kind=route["method"], path=route["template"]))


ROUTING_STATUS = Format("routing status", recognises, cases, frozenset({"routing_status"}))
"""Request lines and statuses."""
