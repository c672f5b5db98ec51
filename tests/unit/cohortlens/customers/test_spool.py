import asyncio
import hashlib
import os

import pytest

from cohortlens.core.disk import DiskFull
from cohortlens.core.ids import ImportId, TenantId, uuid7
from cohortlens.customers import spool as module
from cohortlens.customers.models import FileEmpty, ImportTooLarge
from cohortlens.customers.spool import Spool

TENANT, IMPORT = TenantId(uuid7()), ImportId(uuid7())


async def pieces(*parts):
    for part in parts:
        yield part


async def test_an_upload_is_stored_whole_with_its_hash_and_closed_to_others(tmp_path):
    data = [os.urandom(1 << 20) for _ in range(9)]
    file = await Spool(tmp_path / "spool").receive(TENANT, IMPORT, pieces(*data))
    assert file.path.read_bytes() == b"".join(data)
    assert file.sha256 == hashlib.sha256(b"".join(data)).hexdigest()
    assert file.size_bytes == 9 << 20
    assert file.path.stat().st_mode & 0o077 == 0
    assert file.path.parent.stat().st_mode & 0o077 == 0


async def test_an_upload_without_bytes_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(FileEmpty):
        await Spool(tmp_path).receive(TENANT, IMPORT, pieces(b"", b""))
    assert list(tmp_path.iterdir()) == []


async def test_too_large_an_upload_is_refused_while_it_arrives(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    with pytest.raises(ImportTooLarge):
        await Spool(tmp_path).receive(TENANT, IMPORT, pieces(b"12345", b"123456"))
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_is_told_and_nothing_stays(tmp_path, monkeypatch):
    def on_full_disk(self, part):
        part.touch()
        return open("/dev/full", "wb", buffering=0)  # noqa: PTH123 - the kernel's own full disk

    monkeypatch.setattr(Spool, "_create", on_full_disk)
    with pytest.raises(DiskFull) as caught:
        await Spool(tmp_path).receive(TENANT, IMPORT, pieces(b"x" * 100))
    assert caught.value.reason == "DISK_FULL"
    assert list(tmp_path.iterdir()) == []


async def test_a_caller_that_goes_away_leaves_nothing(tmp_path):
    arrived = asyncio.Event()

    async def endless():
        yield b"x" * (5 << 20)
        arrived.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Spool(tmp_path).receive(TENANT, IMPORT, endless()))
    await asyncio.wait_for(arrived.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []
