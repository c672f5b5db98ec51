"""JSON text to Python values, strictly: UTF-8 only, no duplicate keys, no NaN, a bounded depth.

A quick parser reads what it provably reads like the strict one; the rest and every fault are that one's.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from gateway.http.scalars import JsonFault, printable

MAX_DEPTH: Final = 100
MAX_VALUES: Final = 1_000_000
"""Most values in one text, counted by what each costs in memory: an object counts as 8, a list as 3, a text
as 2, each with the comma before it."""
MALFORMED: Final = "MALFORMED_JSON"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonFault(f"the key {printable(twice)} is given twice", "DUPLICATE_FIELD")
    return members


def _constant(name: str) -> Any:
    raise JsonFault(f"{name} is not JSON; write it as the text {name!r}", MALFORMED)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
_WITH_NAN: Final = json.JSONDecoder(object_pairs_hook=_pairs)


# Every digit as a zero, all else but points as a space: a long run of zeros behind a space is a whole number
# that the quick parser might round. Digits behind a point may be as many as they like.
_DIGITS: Final = bytes(48 if 48 <= byte <= 57 else 46 if byte == 46 else 32 for byte in range(256))
_LONG: Final = b" " + b"0" * 19
_CONTAINERS: Final = frozenset((dict, list))
# Before a colon, blanks are rare: without them each member has one ``":``, and colons in texts do not count.
_SPACED_COLONS: Final = (b" :", b"\n:", b"\t:", b"\r:")


def load(body: bytes, *, nan_allowed: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        body: The text.
        nan_allowed: Take NaN and Infinity as numbers, as JSON writers of Python send them.

    Raises:
        JsonFault: With reason MALFORMED_JSON or DUPLICATE_FIELD.
    """
    _check_width(body)
    if _LONG not in b" " + body.translate(_DIGITS):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        else:
            if _no_key_twice(body, _members(value)):
                return _bounded(value, body.count(b"{") + body.count(b"["))
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonFault(f"the body is not UTF-8 at byte {error.start}", MALFORMED) from None
    return load_text(text, _WITH_NAN if nan_allowed else _DECODER)


def load_text(text: str, decoder: json.JSONDecoder = _DECODER) -> Any:
    """The value of a JSON text that is decoded already; raises like ``load``."""
    if text.startswith("\ufeff"):
        raise JsonFault("the body begins with a byte order mark", MALFORMED)
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise JsonFault(f"the body is not JSON at {where}", MALFORMED) from None
    except RecursionError:
        raise JsonFault(f"the body is nested deeper than {MAX_DEPTH} levels", MALFORMED) from None
    except ValueError:
        raise JsonFault("a number of the body has too many digits", MALFORMED) from None
    return _bounded(value, text.count("{") + text.count("["))


def _check_width(body: bytes) -> None:
    """Refuse a text of so many values that they would fill the memory, before any of them is made.

    Marks inside texts count too: to leave them out would take longer than the parse.
    """
    if len(body) <= MAX_VALUES // 8:
        return
    marks = body.count(b",") + body.count(b'"') // 2 + 2 * body.count(b"[") + 7 * body.count(b"{")
    if marks > MAX_VALUES:
        raise JsonFault(f"the body holds more than {MAX_VALUES} values; send it in parts", MALFORMED)


def _no_key_twice(body: bytes, members: int) -> bool:
    """Whether the text provably has as many members as the parser kept; False when that is not clear.

    Each member has its colon, so as many colons as members means that none was dropped. The same holds for
    ``":`` where no blank stands before a colon.
    """
    if body.count(b":") == members:
        return True
    return body.count(b'":') == members and not any(mark in body for mark in _SPACED_COLONS)


def _bounded(value: Any, containers: int) -> Any:
    if containers > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise JsonFault(f"the body is nested deeper than {MAX_DEPTH} levels", MALFORMED)
    return value


def _members(value: Any) -> int:
    """Members of all objects inside a value."""
    total, left = 0, [value]
    while left:
        container = left.pop()
        if type(container) is dict:
            total += len(container)
            inner: Any = container.values()
        else:
            inner = container if type(container) is list else ()
        # A look at all types in C spares long lists of numbers the look at each.
        if not _CONTAINERS.isdisjoint(map(type, inner)):
            left += [item for item in inner if type(item) is dict or type(item) is list]
    return total


def _deeper_than(value: Any, limit: int) -> bool:
    """Whether lists and objects are nested deeper than ``limit``, level by level, without recursion."""
    level = [value] if type(value) in {dict, list} else []
    for _ in range(limit):
        inner: list[Any] = []
        for container in level:
            members = container.values() if type(container) is dict else container
            if not _CONTAINERS.isdisjoint(map(type, members)):
                inner += [member for member in members if type(member) is dict or type(member) is list]
        if not inner:
            return False
        level = inner
    return True
