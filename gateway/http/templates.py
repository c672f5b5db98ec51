"""Path templates of ``google.api.http`` rules: grammar, decoding of values, the trie that finds a route.

A literal wins over ``*``, ``*`` over ``**``. A node of the trie is visited at most once for a reading of a
path, ``**`` is followed by literals only, and no more of the last segment is read for a verb than the longest
verb has, so a match is linear in the length of the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

TargetT = TypeVar("TargetT")
# A rule of this method (``custom: {kind: "*"}``) answers every method that has no rule of the same shape.
ANY_METHOD: Final = "*"
_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")

_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
# RFC 3986 pchar; the colon is allowed because only the last segment's colon starts a verb.
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=@]|%[0-9A-Fa-f]{2})+")
_LITERAL_COLON = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=@:]|%[0-9A-Fa-f]{2})+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RESERVED_ESCAPE = re.compile(r"%(?=2[1346789ABCFabcf]|3[ABDFabdf]|40|5[BDbd])")
_SLASH_ESCAPE = re.compile(r"%(?=2[Ff])")


class TemplateInvalid(Exception):
    """A path template or a route that must not be registered; the message says why."""


class PathUndecodable(Exception):
    """A path value with a broken escape or bytes that are not UTF-8."""


class Unescaping(Enum):
    """Which escapes a value of several segments loses."""

    EXCEPT_RESERVED = "AllCharactersExceptReserved"
    EXCEPT_SLASH = "AllCharactersExceptSlash"
    ALL = "AllCharacters"
    NONE = "Legacy"


@dataclass(frozen=True)
class Variable:
    """A variable of a template.

    Attributes:
        field_path: Proto names from the request message to the field.
        start: First segment it takes.
        end: Segment after its last one; counted from the end of the path (-1 = the end) after a ``**``.
        multi: Whether it may take several segments, which decides how it is decoded.
        double: Whether it holds a ``**``.
    """

    field_path: tuple[str, ...]
    start: int
    end: int
    multi: bool
    double: bool


@dataclass(frozen=True)
class Template:
    """A parsed path template.

    Attributes:
        text: As written in the rule.
        segments: Literals, ``*`` and ``**``.
        verb: Custom verb without its colon; empty for none.
        variables: In the order of the path.
    """

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]


@dataclass(frozen=True)
class Match(Generic[TargetT]):
    """A route found, with the decoded value of each of its variables, in their order."""

    target: TargetT
    template: Template
    values: tuple[str, ...]


def parse_template(text: str) -> Template:
    """Parse a path template.

    Raises:
        TemplateInvalid: The text breaks the grammar.
    """
    if not text.startswith("/"):
        raise TemplateInvalid(f"{text!r}: a template starts with a slash")
    if text == "/":
        return Template(text, (), "", ())
    parser = _Parser(text)
    parser.run()
    return Template(text, tuple(parser.segments), parser.verb, parser.variables())


class _Parser:
    """One pass over a template's text."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 1
        self.segments: list[str] = []
        self.spans: list[tuple[str, int, int]] = []
        self.verb = ""

    def fail(self, why: str) -> TemplateInvalid:
        return TemplateInvalid(f"{self.text!r}: {why}")

    def run(self) -> None:
        while True:
            if self.text[self.position : self.position + 1] == "{":
                self._variable()
            else:
                self._plain()
            if self.position == len(self.text):
                return
            mark = self.text[self.position]
            self.position += 1
            if mark == ":":
                self.verb = self._checked(self.text[self.position :], _LITERAL_COLON, "verb")
                return
            if mark != "/":
                raise self.fail("a variable ends at a slash, a verb or the end")

    def _plain(self) -> None:
        end = self.text.find("/", self.position)
        piece = self.text[self.position : len(self.text) if end < 0 else end]
        if end < 0 and ":" in piece:
            piece = piece[: piece.index(":")]
        self._segment(piece, _LITERAL if end < 0 else _LITERAL_COLON)
        self.position += len(piece)

    def _segment(self, piece: str, form: re.Pattern[str]) -> None:
        if piece in {"*", "**"}:
            if "**" in self.segments:
                raise self.fail("nothing but literals may follow **")
        else:
            self._checked(piece, form, "segment")
        self.segments.append(piece)

    def _checked(self, piece: str, form: re.Pattern[str], what: str) -> str:
        if not form.fullmatch(piece) or "*" in piece:
            raise self.fail(f"{piece!r} is no {what}")
        return piece

    def _variable(self) -> None:
        end = self.text.find("}", self.position)
        if end < 0:
            raise self.fail("a variable is not closed")
        name, equals, pattern = self.text[self.position + 1 : end].partition("=")
        if not _FIELD_PATH.fullmatch(name):
            raise self.fail(f"{name!r} is no field path")
        if name in {span[0] for span in self.spans}:
            raise self.fail(f"the variable {name} is bound twice")
        start = len(self.segments)
        for piece in (pattern if equals else "*").split("/"):
            self._segment(piece, _LITERAL)
        self.spans.append((name, start, len(self.segments)))
        self.position = end + 1

    def variables(self) -> tuple[Variable, ...]:
        double = self.segments.index("**") if "**" in self.segments else None
        count = len(self.segments)
        found = []
        for name, start, end in self.spans:
            holds = double is not None and start <= double < end
            after = double is not None and end > double
            begin = start - count - 1 if double is not None and start > double else start
            found.append(
                Variable(
                    tuple(name.split(".")),
                    begin,
                    end - count - 1 if after else end,
                    holds or end - start > 1,
                    holds,
                )
            )
        return tuple(found)


