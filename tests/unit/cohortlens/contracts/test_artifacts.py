import errno
import hashlib
import os
import threading

import pytest

from cohortlens.contracts.artifacts import ArtifactCorrupt, ArtifactMissing, LocalArtifactStore
from cohortlens.core.disk import DiskFull


@pytest.fixture
def store(tmp_path):
    return LocalArtifactStore(tmp_path / "blobs")


def leftovers(store):
    return [path.name for path in store.root.rglob("*") if path.name.startswith(".new-")]


def test_bytes_come_back_under_their_digest(store):
    digest = store.put_bytes(b"model")
    assert digest == hashlib.sha256(b"model").hexdigest()
    assert store.read_verified(digest) == b"model"
    with store.open_verified(digest) as reader:
        assert reader.read() == b"model"


def test_storing_the_same_again_keeps_one_blob(store):
    first, second = store.put_bytes(b"same"), store.put_bytes(b"same")
    assert first == second
    assert [path.name for path in store.root.rglob("*") if path.is_file()] == [first]


@pytest.mark.parametrize("digest", ["", "ab", "../../etc/passwd", "A" * 64, "0" * 63 + "\n", "0" * 64])
def test_what_is_not_there_is_missing(store, digest):
    assert not store.exists(digest)
    for read in (store.path, store.open_verified, store.read_verified):
        with pytest.raises(ArtifactMissing):
            read(digest)


@pytest.mark.parametrize("damaged", [b"mode1", b"", b"model and more"])
def test_a_damaged_blob_is_refused(store, damaged):
    digest = store.put_bytes(b"model")
    store.path(digest).write_bytes(damaged)
    with pytest.raises(ArtifactCorrupt) as caught:
        store.open_verified(digest)
    assert caught.value.reason == "ARTIFACT_CORRUPT"
    with pytest.raises(ArtifactCorrupt):
        store.read_verified(digest)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_leaves_nothing(store, monkeypatch, number):
    def full(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull) as caught:
        store.put_bytes(b"model")
    assert caught.value.reason == "DISK_FULL"
    assert not store.exists(hashlib.sha256(b"model").hexdigest())
    assert leftovers(store) == []


def test_an_interrupted_write_leaves_nothing(store, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.put_bytes(b"model")
    assert leftovers(store) == []


def test_writers_of_one_blob_do_not_disturb_each_other(store):
    data, found = os.urandom(1 << 20), []
    writers = [threading.Thread(target=lambda: found.append(store.put_bytes(data))) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(found)) == 1
    assert store.read_verified(found[0]) == data
    assert leftovers(store) == []
