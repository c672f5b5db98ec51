"""The store on disk: what is pinned stays, what is damaged is never served."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import DAG_PB, RAW, Cid, cid_of
from sidecars.web3.pinning.dagpb import Link, encode_parent
from sidecars.web3.pinning.errors import (
    CidUnsupported,
    ContentNotFound,
    PinContentCorrupt,
    PinStoreBusy,
    PinStoreFull,
)
from sidecars.web3.pinning.unixfs import Profile, TreeBuilder, file_size, read_file

SMALL = Profile(piece_bytes=10)


@pytest.fixture
def store(tmp_path):
    return Blockstore(tmp_path / "ipfs", free_bytes_least=0)


def _add(store, content, profile=SMALL):
    builder = TreeBuilder(store.put, profile)
    builder.write(content)
    return builder.finish().cid


def _file_of(store, cid):
    return next(store.folder.glob(f"blocks/*/{cid.key}"))


@pytest.mark.parametrize("profile", [SMALL, Profile(0, False, 10)], ids=["raw leaves", "older"])
def test_every_range_of_a_file_reads_as_the_bytes_do(store, profile):
    content = bytes(i % 251 for i in range(10 * 174 + 25))
    root = _add(store, content, profile)
    assert file_size(store.get, root) == len(content)
    for offset in (0, 1, 9, 10, 11, 1739, 1740, 1741, 1764, 1765, 5000):
        for length in (None, 0, 1, 10, 11, 1800):
            expected = content[offset:] if length is None else content[offset : offset + length]
            assert b"".join(read_file(store.get, root, offset, length)) == expected


def test_a_collection_keeps_all_below_a_pin_and_nothing_else(store):
    kept, gone = _add(store, bytes(2000)), _add(store, b"x" * 55)
    store.pin("kept", kept)
    removed = store.collect()
    assert gone in removed
    assert b"".join(read_file(store.get, kept)) == bytes(2000)
    with pytest.raises(ContentNotFound):
        store.get(gone)
    store.unpin("kept")
    store.collect()
    assert store.size() == (0, 0)


def test_a_collection_waits_for_an_add_to_be_pinned(store):
    with store.adding(), pytest.raises(BlockingIOError):
        store.collect()
    assert store.collect() == []


def test_an_altered_block_is_moved_aside_and_never_served(store):
    root = _add(store, b"0123456789" * 3)
    leaf = cid_of(b"0123456789", RAW)
    _file_of(store, leaf).write_bytes(b"0123456780")
    with pytest.raises(PinContentCorrupt):
        b"".join(read_file(store.get, root))
    assert store.bad() == 1
    with pytest.raises(ContentNotFound):
        store.get(leaf)


@pytest.mark.parametrize("damage", [b"", b"012345678", b"0123456780"], ids=["empty", "cut", "altered"])
def test_adding_the_bytes_again_heals_a_damaged_block(store, damage):
    root = _add(store, b"0123456789" * 3)
    _file_of(store, cid_of(b"0123456789", RAW)).write_bytes(damage)
    assert _add(store, b"0123456789" * 3) == root
    assert b"".join(read_file(store.get, root)) == b"0123456789" * 3


@pytest.mark.parametrize(
    ("number", "error", "kept"),
    [(errno.EMFILE, PinStoreBusy, 1), (errno.EACCES, PinStoreBusy, 1), (errno.EIO, PinContentCorrupt, 0)],
)
def test_only_a_block_that_the_disk_lost_is_moved_aside(store, monkeypatch, number, error, kept):
    cid = cid_of(b"some bytes", RAW)
    store.put(cid, b"some bytes")

    def fails(_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fails)
        with pytest.raises(error):
            store.get(cid)
    assert (store.size()[0], store.bad()) == (kept, 1 - kept)


def test_a_damaged_pin_stops_a_collection_before_it_removes_anything(store):
    root, other = _add(store, bytes(2000)), _add(store, b"y" * 30)
    store.pin("kept", root)
    _file_of(store, root).write_bytes(b"nonsense")
    before = store.size()[0]
    with pytest.raises(PinContentCorrupt):
        store.collect()
    with pytest.raises(ContentNotFound):
        store.collect()
    assert store.size()[0] == before - 1
    assert store.has(other)


def test_a_disk_with_too_little_room_takes_nothing_and_goes_on_reading(tmp_path):
    small = Blockstore(tmp_path / "ipfs", free_bytes_least=0)
    root = _add(small, b"here before")
    full = Blockstore(tmp_path / "ipfs", free_bytes_least=2**62)
    with pytest.raises(PinStoreFull):
        _add(full, b"comes too late")
    assert b"".join(read_file(full.get, root)) == b"here before"
    assert list((tmp_path / "ipfs" / "new").iterdir()) == []


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import RAW, cid_of
from sidecars.web3.pinning.errors import PinStoreFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = Blockstore(Path(sys.argv[1]), free_bytes_least=0)
block = bytes(200_000)
try:
    store.put(cid_of(block, RAW), block)
except PinStoreFull:
    print("full", len(list(store.folder.glob("blocks/*/*"))), len(list(store.folder.glob("new/*"))))
"""


def test_a_write_that_the_system_cuts_leaves_nothing_behind(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path / "ipfs")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.split() == ["full", "0", "0"]


def test_many_threads_that_add_and_collect_lose_nothing_pinned(store):
    contents = [os.urandom(60) for _ in range(12)]
    over = threading.Event()

    def add(content):
        with store.adding():
            store.pin(f"pin-{content.hex()[:20]}", _add(store, content))

    def collect():
        while not over.is_set():
            try:
                store.collect()
            except BlockingIOError:
                continue

    collecting = threading.Thread(target=collect)
    collecting.start()
    adding = [threading.Thread(target=add, args=(content,)) for content in contents]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    over.set()
    collecting.join()
    assert sorted(b"".join(read_file(store.get, cid)) for cid in store.pins().values()) == sorted(contents)


def test_a_node_that_lies_about_its_parts_is_refused(store):
    leaf = b"0123456789"
    store.put(cid_of(leaf, RAW), leaf)
    lying = encode_parent([Link(cid_of(leaf, RAW), 10, 9)])
    store.put(cid_of(lying, DAG_PB), lying)
    with pytest.raises(CidUnsupported, match="another size"):
        b"".join(read_file(store.get, cid_of(lying, DAG_PB)))


def test_bytes_that_a_cid_carries_need_no_file(store):
    assert store.get(Cid(RAW, b"tiny", is_inline=True)) == b"tiny"
    assert store.size() == (0, 0)


@pytest.mark.parametrize("name", ["../blocks", "", "A", "a/b", "x" * 81])
def test_the_name_of_a_pin_cannot_leave_its_folder(store, name):
    with pytest.raises(ValueError, match="named by"):
        store.pin(name, cid_of(b"", RAW))
