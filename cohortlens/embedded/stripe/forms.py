"""Parameters of a request: nested names such as ``items[0][price]`` become trees, and are read by kind."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from cohortlens.embedded.stripe.faults import Refusal, required

Tree = dict[str, Any]
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_MOST_DEEP = 8
_FLAGS = {"true": True, "false": False}


def decoded(text: str) -> Tree:
    """The tree of a form or of a query.

    Raises:
        Refusal: A name is not well formed.
    """
    root: Tree = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=2000):
        found = _NAME.fullmatch(name)
        if found is None:
            raise Refusal(f"Invalid parameter name: {name[:80]}")
        path = [found[1], *_PART.findall(found[2])]
        if len(path) > _MOST_DEEP:
            raise Refusal(f"Invalid parameter name: {name[:80]}")
        _put(root, path, value)
    return {name: _plain(value) for name, value in root.items()}


def check_known(params: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse what a route does not act upon, rather than pretend.

    Raises:
        Refusal: ``parameter_unknown``.
    """
    for name in params:
        if name not in known and name != "expand":
            raise Refusal(
                f"Received unknown parameter: {name} (this local stand-in does not act on it)",
                param=name,
                code="parameter_unknown",
            )


def text(params: Mapping[str, Any], name: str, default: str | None = None) -> str | None:
    """A text; empty means none, as in Stripe's API."""
    value = params.get(name, default)
    if isinstance(value, (dict, list)):
        raise Refusal(f"Invalid string: {name}", param=name)
    return value or None


def needed(params: Mapping[str, Any], name: str) -> str:
    """A text that must be there."""
    value = text(params, name)
    if value is None:
        raise required(name)
    return value


def number(params: Mapping[str, Any], name: str, default: int | None = None) -> int | None:
    """A whole number."""
    value = params.get(name)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Refusal(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer") from None


def flag(params: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """A truth value."""
    value = params.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    if value not in _FLAGS:
        raise Refusal(f"Invalid boolean: {value}", param=name)
    return _FLAGS[value]


def choice(params: Mapping[str, Any], name: str, allowed: Collection[str], default: str) -> str:
    """One of a few words."""
    value = text(params, name, default) or default
    if value not in allowed:
        raise Refusal(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
    return value


def tree(params: Mapping[str, Any], name: str) -> Tree:
    """A nested tree; empty when absent."""
    value = params.get(name) or {}
    if not isinstance(value, dict):
        raise Refusal(f"Invalid hash: {name}", param=name)
    return value


def rows(params: Mapping[str, Any], name: str) -> list[Any]:
    """A list; empty when absent."""
    value = params.get(name) or []
    if not isinstance(value, list):
        raise Refusal(f"Invalid array: {name}", param=name)
    return value


def metadata(params: Mapping[str, Any], before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Metadata after a change: an empty value drops its key, an empty ``metadata`` drops all."""
    given = params.get("metadata")
    if given == "":
        return {}
    merged = dict(before or {}) | {key: str(value) for key, value in tree(params, "metadata").items()}
    return {key: value for key, value in merged.items() if value != ""}


def _put(node: Tree, path: list[str], value: str) -> None:
    for part in path[:-1]:
        below = node.setdefault(part or str(len(node)), {})
        if not isinstance(below, dict):
            raise Refusal(f"Invalid parameter: {path[0]}", param=path[0])
        node = below
    node[path[-1] or str(len(node))] = value


def _plain(value: Any) -> Any:
    """Trees whose names are 0, 1, 2 ... are lists."""
    if not isinstance(value, dict):
        return value
    made = {name: _plain(one) for name, one in value.items()}
    if made and all(name.isdigit() for name in made):
        return [made[name] for name in sorted(made, key=int)]
    return made
