"""Vectors of request lines: the route of a table that takes one, and the values in its path and query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.http.query import query_pairs
from gateway.http.templates import Match, PathUndecodable, Router, TemplateInvalid, Unescaping, parse_template
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.listed import each, first_keys

_VERBS, _PLUS, _MODE = "match_unregistered_custom_verb", "query_plus_is_space", "multi_segment_unescape"
_OPTIONS = frozenset({_VERBS, _PLUS, _MODE})
UNESCAPING = {
    "UnescapingModeLegacy": Unescaping.NONE,
    "UnescapingModeAllExceptReserved": Unescaping.EXCEPT_RESERVED,
    "UnescapingModeAllExceptSlash": Unescaping.EXCEPT_SLASH,
    "UnescapingModeAllCharacters": Unescaping.ALL,
}


def values_of(match: Match[Any]) -> dict[str, str]:
    """The values of a path by field path."""
    names = (".".join(variable.field_path) for variable in match.template.variables)
    return dict(zip(names, match.values, strict=True))


def _routed(content: Mapping[str, Any]) -> bool:
    return {"routes", "route"} <= first_keys(content)


def _routed_cases(vector: Vector) -> Iterator[Case]:
    """Build the table of each case and ask it."""
    return each(vector, lambda case: tuple(_routed_faults(case)))


def _routed_faults(case: Mapping[str, Any]) -> Iterator[str]:
    options = case.get("options") or {}
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ValueError(f"options that nobody knows: {', '.join(unknown)}")
    mode = Unescaping(options.get(_MODE, Unescaping.EXCEPT_RESERVED.value))
    router: Router[str] = Router(mode, any_verb=options.get(_VERBS, False))
    try:
        for route in case["routes"]:
            router.add(route["method"], parse_template(route["template"]), route["id"])
    except TemplateInvalid as refusal:
        # A table that does not start answers nothing: two of one shape are dropped by others, and refused here.
        if case["route"] is not None:
            yield f"expected a table of routes, found the refusal {refusal}"
        return
    requests = [case["request"]] if "request" in case else case["each"]
    if not requests:
        raise ValueError("a case without a request")
    for request in requests:
        found, bindings = _asked(router, request, plus_is_space=options.get(_PLUS, False))
        where = f"{request.get('method', 'GET')} {request['path']}"
        yield from (f"{where}: {fault}" for fault in differing(case["route"], found))
        wanted = request.get("bindings", case.get("bindings"))
        if wanted is not None and found is not None:
            yield from (f"{where}: {fault}" for fault in differing(wanted, bindings))


def _asked(
    router: Router[str], request: Mapping[str, Any], *, plus_is_space: bool
) -> tuple[str | None, dict[str, str]]:
    # A query may stand in the path, and be no part of what is compared there.
    path = request["path"].partition("?")[0]
    try:
        match = router.match(request.get("method", "GET"), path)
    except PathUndecodable:
        match = None
    if match is None:
        return None, {}
    return match.target, values_of(match) | dict(
        query_pairs(request.get("query", ""), plus_is_space=plus_is_space)
    )


def _single(content: Mapping[str, Any]) -> bool:
    return {"template", "path", "matches"} <= first_keys(content)


def _single_cases(vector: Vector) -> Iterator[Case]:
    """Match each path against its one template."""
    return each(vector, lambda case: tuple(_single_faults(case)))


def _single_faults(case: Mapping[str, Any]) -> Iterator[str]:
    router: Router[str] = Router(UNESCAPING[case.get("unescaping_mode") or "UnescapingModeLegacy"])
    router.add("GET", parse_template(case["template"]), "it")
    try:
        match = router.match("GET", case["path"])
    except PathUndecodable:
        match = None
    yield from differing(case["matches"], match is not None)
    if match is not None and case.get("bindings") is not None:
        yield from differing(case["bindings"], values_of(match))


PATH_MATCH = Format("path match", _routed, _routed_cases, frozenset({"path_match"}))
"""Tables of routes and request lines."""
PATH_MATCH_GATEWAY = Format(
    "path match by template", _single, _single_cases, frozenset({"path_match_gateway"})
)
"""One template, one path."""
