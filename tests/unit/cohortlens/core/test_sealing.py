"""Sealed values open only whole, for their purpose, context and key."""

from __future__ import annotations

import base64
import os

import pytest

from cohortlens.core.key_settings import key_faults, parse_kek
from cohortlens.core.sealing import Keyring, SealBroken, Sealer, derived_key, key_id, sealed_under

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


NEW = bytes(range(1, 33))


def test_a_value_of_the_first_release_opens_with_its_key_wherever_that_stands():
    # Made by the first release: Sealer(bytes(range(32)), "a").seal(b"secret", b"row 1").
    stored = bytes.fromhex("01a66cad8b9b16875f03fd9cf7df3dd30bffd2aa87fe9f8cf70665960b22b3d5a9a194")
    for keys in (KEK, Keyring(KEK, [NEW]), Keyring(NEW, [KEK])):
        assert Sealer(keys, "a").open(stored, b"row 1") == b"secret"
    with pytest.raises(SealBroken):
        Sealer(NEW, "a").open(stored, b"row 1")


def test_the_current_key_seals_and_every_key_opens():
    before, after = Keyring(KEK), Keyring(NEW, [KEK])
    old, new = Sealer(before, "a").seal(b"x", b"c"), Sealer(after, "a").seal(b"x", b"c")
    assert [sealed_under(one) for one in (old, new)] == [key_id(KEK), key_id(NEW)]
    assert [Sealer(after, "a").open(one, b"c") for one in (old, new)] == [b"x", b"x"]
    with pytest.raises(SealBroken, match="not given"):
        Sealer(before, "a").open(new, b"c")


def test_the_name_of_the_key_cannot_be_exchanged():
    ring = Keyring(KEK, [NEW])
    sealed = Sealer(ring, "a").seal(b"x", b"c")
    for name in (key_id(NEW), bytes(4)):
        with pytest.raises(SealBroken):
            Sealer(ring, "a").open(sealed[:1] + name + sealed[5:], b"c")


def test_a_keyring_is_read_from_its_settings_and_names_the_one_that_is_wrong():
    texts = [base64.b64encode(one).decode() for one in (KEK, NEW, bytes(32))]
    ring = Keyring.parse(texts[0], f"{texts[1]},\n {texts[2]} ")
    assert list(ring.keys.values()) == [KEK, NEW, bytes(32)]
    assert Keyring.parse(texts[0]).keys == Keyring(KEK).keys
    with pytest.raises(ValueError, match="COHORTLENS_KEK_PREVIOUS must be 32 bytes"):
        Keyring.parse(texts[0], "c2hvcnQ=")


@pytest.mark.parametrize(
    ("kek", "words"),
    [("", "is not set"), (bytes(32), "not random"), (KEK, "not random"), (b"password" * 4, "not random")],
)
def test_production_refuses_a_key_that_is_missing_or_was_made_up(kek, words):
    text = base64.b64encode(kek).decode() if kek else ""
    (fault,) = key_faults(text, "", is_production=True)
    assert words in fault
    assert key_faults(text, "", is_production=False) == []
    assert key_faults(base64.b64encode(os.urandom(32)).decode(), "", is_production=True) == []