def unescape(text: str, mode: Unescaping = Unescaping.ALL) -> str:
    """Decode the percent escapes of ``text`` once.

    Raises:
        PathUndecodable: A broken escape, or bytes that are not UTF-8.
    """
    if "%" not in text or mode is Unescaping.NONE:
        return text
    if _BAD_ESCAPE.search(text):
        raise PathUndecodable
    if mode is Unescaping.EXCEPT_RESERVED:
        text = _RESERVED_ESCAPE.sub("%25", text)
    elif mode is Unescaping.EXCEPT_SLASH:
        text = _SLASH_ESCAPE.sub("%25", text)
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise PathUndecodable from None


# Routes that end at one place of the trie, by HTTP method and custom verb.
_Ends = dict[tuple[str, str], tuple[Template, TargetT]]


@dataclass
class _Node(Generic[TargetT]):
    """A position in the trie: what may follow, and the routes that end here."""

    literals: dict[str, _Node[TargetT]] = field(default_factory=dict)
    star: _Node[TargetT] | None = None
    ends: _Ends[TargetT] = field(default_factory=dict)
    # Literals after ``**`` -> routes, longest first.
    tails: dict[tuple[str, ...], _Ends[TargetT]] = field(default_factory=dict)


class Router(Generic[TargetT]):
    """Finds the route of a request line.

    Args:
        unescaping: How values of several segments are decoded.
        any_verb: Whether a colon in the last segment always starts a verb, registered or not.
    """

    def __init__(
        self, unescaping: Unescaping = Unescaping.EXCEPT_RESERVED, *, any_verb: bool = False
    ) -> None:
        self._root: _Node[TargetT] = _Node()
        self._literal: dict[tuple[str, str], Match[TargetT]] = {}
        self._methods: set[str] = set()
        self._verbs: set[str] = set()
        self._longest_verb = 0
        self._unescaping = unescaping
        self._any_verb = any_verb

    def add(self, method: str, template: Template, target: TargetT) -> None:
        """Register a route.

        Args:
            method: HTTP method, or ``ANY_METHOD``.
            template: Its path.
            target: What a match gives.

        Raises:
            TemplateInvalid: A route of the same method and shape is there.
        """
        ends = self._ends(template.segments)
        if (method, template.verb) in ends:
            other = ends[method, template.verb][0].text
            raise TemplateInvalid(f"{method} {template.text!r} has the shape of {other!r}")
        ends[method, template.verb] = (template, target)
        self._methods.add(method)
        if template.verb:
            self._verbs.add(template.verb)
            self._longest_verb = max(self._longest_verb, len(template.verb))
        elif not template.variables and not {"*", "**"} & set(template.segments):
            self._literal[method, f"/{'/'.join(template.segments)}"] = Match(target, template, ())

    def _ends(self, segments: tuple[str, ...]) -> _Ends[TargetT]:
        """Where the routes with these segments end; made when there are none."""
        node = self._root
        for index, segment in enumerate(segments):
            if segment == "**":
                tail = segments[index + 1 :]
                node.tails.setdefault(tail, {})
                node.tails = dict(sorted(node.tails.items(), key=lambda item: -len(item[0])))
                return node.tails[tail]
            if segment == "*":
                node.star = node.star or _Node()
                node = node.star
            else:
                node = node.literals.setdefault(segment, _Node())
        return node.ends

    def match(self, method: str, path: str) -> Match[TargetT] | None:
        """The route of ``method`` and ``path`` (raw, as on the request line, without query); None for none.

        Raises:
            PathUndecodable: The route exists, a value of it cannot be decoded.
        """
        # A path that is a template as it stands: literals come before all else, so it is the one.
        literal = self._literal.get((method, path))
        if literal is not None and ":" not in path:
            return literal
        if not path.startswith("/"):
            return None
        segments = path[1:].split("/") if path != "/" else []
        for last, verb in self._readings(segments[-1] if segments else ""):
            parts = [*segments[:-1], last] if segments else segments
            found = _find(self._root, parts, 0, (method, verb))
            if found is not None:
                template, target = found
                return Match(target, template, self._values(template, parts))
        return None

    def methods(self, path: str) -> list[str]:
        """HTTP methods for which ``path`` has a route, sorted."""
        known = self._methods - {ANY_METHOD}
        if ANY_METHOD in self._methods:
            known |= {*_METHODS}
        return [method for method in sorted(known) if self._has(method, path)]

    def _has(self, method: str, path: str) -> bool:
        try:
            return self.match(method, path) is not None
        except PathUndecodable:
            return True

    def _readings(self, last: str) -> Iterator[tuple[str, str]]:
        """Ways to read the last segment: as value and verb, longest verb first, then as a value alone."""
        at = last.find(":", max(0, len(last) - self._longest_verb - 1))
        while at >= 0:
            if last[at + 1 :] in self._verbs:
                yield last[:at], last[at + 1 :]
            at = last.find(":", at + 1)
        if not (self._any_verb and ":" in last):
            yield last, ""

    def _values(self, template: Template, segments: list[str]) -> tuple[str, ...]:
        values = []
        for variable in template.variables:
            count = len(segments)
            start = variable.start if variable.start >= 0 else count + 1 + variable.start
            end = variable.end if variable.end >= 0 else count + 1 + variable.end
            mode = self._unescaping if variable.multi else Unescaping.ALL
            values.append(unescape("/".join(segments[start:end]), mode))
        return tuple(values)


def _find(
    node: _Node[TargetT], segments: list[str], index: int, wanted: tuple[str, str]
) -> tuple[Template, TargetT] | None:
    found = None
    if index == len(segments):
        found = _ending(node.ends, wanted)
    else:
        segment = segments[index]
        child = node.literals.get(segment)
        if child is not None:
            found = _find(child, segments, index + 1, wanted)
        if found is None and node.star is not None and segment:
            found = _find(node.star, segments, index + 1, wanted)
    return found or (_find_tail(node, segments, index, wanted) if node.tails else None)


def _find_tail(
    node: _Node[TargetT], segments: list[str], index: int, wanted: tuple[str, str]
) -> tuple[Template, TargetT] | None:
    for tail, ends in node.tails.items():
        begin = len(segments) - len(tail)
        if begin >= index and tuple(segments[begin:]) == tail:
            found = _ending(ends, wanted)
            if found is not None:
                return found
    return None


def _ending(ends: _Ends[TargetT], wanted: tuple[str, str]) -> tuple[Template, TargetT] | None:
    return ends.get(wanted) or ends.get((ANY_METHOD, wanted[1]))
