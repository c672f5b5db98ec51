"""The probe must find Rust where it is and stay silent where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workers.rust_probe import MARKS, mapped_files, probe

ROOT = Path(__file__).resolve().parents[3]
RUST_LIBRARIES = sorted((ROOT / ".venv" / "lib").glob("python3*/site-packages/cryptography/**/_rust*.so"))


@pytest.mark.parametrize("mark", MARKS)
def test_a_file_with_any_one_mark_of_rust_is_reported(tmp_path, mark):
    guilty, innocent = tmp_path / "guilty.so", tmp_path / "innocent.so"
    guilty.write_bytes(b"\x7fELF" + bytes(100_000) + mark + bytes(5))
    innocent.write_bytes(b"\x7fELF" + bytes(100_000))

    result = probe([innocent, guilty])

    assert result.rust_files == (str(guilty),)
    assert result.probed == 2


def test_a_real_extension_written_in_rust_is_reported():
    assert RUST_LIBRARIES, "the main environment has no cryptography to test the probe with"

    assert probe(RUST_LIBRARIES).rust_files == tuple(map(str, RUST_LIBRARIES))


def test_a_file_that_cannot_be_read_counts_as_suspect_instead_of_clean(tmp_path):
    gone = tmp_path / "gone.so"

    assert probe([gone]).rust_files == (f"{gone} (unreadable: No such file or directory)",)


def test_an_empty_file_holds_nothing(tmp_path):
    empty = tmp_path / "empty.so"
    empty.touch()

    assert probe([empty]).rust_files == ()


def test_the_mapped_files_of_a_process_hold_its_c_library_and_its_interpreter_once():
    files = mapped_files()

    assert any(path.name.startswith("libc.so") or path.name.startswith("libc-") for path in files)
    assert Path(sys.executable).resolve() in [path.resolve() for path in files]
    assert len(files) == len(set(files))
