"""The HTTP request of a call: verb, path, query and body after ``google.api.http``.

For programs that reach the service over HTTP only. It is the inverse of what the gateway does: the request it
gives binds back to the same fields.

Source: google/api/http.proto, rules of transcoding; RFC 3986 for paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import betterproto2

from cohortlens.client._generated.google.api import HttpBody
from cohortlens.client._generated.google.protobuf import FieldMask
from cohortlens.client._generated.methods import METHODS
from cohortlens.client.methods import Binding

# In a value of several segments the server keeps the escapes of RFC 6570's reserved characters. So those that
# a path may hold go as they are, and the others cannot be sent.
_KEPT = "!$&'()*+,;=:@"
_UNSENDABLE = re.compile(r"[#?\[\]]")
_PIECE = re.compile(r"\{([^{}=]+)(?:=([^{}]*))?\}")
_DOTS = frozenset({".", ".."})


class NoBindingApplies(ValueError):
    """No route of a method can carry the fields; the message says why for each of them."""


@dataclass(frozen=True)
class HttpRequest:
    """A request over HTTP.

    Attributes:
        verb: HTTP method.
        path: Path, percent-encoded.
        query: Parameters in order, not encoded.
        body: What to send: bytes as they are, anything else as JSON; None to send no body.
        content_type: Media type of the body.
    """

    verb: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any = None
    content_type: str = "application/json"

    @property
    def target(self) -> str:
        """Path and query as on the request line."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path


class _Unfit(Exception):
    """A binding cannot carry the fields; the message says why."""


def request_of(method: str, message: betterproto2.Message) -> HttpRequest:
    """The HTTP request of a call of the API, for methods whose requests are no stream.

    Args:
        method: Service and method, such as ``AnalyticsService.Predict``.
        message: The request.

    Raises:
        KeyError: No such method.
        NoBindingApplies: A field of its path is empty or has characters that a path cannot carry.
    """
    defaults = message.to_dict(casing=betterproto2.Casing.SNAKE, include_default_values=True)
    request = expand(METHODS[method].bindings, _json(message), defaults)
    if isinstance(request.body, HttpBody):
        return replace(request, body=request.body.data, content_type=request.body.content_type)
    return request


def expand(
    bindings: Iterable[Binding], found: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> HttpRequest:
    """The request of the first binding that applies.

    Args:
        bindings: Tried in order.
        found: Fields that are set, as proto JSON, under proto or JSON names.
        defaults: Values of the fields that are not set, for variables of the path; none when None.

    Raises:
        NoBindingApplies: None of them does.
    """
    faults = []
    for binding in bindings:
        try:
            return _expanded(binding, found, defaults or {})
        except _Unfit as error:
            faults.append(f"{binding.verb} {binding.template}: {error}")
    raise NoBindingApplies("no binding applies" + "".join(f"; {fault}" for fault in faults))


def _expanded(binding: Binding, found: Mapping[str, Any], defaults: Mapping[str, Any]) -> HttpRequest:
    rest: dict[str, Any] = _copied(found)
    parts, last = [], 0
    for piece in _variables(binding.template):
        name, pattern = piece[1].split("."), piece[2] or "*"
        value = _taken(rest, name)
        if value is None:
            value = _taken(_copied(defaults), name)
        parts += [binding.template[last : piece.start()], _path_value(piece[1], pattern, value)]
        last = piece.end()
    path = "".join([*parts, binding.template[last:]])
    if binding.body == "*":
        return HttpRequest(binding.verb, path, (), rest)
    body = None if binding.body is None else _taken(rest, [binding.body])
    return HttpRequest(binding.verb, path, tuple(_parameters(rest, "")), body)


@lru_cache(maxsize=512)
def _variables(template: str) -> tuple[re.Match[str], ...]:
    return tuple(_PIECE.finditer(template))


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    return value


def _taken(fields_: dict[str, Any], name: list[str]) -> Any:
    """Take the value at a path of proto names out of ``fields_``; None when there is none."""
    key = next((key for key in (name[0], _camel(name[0])) if key in fields_), None)
    if key is None:
        return None
    if len(name) == 1:
        return fields_.pop(key)
    below = fields_[key]
    if not isinstance(below, dict):
        return None
    value = _taken(below, name[1:])
    if not below:
        del fields_[key]
    return value


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _path_value(name: str, pattern: str, value: Any) -> str:
    if value is None or isinstance(value, Mapping | list):
        raise _Unfit(f"{name} has no value that a path can carry")
    text = _text(value)
    if pattern == "*":
        if not text or text in _DOTS:
            raise _Unfit(f"{name} is {text!r}, which is no segment of a path")
        return quote(text, safe="")
    segments = text.split("/")
    if not _fits(pattern.split("/"), segments):
        raise _Unfit(f"{name} does not have the form {pattern}")
    if _UNSENDABLE.search(text) or _DOTS & {*segments}:
        raise _Unfit(f"{name} has segments that a path cannot carry")
    return quote(text, safe=f"/{_KEPT}")


def _fits(pattern: list[str], segments: list[str]) -> bool:
    """Whether segments have the form of a variable's pattern, ``**`` taking any number of them."""
    if not all(segments):
        return False
    if "**" in pattern:
        at = pattern.index("**")
        missing = len(segments) - (len(pattern) - 1)
        if missing < 0:
            return False
        pattern = [*pattern[:at], *["*"] * missing, *pattern[at + 1 :]]
    return len(pattern) == len(segments) and all(
        wanted in ("*", one) for wanted, one in zip(pattern, segments, strict=True)
    )


def _parameters(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Query parameters of what is left, in the order of the fields."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _parameters(one, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, Mapping | list):
                raise _Unfit(f"{name} is a list of messages, which a query cannot carry")
            yield name, _text(one)
    elif value is not None:
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _json(message: betterproto2.Message) -> dict[str, Any]:
    """A message as proto JSON under its proto names, which the service takes as well as JSON names.

    betterproto does not know names that a proto gives to JSON, writes a field mask as a message, and a body
    of any kind as text.
    """
    found = message.to_dict(casing=betterproto2.Casing.SNAKE)
    for field in fields(message):  # type: ignore[arg-type] # every message is a dataclass
        value = getattr(message, field.name)
        if isinstance(value, FieldMask):
            paths = (".".join(_camel(part) for part in path.split(".")) for path in value.paths)
            found[field.name] = ",".join(paths)
        elif isinstance(value, HttpBody):
            found[field.name] = value
    return found
