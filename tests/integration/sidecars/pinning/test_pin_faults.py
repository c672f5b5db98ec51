"""Faults of the store, done for real: processes killed within an add, a disk that fills up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from sidecars.web3.journal.pins import PinRows
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import parse_cid
from sidecars.web3.pinning.errors import PinStoreFull
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.pinner import Pinner
from sidecars.web3.pinning.unixfs import TreeBuilder, read_file

SIXTY = (bytes(range(251)) * 239_044)[:60_000_000]
SIXTY_CID = "bafybeigam5dpll7feslqch2gt766vzamdrktqvcevpwul76d5cu6snb57e"

_ADD = """
import sys
from pathlib import Path
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.unixfs import TreeBuilder
store = Blockstore(Path(sys.argv[1]), free_bytes_least=0)
with store.adding():
    builder = TreeBuilder(store.put)
    builder.write((bytes(range(251)) * 239_044)[:60_000_000])
    store.pin("whole", builder.finish().cid)
"""

_PIN = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID
from cohortlens.core.failpoints import arm
from sidecars.web3.journal.pins import PinRows
from sidecars.web3.journal.pool import Journal
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.pinner import Pinner
from sidecars.web3.sealing import Kek

async def pieces():
    yield b"a report" * 50_000

async def main(folder, dsn, kek, tenant, pin):
    arm("web3.pin.blocks", "test")
    journal = Journal(dsn)
    await journal.open()
    with ThreadPoolExecutor(2) as threads:
        local = LocalStore(Blockstore(Path(folder), free_bytes_least=0), threads)
        await Pinner(local, PinRows(journal), Kek(kek)).pin(UUID(tenant), UUID(pin), "REPORT", 400_000, pieces())

asyncio.run(main(*sys.argv[1:]))
"""


def _names_hold(store):
    return all(cid.names(store.get(cid)) for cid in store.blocks())


def _add(store, content):
    builder = TreeBuilder(store.put)
    builder.write(content)
    return builder.finish().cid


def test_kill_9_within_an_add_of_60_mb_leaves_whole_blocks_and_nothing_pinned(tmp_path):
    store = Blockstore(tmp_path / "ipfs", free_bytes_least=0)
    process = subprocess.Popen([sys.executable, "-c", _ADD, str(store.folder)])
    deadline = time.monotonic() + 60
    while store.size()[0] < 20:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it must be killed before it is done"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    begun = store.size()[0]
    assert 20 <= begun < 230
    assert _names_hold(store)
    assert store.pins() == {}
    root = _add(store, SIXTY)
    assert str(root) == SIXTY_CID
    assert b"".join(read_file(store.get, root)) == SIXTY
    store.collect()
    assert store.size() == (0, 0)


async def test_kill_9_between_the_blocks_and_the_row_makes_one_pin_in_the_end(
    journal, kek, postgres_urls, tmp_path
):
    tenant, pin_id, folder = uuid4(), uuid4(), tmp_path / "ipfs"
    key = "BwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSY="
    died = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _PIN, str(folder), postgres_urls.web3, key, str(tenant), str(pin_id)],
        timeout=60,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    store = Blockstore(folder, free_bytes_least=0)
    assert store.size()[0] > 0
    assert store.pins() == {}
    with ThreadPoolExecutor(2) as threads:
        pinner = Pinner(LocalStore(store, threads), PinRows(journal), kek)

        async def pieces():
            yield b"a report" * 50_000

        row = await pinner.pin(UUID(str(tenant)), pin_id, "REPORT", 400_000, pieces())
        store.collect()
        assert list(store.pins().values()) == [parse_cid(row.cid)]
        assert set(store.blocks()) == set(store.below(parse_cid(row.cid)))
        read = b"".join([piece async for piece in pinner.content(tenant, pin_id=pin_id)])
    assert read == b"a report" * 50_000


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("NOT CHECKED: this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT CHECKED: only root may mount a small disk")
def test_a_full_disk_refuses_the_rest_and_serves_what_was_there(small_disk):
    store = Blockstore(small_disk / "ipfs", free_bytes_least=0)
    kept = _add(store, b"before it was full" * 1000)
    store.pin("kept", kept)
    with pytest.raises(PinStoreFull):
        _add(store, os.urandom(4_000_000))
    assert list((store.folder / "new").iterdir()) == []
    assert _names_hold(store)
    assert b"".join(read_file(store.get, kept)) == b"before it was full" * 1000
    store.collect()
    assert b"".join(read_file(store.get, _add(store, b"room again"))) == b"room again"
