"""Sealed values open only whole, for their purpose, context and key."""

from __future__ import annotations

import base64

import pytest

from cohortlens.core.sealing import SealBroken, Sealer, derived_key, parse_kek

KEK = bytes(range(32))


def test_what_was_sealed_opens_and_no_two_seals_are_equal():
    sealer = Sealer(KEK, "a")
    first, second = sealer.seal(b"secret", b"row 1"), sealer.seal(b"secret", b"row 1")
    assert sealer.open(first, b"row 1") == b"secret"
    assert first != second
    assert b"secret" not in first


@pytest.mark.parametrize(
    ("purpose", "context", "kek"),
    [("b", b"row 1", KEK), ("a", b"row 2", KEK), ("a", b"row 1", bytes(32))],
    ids=["another purpose", "another context", "another key"],
)
def test_a_seal_is_bound_to_purpose_context_and_key(purpose, context, kek):
    sealed = Sealer(KEK, "a").seal(b"secret", b"row 1")
    with pytest.raises(SealBroken):
        Sealer(kek, purpose).open(sealed, context)


def test_every_altered_byte_and_every_cut_is_found():
    sealer = Sealer(KEK, "a")
    sealed = sealer.seal(b"secret", b"c")
    broken = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    broken += [sealed[:end] for end in range(len(sealed))] + [sealed + b"\0"]
    for value in broken:
        with pytest.raises(SealBroken):
            sealer.open(value, b"c")


def test_raw_keys_of_different_purposes_differ_from_each_other_and_from_the_kek():
    assert len({derived_key(KEK, "a"), derived_key(KEK, "b"), KEK}) == 3


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(bytes(31)).decode(), "a" * 44])
def test_a_bad_kek_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="32 bytes in base64") as caught:
        parse_kek(text)
    assert not text or text not in str(caught.value)


def test_a_kek_is_read_from_base64():
    assert parse_kek(base64.b64encode(KEK).decode()) == KEK
