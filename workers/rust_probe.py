"""The probe for Rust: reads the files mapped executable into a process and looks for Rust's marks.

The workers promise to load no Rust extension; this is how a live replica proves it. Standard library only.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARKS = (b"rustc version ", b"/rustc/", b"rust_panic", b"rust_begin_unwind", b"__rust_alloc")
"""Texts that the Rust compiler leaves: its name in the comment section (all that a stripped library without
panics keeps, orjson's for one), and paths and symbols of its runtime."""


@dataclass(frozen=True)
class ProbeResult:
    """What the probe found.

    Attributes:
        rust_files: Files with a mark, and files that could not be read (marked so); sorted.
        probed: Number of files read.
    """

    rust_files: tuple[str, ...]
    probed: int


def mapped_files(pid: int | None = None) -> list[Path]:
    """Files mapped executable into a process, each once.

    Args:
        pid: Process id; the calling process when omitted.
    """
    maps = Path("/proc") / (str(pid) if pid is not None else "self") / "maps"
    found: set[str] = set()
    for line in maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and "x" in parts[1] and parts[5].startswith("/"):
            found.add(parts[5])
    return [Path(name) for name in sorted(found)]


def holds_rust(path: Path) -> bool:
    """Whether a file holds a mark of the Rust runtime.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(mark) >= 0 for mark in MARKS)


def probe(files: Iterable[Path] | None = None) -> ProbeResult:
    """Look for marks of Rust.

    Args:
        files: Files to read; those mapped into the calling process when omitted.
    """
    found, probed = [], 0
    for path in mapped_files() if files is None else files:
        try:
            probed += 1
            if holds_rust(path):
                found.append(str(path))
        except OSError as error:
            # What cannot be read cannot be shown to be free of Rust.
            found.append(f"{path} (unreadable: {error.strerror})")
    return ProbeResult(tuple(sorted(found)), probed)
