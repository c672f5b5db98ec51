"""CIDs are read strictly and written in one spelling."""

from __future__ import annotations

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecars.web3.pinning.cid import DAG_PB, RAW, Cid, cid_from_bytes, cid_of, parse_cid
from sidecars.web3.pinning.errors import CidUnsupported

HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
OLD_HELLO = "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX"


@given(st.binary(max_size=64), st.sampled_from([(RAW, 1), (DAG_PB, 1), (DAG_PB, 0)]))
def test_what_is_written_reads_back_the_same(block, form):
    cid = cid_of(block, *form)
    assert parse_cid(str(cid)) == cid
    assert cid_from_bytes(cid.to_bytes()) == cid
    assert cid.names(block)
    assert not cid.names(block + b".")


@given(st.text(max_size=80) | st.text(alphabet="bzQm0123456789abcdefghijklmnopqrstuvwxyz", max_size=80))
def test_any_text_is_a_cid_in_its_own_spelling_or_refused(text):
    try:
        cid = parse_cid(text)
    except CidUnsupported:
        return
    assert text in (str(cid), "z" + base58.b58encode(cid.to_bytes()).decode())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_cid_or_refused(data):
    try:
        cid = cid_from_bytes(data)
    except CidUnsupported:
        return
    assert cid.to_bytes() == data


def test_both_versions_of_a_node_share_one_file():
    old = parse_cid(OLD_HELLO)
    assert old.version == 0
    assert old.key == old.spelled(1).key
    assert str(old.spelled(1).spelled(0)) == OLD_HELLO


def test_version_0_has_no_name_for_raw_bytes():
    with pytest.raises(CidUnsupported, match="version 0"):
        parse_cid(HELLO).spelled(0)


def test_a_cid_may_carry_128_bytes_and_not_one_more():
    carried = Cid(RAW, bytes(128), is_inline=True)
    assert parse_cid(str(carried)).digest == bytes(128)
    with pytest.raises(CidUnsupported, match="at most 128 bytes"):
        parse_cid(str(Cid(RAW, bytes(129), is_inline=True)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes((1, 0x71, 0x12, 32)) + bytes(32), "0x71"),
        (bytes((1, 0x55, 0x13, 64)) + bytes(64), "hash 0x13"),
        (bytes((1, 0x55, 0x12, 20)) + bytes(20), "of 20 bytes"),
        (bytes((1, 0x55, 0x12, 32)) + bytes(31), "cut off"),
        (bytes((2, 0x55, 0x12, 32)) + bytes(32), "version 0 or 1"),
        (bytes((0x81, 0x00, 0x55, 0x12, 32)) + bytes(32), "zeros too many"),
    ],
)
def test_other_codecs_hashes_and_lengths_are_refused_by_name(data, why):
    with pytest.raises(CidUnsupported, match=why):
        cid_from_bytes(data)


@pytest.mark.parametrize(
    "text", ["", HELLO[:-1], HELLO.upper(), HELLO + "a", OLD_HELLO[:-1] + "l", "k51" + HELLO, "é"]
)
def test_a_mistyped_cid_is_refused(text):
    with pytest.raises(CidUnsupported):
        parse_cid(text)
