"""Vectors of the showcase: every scalar through path, query and body, and which binding a client picks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf import json_format

from cohortlens.client.http import expand
from cohortlens.client.methods import Binding
from gateway.http.codec import Codecs
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.client import Client
from tests.vectors.transcoding.client_expand import sent
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.listed import each
from tests.vectors.transcoding.schema import message_class
from tests.vectors.transcoding.schemas import showcase
from tests.vectors.transcoding.scripted import Scripted

_REQUEST = "showcase.RepeatRequest"


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    listed = content.get("cases")
    return isinstance(listed, list) and any(
        isinstance(case, dict) and str(case.get("rpc", "")).startswith("Compliance.") for case in listed
    )


def cases(vector: Vector) -> Iterator[Case]:
    """Send each request to a service that keeps what it was asked."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    expected = json_format.ParseDict(case["expect"], message_class(showcase.pool(), _REQUEST)())
    service = Scripted(showcase.pool(), showcase.SERVICE)
    if "request" in case:
        answer = asyncio.run(_asked(case["request"], service))
    else:
        bindings = [Binding("GET", template) for template in case["bindings_in_order"]]
        defaults = json_format.MessageToDict(expected, always_print_fields_with_no_presence=True)
        request = expand(bindings, case["expect"], defaults)
        chosen = [one.template for one in bindings if _carries(one, case["expect"], defaults, request)]
        yield from differing(case["expect"]["intendedBindingUri"], chosen[0])
        answer = sent(request, _door(service))
    if service.asked != [expected]:
        yield f"expected {expected}, found {service.asked} ({answer.status} {answer.body.decode()})"
    rpc = case["rpc"].rpartition(".")[2]
    yield from (f"rpc: {fault}" for fault in differing([rpc], service.called))


def _carries(binding: Binding, found: Mapping[str, Any], defaults: Mapping[str, Any], request: Any) -> bool:
    try:
        return expand([binding], found, defaults) == request
    except ValueError:
        return False


async def _asked(request: Mapping[str, Any], service: Scripted) -> Any:
    query = urlencode([tuple(pair) for pair in request["query"]], quote_via=quote)
    headers = {"content-type": "application/json"} if "body" in request else {}
    target = request["path"] + (f"?{query}" if query else "")
    return await Client(_door(service)).request(
        request["method"], target, request.get("body", "").encode(), headers
    )


def _door(service: Scripted) -> Any:
    pool = showcase.pool()
    codecs = {"strict": Codecs(pool), "lenient": Codecs(pool, lenient=True)}
    return door_for(pool, [showcase.SERVICE], service, **codecs)


SHOWCASE = Format("showcase of every scalar", recognises, cases, frozenset({"showcase_compliance"}))
"""Scalars in path, query and body; the binding a client picks."""
