"""The quick parser of JSON never reads what the strict one would read otherwise."""

import json
import random

import pytest

from gateway.http import jsontext
from gateway.http.scalars import JsonFault

TEXTS = [
    b'{"a":1,"a":2}',
    b'{"a":{"b":1,"b":1}}',
    b'[{"a":1},{"a":1,"\\u0061":2}]',
    b'{"a":"x:y"}',
    b'{"a:b":1}',
    b'{"n":123456789012345678901234567890}',
    b'{"n":18446744073709551616}',
    b'{"n":18446744073709551615}',
    b'{"n":-9223372036854775809}',
    b'{"n":0.1234567890123456789012345}',
    b"-0",
    b"-0.0",
    b"1e999",
    b"NaN",
    b'{"a":Infinity}',
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf{}",
    b"",
    b" ",
    b"{} x",
    b"01",
    b"[1,]",
    b'"a\nb"',
    b"[" * 101 + b"]" * 101,
    b"[" * 100 + b"]" * 100,
    b"[" * 5000 + b"]" * 5000,
    b'"{[{[" ',
    b'{"a":null,"b":true,"c":[{}]}',
]


def outcome(read):
    """What reading gives: the value with its types, or the fault."""
    try:
        return repr(read())
    except JsonFault as fault:
        return (fault.reason, fault.description)


def strictly(body):
    """The value by the strict parser alone."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise JsonFault(f"the body is not UTF-8 at byte {error.start}", jsontext.MALFORMED) from None
    return jsontext.load_text(text)


@pytest.mark.parametrize("body", TEXTS, ids=lambda body: repr(body[:30]))
def test_both_parsers_agree_on_what_is_odd(body):
    assert outcome(lambda: jsontext.load(body)) == outcome(lambda: strictly(body))


def test_both_parsers_agree_on_random_values():
    chance = random.Random(7)

    def value(depth):
        kind = chance.randrange(8 if depth < 4 else 6)
        plain = (None, chance.choice([True, False]), chance.randrange(-(2**70), 2**70), chance.random() * 1e3)
        if kind < 4:
            return plain[kind]
        if kind < 6:
            return "".join(chance.choices('ab:"\\ñ\u2028{[', k=5))
        if kind == 6:
            return [value(depth + 1) for _ in range(chance.randrange(5))]
        return {f"k{chance.randrange(9)}": value(depth + 1) for _ in range(chance.randrange(5))}

    for _ in range(2000):
        body = json.dumps(value(0), ensure_ascii=chance.choice([True, False])).encode()
        assert outcome(lambda body=body: jsontext.load(body)) == outcome(lambda body=body: strictly(body))


def test_no_spelling_of_members_hides_a_key_that_is_given_twice():
    chance = random.Random(11)

    def member():
        key = chance.choice(['"a"', '"b"', '"\\u0061"', '"a:"', '"\\":"'])
        return f"{key}{chance.choice(['', ' ', chr(10), chr(9)])}:{chance.choice(['1', chr(34) + ':' + chr(34), value()])}"

    def value():
        if chance.random() < 0.5:
            return chance.choice(['"09:30:00Z"', '"x\\":y"', '" :"', "0"])
        return "{" + ",".join(member() for _ in range(chance.randrange(3))) + "}"

    refused = 0
    for _ in range(5000):
        body = ("{" + ",".join(member() for _ in range(chance.randrange(1, 4))) + "}").encode()
        expected = outcome(lambda body=body: strictly(body))
        refused += type(expected) is tuple
        assert outcome(lambda body=body: jsontext.load(body)) == expected, body
    assert 500 < refused < 4500


@pytest.mark.parametrize(
    "part", [b"0,", b"{},", b"[],", b'"ab",', b'{"":0},', b'"",', b"[0],"], ids=lambda part: part.decode()
)
def test_a_wide_text_is_refused_before_it_is_parsed(part, monkeypatch):
    body = b"[" + part * (4 * 2**20 // len(part)) + b"0]"
    monkeypatch.setattr(jsontext, "orjson", None)
    with pytest.raises(JsonFault, match="more than 1000000 values; send it in parts") as caught:
        jsontext.load(body)
    assert caught.value.reason == "MALFORMED_JSON"


def test_a_million_numbers_and_a_long_text_are_not_too_wide():
    assert len(jsontext.load(b"[" + b"0," * 999_997 + b"0]")) == 999_998
    assert len(jsontext.load(b'"' + b"[" * 400_000 + b'"')) == 400_000
