"""The filter of ListAuditEvents: a part of AIP-160, turned into SQL with bound values.

``actor = "user:0193..." AND action = "customers.*" AND NOT outcome = OK AND time >= "2026-01-01T00:00:00Z"``.
Values never become part of the statement, and fields are looked up in a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cohortlens.audit.models import COLUMNS, OUTCOMES, FilterInvalid

LENGTH_MAX = 2000
_TERMS_MAX = 50
_DEPTH_MAX = 10
_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign><=|>=|!=|=|<|>|\(|\))|(?P<word>[^\s"()=<>!]+))', re.ASCII
)
_ORDERED = {"time": "created_at", "seq": "seq"}
_FIELDS = (*COLUMNS, *_ORDERED)
_SIGNS = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Condition:
    """A filter as SQL.

    Attributes:
        sql: An expression over the columns of ``audit_log``.
        values: What it binds.
    """

    sql: str = "true"
    values: dict[str, Any] = field(default_factory=dict)


def parse_filter(source: str) -> Condition:
    """Read a filter; an empty one lets every row through.

    Raises:
        FilterInvalid: Names what stands where and what is expected there.
    """
    if not source.strip():
        return Condition()
    if len(source) > LENGTH_MAX:
        raise FilterInvalid(f"is longer than {LENGTH_MAX} characters")
    return _Parser(source).parsed()


class _Parser:
    """Recursive descent. OR binds tighter than AND, as in AIP-160: ``a AND b OR c`` is ``a AND (b OR c)``."""

    def __init__(self, source: str) -> None:
        self._tokens = _tokens(source)
        self._at = 0
        self._values: dict[str, Any] = {}
        self._depth = 0

    def parsed(self) -> Condition:
        sql = self._all()
        if self._at < len(self._tokens):
            raise FilterInvalid(f"{self._seen()} stands where AND, OR or the end is expected")
        return Condition(sql, self._values)

    def _all(self) -> str:
        return self._joined("AND", self._any)

    def _any(self) -> str:
        return self._joined("OR", self._factor)

    def _joined(self, word: str, part: Callable[[], str]) -> str:
        parts = [part()]
        while self._taken(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else f"({f' {word} '.join(parts)})"

    def _factor(self) -> str:
        if self._taken("NOT"):
            return f"(NOT {self._nested(self._factor)})"
        if self._taken("("):
            inner = self._nested(self._all)
            if not self._taken(")"):
                raise FilterInvalid(f"{self._seen()} stands where a closing parenthesis is expected")
            return inner
        return self._comparison()

    def _nested(self, part: Callable[[], str]) -> str:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise FilterInvalid(f"is nested deeper than {_DEPTH_MAX} levels")
        inner = part()
        self._depth -= 1
        return inner

    def _comparison(self) -> str:
        name, sign, value = self._next(), self._next(), self._next()
        if name not in _FIELDS:
            shown = _shown(name)
            raise FilterInvalid(f"{shown} stands where one of {', '.join(_FIELDS)} is expected")
        if sign not in _SIGNS:
            raise FilterInvalid(
                f"{_shown(sign)} after {name} stands where one of {' '.join(_SIGNS)} is expected"
            )
        if value is None or value in _SIGNS or value in "()":
            raise FilterInvalid(f"{_shown(value)} stands where the value of {name} is expected")
        return self._compared(name, sign, _unquoted(value))

    def _compared(self, name: str, sign: str, value: str) -> str:
        if name in _ORDERED:
            return f"{_ORDERED[name]} {sign.replace('!=', '<>')} {self._bound(_ordered(name, value))}"
        if sign not in ("=", "!="):
            raise FilterInvalid(f"{name} is compared by = or != only")
        if name == "outcome" and value not in OUTCOMES:
            raise FilterInvalid(f"outcome is one of {', '.join(OUTCOMES)}, not {_shown(value)}")
        if "*" in value.removesuffix("*"):
            raise FilterInvalid(f'an asterisk may stand at the end of a value only, such as {name} = "a.*"')
        if value.endswith("*"):
            test = f"starts_with({name}, {self._bound(value[:-1])})"
            return test if sign == "=" else f"(NOT {test})"
        return f"{name} {'=' if sign == '=' else '<>'} {self._bound(value)}"

    def _bound(self, value: Any) -> str:
        if len(self._values) >= _TERMS_MAX:
            raise FilterInvalid(f"has more than {_TERMS_MAX} comparisons")
        self._values[f"f{len(self._values)}"] = value
        return f":f{len(self._values) - 1}"

    def _taken(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _next(self) -> str | None:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else None

    def _seen(self) -> str:
        return _shown(self._tokens[self._at] if self._at < len(self._tokens) else None)


def _tokens(source: str) -> list[str]:
    found, at = [], 0
    text = source.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FilterInvalid(f"{_shown(text[at:].strip())} cannot be read; texts stand in double quotes")
        found.append(match[0].strip())
        at = match.end()
    return found


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _ordered(name: str, value: str) -> datetime | int:
    if name == "seq":
        if not re.fullmatch(r"[0-9]{1,18}", value):
            raise FilterInvalid(f"seq is a number, not {_shown(value)}")
        return int(value)
    try:
        read = datetime.fromisoformat(value)
        if read.tzinfo is None:
            raise ValueError
        return read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterInvalid(
            f'time is an RFC 3339 time with its offset, such as "2026-01-31T12:00:00Z", not {_shown(value)}'
        ) from None


def _shown(token: str | None) -> str:
    if token is None:
        return "the end"
    return token if len(token) <= 40 else token[:40] + "..."
