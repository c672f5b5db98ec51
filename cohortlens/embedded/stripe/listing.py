"""Lists: pages by cursor, filters, expanded references, and a part of the search language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cohortlens.embedded.stripe import forms
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, missing
from cohortlens.embedded.stripe.provider import Provider

PARAMS = "limit starting_after ending_before"
"""Parameters of every list, as ``route`` takes them."""
_MOST = 100
_TERM = re.compile(
    r"""\s*(?:(AND)\s+)?([a-z_]+)(?:\[["']([^"']+)["']\])?\s*(:|>=|<=|>|<)\s*(?:["']([^"']*)["']|(\d+|null|true|false))"""
)
Included = Mapping[tuple[str, str], Callable[[Provider, Object], Any]]


def page(found: Iterable[Object], params: Mapping[str, Any], url: str) -> Object:
    """One page of objects that come newest first.

    Raises:
        Refusal: The page asked for does not exist.
    """
    limit = forms.number(params, "limit", 10) or 0
    if not 1 <= limit <= _MOST:
        raise Refusal(f"Invalid integer: limit must be between 1 and {_MOST}", param="limit")
    rows = list(found)
    after, before = forms.text(params, "starting_after"), forms.text(params, "ending_before")
    if after is not None:
        rows = rows[_position(rows, after, "starting_after") + 1 :]
    if before is not None:
        rows = rows[: _position(rows, before, "ending_before")]
        return _list(rows[-limit:], url, has_more=len(rows) > limit)
    return _list(rows[:limit], url, has_more=len(rows) > limit)


def whole(rows: list[Object], url: str) -> Object:
    """A list that stands inside an object, all of it."""
    return _list(rows, url, has_more=False)


def within(params: Mapping[str, Any], name: str, value: int) -> bool:
    """Whether a time fits a filter such as ``created[gte]``, or the plain ``created``."""
    given = params.get(name)
    if given is None or given == "":
        return True
    if not isinstance(given, dict):
        return forms.number(params, name) == value
    tests: dict[str, Callable[[int, int], bool]] = {
        "gt": lambda a, b: a > b,
        "gte": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "lte": lambda a, b: a <= b,
    }
    if unknown := given.keys() - tests.keys():
        raise Refusal(f"Received unknown parameter: {name}[{min(unknown)}]", param=name)
    return all(tests[key](value, forms.number(given, key, 0) or 0) for key in given)


def search(rows: Iterable[Object], params: Mapping[str, Any], url: str) -> Object:
    """The objects that a query finds: terms of fields and metadata, all of which must hold."""
    query, place = forms.needed(params, "query"), 0
    tests: list[Any] = []
    while place < len(query.rstrip()):
        term = _TERM.match(query, place)
        if term is None or bool(term[1]) != bool(tests):
            raise Refusal(f"Invalid search query: {query}", param="query")
        tests.append(term.groups()[1:])
        place = term.end()
    found = [row for row in rows if all(_holds(row, *test) for test in tests)]
    limit = min(forms.number(params, "limit", 10) or 10, _MOST)
    start = forms.number(params, "page", 0) or 0
    has_more = len(found) > start + limit
    return {
        "object": "search_result",
        "data": found[start : start + limit],
        "has_more": has_more,
        "next_page": str(start + limit) if has_more else None,
        "url": url,
    }


def expand(provider: Provider, thing: Object, paths: Iterable[str], included: Included) -> Object:
    """Put objects in place of references.

    Args:
        provider: The provider.
        thing: The answer; changed.
        paths: Such as ``data.items.data.price.product``.
        included: Makers of what an object shows only when asked, by kind and field.

    Raises:
        Refusal: A path leads nowhere.
    """
    for path in paths:
        if path.count(".") > 7:
            raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
        _expand(provider, thing, path.split("."), path, included)
    return thing


def _expand(provider: Provider, node: Any, parts: list[str], path: str, included: Included) -> None:
    if isinstance(node, list):
        for one in node:
            _expand(provider, one, parts, path, included)
        return
    if not isinstance(node, dict) or not parts:
        return
    name, rest = parts[0], parts[1:]
    maker = included.get((str(node.get("object")), name))
    if maker is not None and not isinstance(node.get(name), dict):
        node[name] = maker(provider, node)
    elif name not in node:
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
    elif isinstance(node[name], str):
        found = provider.store.any(node[name])
        if found is None:
            raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
        node[name] = found
    if rest:
        _expand(provider, node[name], rest, path, included)


def _position(rows: list[Object], identifier: str, param: str) -> int:
    for place, row in enumerate(rows):
        if row["id"] == identifier:
            return place
    raise missing("object", identifier, param)


def _list(rows: list[Object], url: str, *, has_more: bool) -> Object:
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}


def _holds(row: Object, name: str, key: str | None, sign: str, quoted: str | None, bare: str | None) -> bool:
    found = (row.get(name) or {}).get(key) if key else row.get(name)
    wanted = bare if quoted is None else quoted
    if sign == ":":
        return found is None if bare == "null" else str(found).lower() == str(wanted).lower()
    try:
        left, right = int(str(found)), int(str(wanted))
    except ValueError:
        return False
    return {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[sign]
