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
