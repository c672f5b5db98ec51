"""Logs are cut while their writers hold them open."""

import shutil

from cohortlens.embedded.logs import rotate
from cohortlens.embedded.server_process import tail


def test_a_large_log_moves_aside_and_its_writer_goes_on_at_the_start(tmp_path):
    log = tmp_path / "gateway.log"
    with log.open("ab", buffering=0) as writer:
        for name in (b"a", b"b", b"c", b"d", b"e"):
            writer.write(name * 100)
            rotate(tmp_path, max_bytes=50)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert [(tmp_path / f"gateway.log.{n}").read_bytes()[:1] for n in (1, 2, 3)] == [b"e", b"d", b"c"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_small_log_stays(tmp_path):
    (tmp_path / "jobs.log").write_text("one line\n")
    rotate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.log"]


def test_on_a_full_disk_the_log_is_emptied_rather_than_kept(tmp_path, monkeypatch):
    def full(_source, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    (tmp_path / "jobs.log").write_bytes(b"x" * 100)
    rotate(tmp_path, max_bytes=50)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"jobs.log": 0}


def test_the_tail_is_the_last_lines_whatever_their_encoding(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"old\n" * 100_000 + b"\xff\xfe broken\nlast\n")
    assert tail(log, 2) == ["\ufffd\ufffd broken", "last"]
    assert tail(tmp_path / "missing.log") == []
