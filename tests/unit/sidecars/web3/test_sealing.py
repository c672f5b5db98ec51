"""What the sidecar seals opens under its keys, for its owner, unaltered, and no other way."""

import base64

import pytest

from cohortlens.core.sealing import Sealer
from sidecars.web3.sealing import Kek, KekMismatch

OLD, NEW = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (1, 90))


def test_a_secret_opens_with_what_it_belongs_to_and_with_nothing_else():
    kek = Kek(NEW)
    sealed = kek.seal(b"private", b"tenant|kid")
    assert kek.open(sealed, b"tenant|kid") == b"private"
    assert kek.seal(b"private", b"tenant|kid") != sealed
    with pytest.raises(KekMismatch):
        kek.open(sealed, b"tenant|other")


@pytest.mark.parametrize("at", [0, 1, 5, 17, -1])
def test_an_altered_byte_anywhere_is_noticed(at):
    kek = Kek(NEW)
    sealed = bytearray(kek.seal(b"private", b""))
    sealed[at] ^= 1
    with pytest.raises(KekMismatch):
        kek.open(bytes(sealed), b"")


def test_the_previous_key_opens_and_the_current_one_seals():
    sealed = Kek(OLD).seal(b"private", b"")
    both = Kek(NEW, OLD)
    assert both.open(sealed, b"") == b"private"
    assert not both.is_current(sealed)
    assert Kek(NEW).open(both.seal(b"private", b""), b"") == b"private"
    with pytest.raises(KekMismatch):
        Kek(NEW).open(sealed, b"")


def test_the_control_plane_with_the_same_key_opens_nothing_of_the_sidecar():
    sealed = Sealer(base64.b64decode(NEW), "signing-key").seal(b"private", b"")
    with pytest.raises(KekMismatch):
        Kek(NEW).open(sealed, b"")


@pytest.mark.parametrize("text", ["", "short", "not base64!", base64.b64encode(bytes(31)).decode()])
def test_a_key_that_is_none_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="COHORTLENS_WEB3_KEK must be 32 bytes") as fault:
        Kek(text)
    assert not text or text not in str(fault.value)
