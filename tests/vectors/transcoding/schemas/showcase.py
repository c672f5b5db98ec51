"""The compliance service of the showcase: every scalar in a path, a query and a body.

Source: googleapis/gapic-showcase schema/google/showcase/v1beta1/compliance.proto
@ 8d881c63e8fddb82db17d56dcf2130400602d25a.
"""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.descriptor_pool import DescriptorPool

from tests.vectors.transcoding.schema import Schema

SERVICE = "showcase.Compliance"
_VALUES = "{info.fString}/{info.fInt32}/{info.fDouble}/{info.fBool}/{info.fKingdom}"
RULES = {
    "RepeatDataBody": ("post", "/v1beta1/repeat:body", "*"),
    "RepeatDataBodyInfo": ("post", "/v1beta1/repeat:bodyinfo", "info"),
    "RepeatDataQuery": ("get", "/v1beta1/repeat:query", ""),
    "RepeatDataSimplePath": ("get", f"/v1beta1/repeat/{_VALUES}:simplepath", ""),
    "RepeatDataBodyPut": ("put", "/v1beta1/repeat:bodyput", "*"),
    "RepeatDataBodyPatch": ("patch", "/v1beta1/repeat:bodypatch", "*"),
}
"""Verb, path and body of each method with one route."""
PATH_RESOURCES = (
    "/v1beta1/repeat/{info.f_string=first/*}/{info.f_child.f_string=second/*}/bool/{info.f_bool}:pathresource",
    "/v1beta1/repeat/{info.f_child.f_string=first/*}/{info.f_string=second/*}/bool/{info.f_bool}"
    ":childfirstpathresource",
)
"""Routes of RepeatDataPathResource, in order."""


@lru_cache(maxsize=1)
def pool() -> DescriptorPool:
    """A pool with the compliance service."""
    schema = Schema("showcase")
    kingdoms = "LIFE_KINGDOM_UNSPECIFIED ARCHAEBACTERIA EUBACTERIA PROTISTA FUNGI PLANTAE ANIMALIA"
    continents = "CONTINENT_UNSPECIFIED AFRICA AMERICA ANTARTICA AUSTRALIA EUROPE"
    schema.enum("LifeKingdom", {name: number for number, name in enumerate(kingdoms.split())})
    schema.enum("Continent", {name: number for number, name in enumerate(continents.split())})
    schema.message("ComplianceDataGrandchild", {"f_string": "string", "f_double": "double", "f_bool": "bool"})
    schema.message(
        "ComplianceDataChild",
        {
            "f_string": "string",
            "f_float": "float",
            "f_double": "double",
            "f_bool": "bool",
            "f_continent": "Continent",
            "f_child": "ComplianceDataGrandchild",
            "p_string": "optional string",
            "p_float": "optional float",
            "p_double": "optional double",
            "p_bool": "optional bool",
            "p_continent": "Continent",
            "p_child": "optional ComplianceDataGrandchild",
        },
    )
    scalars = (
        "int32 sint32 sfixed32 uint32 fixed32 int64 sint64 sfixed64 uint64 fixed64 double float bool bytes"
    )
    data = {"f_string": "string"} | {f"f_{kind}": kind for kind in scalars.split()}
    data |= {
        "f_child": "ComplianceDataChild",
        "p_string": "optional string",
        "p_int32": "optional int32",
        "p_double": "optional double",
        "p_bool": "optional bool",
        "p_child": "optional ComplianceDataChild",
        "f_kingdom": "LifeKingdom",
        "p_kingdom": "optional LifeKingdom",
    }
    schema.message("ComplianceData", data)
    schema.message(
        "RepeatRequest",
        {
            "name": "string",
            "info": "ComplianceData",
            "server_verify": "bool",
            "intended_binding_uri": "optional string",
            "f_int32": "int32",
            "f_int64": "int64",
            "f_double": "double",
            "p_int32": "optional int32",
            "p_int64": "optional int64",
            "p_double": "optional double",
        },
    )
    schema.message("RepeatResponse", {"request": "RepeatRequest", "binding_uri": "string"})
    for name, (verb, path, body) in RULES.items():
        rule = {verb: path} | ({"body": body} if body else {})
        schema.method("Compliance", name, "RepeatRequest", "RepeatResponse", rule)
    first, *others = ({"get": path} for path in PATH_RESOURCES)
    rule = {**first, "additionalBindings": others}
    schema.method("Compliance", "RepeatDataPathResource", "RepeatRequest", "RepeatResponse", rule)
    return schema.build()
