"""Random tables of templates and paths against regular expressions; what a match costs; rules of any method."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.http.templates import ANY_METHOD, Router, TemplateInvalid, parse_template

LITERALS = ("a", "b", "a:x", "%2F")
VERBS = ("v", "w", "v:w")
VALUES = (*LITERALS, "", ".", "..", "a%20b", "%2f%C3%A9", "x+y", "v", "a:v", "a:w:v", "b:v:w", "a%3Av", ":v")
RESERVED = "!#$&'()*+,/:;=?@[]"


@st.composite
def _segments(draw):
    """Segments with at most one ``**``, which only literals follow."""
    plain = st.sampled_from((*LITERALS, "*", "*"))
    head = draw(st.lists(plain, max_size=4))
    tail = draw(st.lists(st.sampled_from(LITERALS), max_size=2)) if draw(st.booleans()) else None
    return head if tail is None else [*head, "**", *tail]


@st.composite
def templates(draw):
    """(text, variable spans, segments, verb) of a template that the grammar allows."""
    segments = draw(_segments().filter(bool))
    verb = draw(st.sampled_from(("", "", *VERBS)))
    cuts = sorted(draw(st.sets(st.integers(0, len(segments)), max_size=4)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    # Inside of a variable, and as the last segment before a verb, a colon is no literal.
    inside = {index for start, end in spans for index in range(start, end)}
    segments = [
        "c" if ":" in one and (at in inside or at == len(segments) - 1) else one
        for at, one in enumerate(segments)
    ]
    starts = {start: (f"{{f{start}={'/'.join(segments[start:end])}}}", end) for start, end in spans}
    parts, at = [], 0
    while at < len(segments):
        text, at = starts.get(at, (segments[at], at + 1))
        parts.append(text)
    return f"/{'/'.join(parts)}{':' + verb if verb else ''}", tuple(spans), tuple(segments), verb


def _expression(segments, spans):
    """A regular expression of whole paths without verb, with a group for each variable."""
    text, at, ends = "", 0, dict(spans)
    while at < len(segments):
        end = ends.get(at, at + 1)
        text += _part(segments[at:end], f"f{at}" if at in ends else None)
        at = end
    return re.compile(text, re.DOTALL)


def _part(segments, name):
    opened = f"(?P<{name}>" if name else "(?:"
    if segments == ("**",):
        return f"(?:/{opened}.*))?"
    pieces = [{"*": "[^/]+", "**": "**"}.get(one, re.escape(one)) for one in segments]
    first = f"/{opened}(?:.*/)?{pieces[1]}" if pieces[0] == "**" else f"/{opened}{pieces[0]}"
    rest = pieces[2:] if pieces[0] == "**" else pieces[1:]
    return first + "".join("(?:/.*)?" if one == "**" else f"/{one}" for one in rest) + ")"


def _decoded(text, *, multi):
    found = bytearray()
    pieces = re.split(r"(%[0-9A-Fa-f]{2})", text)
    for piece in pieces:
        is_escape = len(piece) == 3 and piece[0] == "%"
        byte = int(piece[1:], 16) if is_escape else 0
        keeps = not is_escape or (multi and chr(byte) in RESERVED)
        found += piece.encode() if keeps else bytes([byte])
    return found.decode()


def _rank(segments):
    """Literals before ``*`` before ``**``, from the left; among ``**`` the longest tail."""
    kinds = []
    for at, one in enumerate(segments):
        if one == "**":
            return [*kinds, (2, at - len(segments))]
        kinds.append((1, 0) if one == "*" else (0, 0))
    return [*kinds, (-1, 0)]


def _oracle(table, path):
    """Place and values of the route of a path, by trying the expression of every one."""
    head, slash, last = path.rpartition("/")
    verbs = sorted({verb for _, _, _, verb in table if verb}, key=len, reverse=True)
    readings = [(last.removesuffix(f":{verb}"), verb) for verb in verbs if last.endswith(f":{verb}")]
    for value, wanted in [*readings, (last, "")]:
        text = "" if path == "/" else f"{head}{slash}{value}"
        found = []
        for place, (_, spans, segments, verb) in enumerate(table):
            match = _expression(segments, spans).fullmatch(text) if verb == wanted else None
            if match is not None:
                found.append((_rank(segments), place, match))
        if found:
            _, place, match = min(found, key=lambda one: one[:2])
            _, spans, segments, _ = table[place]
            multi = {start: end - start > 1 or "**" in segments[start:end] for start, end in spans}
            return place, tuple(
                _decoded(match[f"f{start}"] or "", multi=multi[start]) for start, _ in sorted(spans)
            )
    return None


@settings(max_examples=150, deadline=None)
@given(
    table=st.lists(templates(), min_size=1, max_size=5),
    paths=st.lists(st.lists(st.sampled_from(VALUES), max_size=6), min_size=1, max_size=6),
)
def test_a_table_of_routes_matches_as_regular_expressions_do(table, paths):
    assume(len({(segments, verb) for _, _, segments, verb in table}) == len(table))
    router = Router()
    for place, (text, *_) in enumerate(table):
        router.add("GET", parse_template(text), place)
    for path in [f"/{'/'.join(parts)}" for parts in paths] + [text for text, *_ in table]:
        found = router.match("GET", path)
        assert (None if found is None else (found.target, found.values)) == _oracle(table, path), path


@settings(max_examples=60, deadline=None)
@given(templates())
def test_a_template_is_parsed_to_what_it_was_made_of(made):
    text, spans, segments, verb = made
    template = parse_template(text)
    assert (template.segments, template.verb) == (segments, verb)
    double = segments.index("**") if "**" in segments else len(segments)
    for variable, (start, end) in zip(template.variables, spans, strict=True):
        assert variable.field_path == (f"f{start}",)
        assert variable.start == (start if start <= double else start - len(segments) - 1)
        assert variable.end == (end if end <= double else end - len(segments) - 1)
        assert variable.double == (start <= double < end)


@pytest.mark.parametrize(
    "text",
    [
        "a", "", "//", "/a/", "/a//b", "/{a={b}}", "/a{b}", "/{a}b", "/{a}{b}", "/{a}/{a}", "/a:", "/{a=b:c}",
        "/**/**", "/**/*", "/**/{a}", "/a b", "/%", "/%2", "/%zz", "/{}", "/{1a}", "/{a.}", "/{a", "/{a=}",
        "/a*", "/***", "/é", "/{a=b//c}", "/a?b", "/a#b",
    ],
)  # fmt: skip
def test_a_template_that_breaks_the_grammar_is_refused_with_its_text(text):
    with pytest.raises(TemplateInvalid) as caught:
        parse_template(text)
    assert repr(text) in str(caught.value)


def _steps(action):
    """How many functions of Python and of C an action calls: what it costs, on a machine of any speed."""
    count = 0

    def counting(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counting)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "long",
    [lambda n: "/" * n, lambda n: f"/a/{':' * n}", lambda n: f"/a/{':v' * n}", lambda n: f"/a{'/a' * n}/b"],
    ids=["slashes", "colons", "verbs", "segments"],
)
def test_a_long_path_takes_no_more_steps_than_a_short_one(long):
    router = Router()
    for text in ("/a/**/b", "/{x=**}:v", "/a/*/a/*:v:w", "/*/a/{y=*/a/**}", "/a/{b}", "/*/*/*/*/b"):
        router.add("GET", parse_template(text), text)

    def asked(path):
        return _steps(lambda: (router.match("GET", path), router.methods(path)))

    assert asked(long(64_000)) <= asked(long(100)) + 10


def test_many_wildcards_side_by_side_are_tried_once_each():
    router, depth = Router(), 12
    for text in ("/*" * depth + "/x", "/a" * depth + "/y", "/a" * 6 + "/*" * 6 + "/z"):
        router.add("GET", parse_template(text), text)
    steps = _steps(lambda: router.match("GET", "/a" * depth + "/nowhere"))
    assert steps < 200


def test_a_rule_of_any_method_answers_what_no_rule_of_its_shape_does():
    router = Router()
    router.add(ANY_METHOD, parse_template("/a/{b}"), "any")
    router.add("PUT", parse_template("/a/{b}"), "put")
    router.add("GET", parse_template("/a/{b=**}"), "wide")
    assert [router.match(verb, "/a/x").target for verb in ("PUT", "GET", "LINK")] == ["put", "any", "any"]
    assert router.match("GET", "/a/x/y").target == "wide"
    assert router.match("PUT", "/a/x/y") is None
    assert router.methods("/a/x") == ["DELETE", "GET", "PATCH", "POST", "PUT"]
    assert router.methods("/a/x/y") == ["GET"]
    with pytest.raises(TemplateInvalid, match="has the shape of"):
        router.add(ANY_METHOD, parse_template("/a/{c}"), "again")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a/x:w:v", ("/a/{b}:v", ("x:w",))),
        ("/a/x:v:w", ("/a/{b}:v:w", ("x",))),
        ("/a/x:w:v:w", ("/a/{b}:v:w", ("x:w",))),
        ("/a/x:w", ("/a/{b}", ("x:w",))),
        ("/a/x%3Av", ("/a/{b}", ("x:v",))),
        ("/a/:v", ("/a/{b}", (":v",))),
        ("/a:v", None),
    ],
)
def test_the_longest_registered_verb_is_taken_and_an_unknown_one_is_text(path, found):
    router = Router()
    for text in ("/a/{b}", "/a/{b}:v", "/a/{b}:v:w"):
        router.add("GET", parse_template(text), text)
    match = router.match("GET", path)
    assert (None if match is None else (match.target, match.values)) == found
