"""How API keys are written: the form, the checksum, and what a key says about itself."""

import hashlib
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.identity.programs import api_key_text

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def base62(text):
    value = 0
    for character in text:
        value = value * 62 + ALPHABET.index(character)
    return value


@pytest.mark.parametrize("prefix", [api_key_text.LIVE, api_key_text.TEST])
def test_a_key_has_the_form_that_scanners_look_for(prefix):
    text, parts = api_key_text.made(prefix)
    lookup, rest = text.removeprefix(prefix).split("_")
    secret, checksum = rest[:43], rest[43:]
    assert (len(text), len(lookup), len(checksum)) == (70, 12, 6)
    assert set(lookup + rest) <= set(ALPHABET)
    assert base62(checksum) == zlib.crc32(text[:-6].encode())
    assert base62(secret) < 2**256
    assert (parts.prefix, parts.lookup) == (prefix, lookup)
    assert parts.secret_sha256 == hashlib.sha256(secret.encode()).digest()


def test_a_key_is_read_as_it_was_made():
    text, parts = api_key_text.made(api_key_text.TEST)
    assert api_key_text.parsed(text) == parts


def test_no_two_keys_share_a_part():
    made = [api_key_text.made(api_key_text.TEST) for _ in range(200)]
    assert len({parts.lookup for _, parts in made}) == 200
    assert len({parts.secret_sha256 for _, parts in made}) == 200


@given(at=st.integers(0, 69), by=st.sampled_from(ALPHABET + "_- \u0660"))
def test_one_wrong_character_is_no_key(at, by):
    text, _ = api_key_text.made(api_key_text.TEST)
    slip = text[:at] + by + text[at + 1 :]
    assert slip == text or api_key_text.parsed(slip) is None


@pytest.mark.parametrize("text", ["", "cl_", "cl_test_", "cl_test_" + "0" * 62, "\u0660" * 70, "x" * 10_000])
def test_rubbish_is_no_key(text):
    assert api_key_text.parsed(text) is None


def test_nothing_printed_of_a_key_holds_its_secret():
    text, parts = api_key_text.made(api_key_text.TEST)
    assert parts.secret_sha256.hex() not in repr(parts)
    assert text[21:64] not in repr(parts)
