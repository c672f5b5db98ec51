"""Reads JSON that strangers send: bounded, without duplicate members, and nothing that two readers see apart.

A duplicate member is the oldest way to show one value to the verifier and another to whoever reads next
(RFC 8259 section 4 leaves the choice to the reader), so one is refused here. Integers beyond 2^53 and numbers
that overflow are refused too: RFC 8785 knows only what a double holds (section 3.2.2.3, I-JSON of RFC 7493).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sidecars.web3.credentials.refusals import RefusedError

MAX_CREDENTIAL_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_VALUES = 2_000
_MAX_INTEGER = 2**53 - 1
_MAX_DIGITS = 17

JsonObject = dict[str, Any]


class _UnreadableError(ValueError):
    """The text is JSON to some readers only."""


def read_object(
    text: bytes, *, max_bytes: int = MAX_CREDENTIAL_BYTES, max_values: int = MAX_VALUES
) -> JsonObject:
    """Read one JSON object.

    Args:
        text: UTF-8 as received.
        max_bytes: Longest text that is looked at.
        max_values: Most values, counting objects, arrays and everything in them.

    Raises:
        RefusedError: VC_TOO_LARGE, or VC_MALFORMED with the first fault.
    """
    if len(text) > max_bytes:
        raise RefusedError("VC_TOO_LARGE", f"It has {len(text)} bytes; at most {max_bytes} are read.")
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    except RecursionError:
        raise _malformed(f"it nests deeper than {MAX_DEPTH} levels") from None
    except _UnreadableError as fault:
        raise _malformed(str(fault)) from None
    except ValueError:
        raise _malformed("it is not JSON") from None
    if not isinstance(value, dict):
        raise _malformed("it is not a JSON object")
    _bounded(value, max_values)
    return value


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _UnreadableError("an object has the same member twice")
    return made


def _constant(name: str) -> float:
    raise _UnreadableError(f"{name} is no JSON number")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or abs(int(digits)) > _MAX_INTEGER:
        raise _UnreadableError("an integer is beyond 2^53, which not every reader keeps exactly")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _UnreadableError("a number is too large for a double")
    return value


def _bounded(root: JsonObject, max_values: int) -> None:
    """Refuse what nests too deep, holds too much, or has text that is not Unicode."""
    count, level, values = 0, 0, [root]
    while values:
        count, level = count + len(values), level + 1
        if level > MAX_DEPTH:
            raise _malformed(f"it nests deeper than {MAX_DEPTH} levels")
        if count > max_values:
            raise _malformed(f"it holds more than {max_values} values")
        inner: list[Any] = []
        for value in values:
            inner.extend(_within(value))
        values = inner


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, str):
        _unicode(value)
    elif isinstance(value, dict):
        for name in value:
            _unicode(name)
        return value.values()
    elif isinstance(value, list):
        return value
    return ()


def _unicode(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("a text holds half of a surrogate pair") from None


def _malformed(fault: str) -> RefusedError:
    return RefusedError("VC_MALFORMED", f"It cannot be read: {fault}.")
