"""Sealed content opens whole, under its own key, for its own pin, or not at all."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sidecars.web3.pinning.envelope import OVERHEAD_BYTES, new_key, opened, sealed
from sidecars.web3.pinning.errors import PinContentCorrupt

KEY, BOUND = bytes(range(32)), b"tenant and pin"


async def _pieces(data, size):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _sealed(content, size=7, key=KEY):
    async def run():
        return b"".join([piece async for piece in sealed(_pieces(content, size), key, BOUND)])

    return asyncio.run(run())


def _opened(data, size=7, key=KEY, bound_to=BOUND):
    async def run():
        return b"".join([piece async for piece in opened(_pieces(data, size), len(data), key, bound_to)])

    return asyncio.run(run())


@given(st.binary(max_size=200), st.integers(1, 40), st.integers(1, 40))
def test_it_opens_however_it_was_cut_on_both_ways(content, one, two):
    closed = _sealed(content, one)
    assert len(closed) == len(content) + OVERHEAD_BYTES
    assert _opened(closed, two) == content


def test_it_is_plain_aes_gcm_behind_a_mark_and_a_nonce():
    closed = _sealed(b"hello")
    assert closed[:4] == b"CLS1"
    assert AESGCM(KEY).decrypt(closed[4:16], closed[16:], b"CLS1" + BOUND) == b"hello"


@pytest.mark.parametrize("at", range(0, OVERHEAD_BYTES + 5))
def test_one_changed_bit_anywhere_closes_it(at):
    closed = bytearray(_sealed(b"hello"))
    closed[at] ^= 1
    with pytest.raises(PinContentCorrupt):
        _opened(bytes(closed))


@pytest.mark.parametrize("length", [0, 3, 15, 16, 20, 36])
def test_what_was_cut_off_stays_closed(length):
    with pytest.raises(PinContentCorrupt):
        _opened(_sealed(b"hello")[:length])


def test_another_key_or_another_pin_opens_nothing():
    closed = _sealed(b"hello")
    with pytest.raises(PinContentCorrupt):
        _opened(closed, key=new_key())
    with pytest.raises(PinContentCorrupt):
        _opened(closed, bound_to=b"another pin")


def test_the_same_content_never_seals_alike():
    assert _sealed(b"hello") != _sealed(b"hello")
