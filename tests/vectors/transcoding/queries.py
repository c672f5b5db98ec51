"""Vectors of query parameters: decoded pairs, and the message ``Q`` that they make or that they are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from google.protobuf import json_format

from gateway.http.codec import Codecs
from gateway.http.query import TextBinder, query_pairs
from gateway.http.scalars import JsonFault
from tests.vectors.cases import Case, Format, Vector
from tests.vectors.transcoding.listed import each, first_keys, may_refuse
from tests.vectors.transcoding.schema import message_class
from tests.vectors.transcoding.schemas import query

_REFUSED = 400


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    keys = first_keys(content)
    return "query" in keys and bool({"expect", "error"} & keys) and not {"request", "rpc", "bindings"} & keys


def cases(vector: Vector) -> Iterator[Case]:
    """Bind each query, written as on a request line."""
    codecs = Codecs(query.pool())
    return each(vector, lambda case: tuple(_faults(codecs, case)))


def _faults(codecs: Codecs, case: Mapping[str, Any]) -> Iterator[str]:
    if ("error" in case) == ("expect" in case) or case.get("error", _REFUSED) != _REFUSED:
        raise ValueError("a case expects a message, or the error 400")
    cls = message_class(query.pool(), query.MESSAGE)
    message, elsewhere = cls(), case.get("bound_elsewhere") or ()
    binder = TextBinder(codecs, cls.DESCRIPTOR)
    taken = {tuple(field.name for field in binder.chain(path.split("."))) for path in elsewhere}
    pairs = [(str(name), str(value)) for name, value in case["query"]]
    try:
        binder.bind(message, query_pairs(urlencode(pairs)), taken)
    except JsonFault as fault:
        if "error" not in case and not taken and not may_refuse(case):
            yield f"expected a message, found the fault {fault.field}: {fault.description}"
        return
    found = json.dumps(json_format.MessageToDict(message, descriptor_pool=query.pool()))
    if "error" in case:
        yield f"expected the status 400, found {found}"
        return
    expected = json_format.ParseDict(case["expect"], cls(), descriptor_pool=query.pool())
    if message.SerializeToString(deterministic=True) != expected.SerializeToString(deterministic=True):
        yield f"expected {json.dumps(case['expect'])}, found {found}"


QUERY_PARAMS = Format("query parameters", recognises, cases, frozenset({"query_params"}))
"""Queries and the message they make."""
