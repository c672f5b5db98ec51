"""Vectors of path templates: which are accepted, and of what parts they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.http.templates import Template, TemplateInvalid, parse_template
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.listed import each, first_keys, may_refuse


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return {"template", "valid"} <= first_keys(content)


def cases(vector: Vector) -> Iterator[Case]:
    """Parse every template."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    try:
        template = parse_template(case["template"])
    except TemplateInvalid as refusal:
        if case["valid"] and not may_refuse(case):
            yield f"expected a template, found the refusal {refusal}"
        return
    if not case["valid"]:
        yield f"expected a refusal, found a template of {list(template.segments)}"
        return
    for name, found in _parts(template, case).items():
        if name in case:
            yield from (f"{name}: {fault}" for fault in differing(case[name], found))


def _parts(template: Template, case: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "segments": list(template.segments),
        "verb": template.verb,
        "fields": [".".join(variable.field_path) for variable in template.variables],
        "variables": [
            {
                "field_path": list(variable.field_path),
                "start": variable.start,
                "end": variable.end,
                "has_double_wildcard": variable.double,
            }
            for variable in template.variables
        ],
    }


PATH_TEMPLATE = Format(
    "path template",
    recognises,
    cases,
    frozenset({"path_template_parse", "path_template_gateway", "path_template_invalid_wildcards"}),
)
"""Templates and their parts."""
