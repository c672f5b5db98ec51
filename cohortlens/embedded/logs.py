"""Keeps the services' log files small: cut at a size, with a few older parts kept."""

from __future__ import annotations

import shutil
from pathlib import Path

MAX_BYTES = 10 * 2**20
_KEPT = 3


def rotate(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move what is in too large logs aside to ``NAME.log.1`` and so on.

    The services keep their file open in append mode, so the content is copied and the file emptied; lines
    written between the two acts are lost.

    Args:
        folder: Folder of ``*.log`` files.
        max_bytes: Size above which a file is cut.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size <= max_bytes:
            continue
        _shift(log)
        newest = log.with_name(f"{log.name}.1")
        try:
            shutil.copy2(log, newest)
        except OSError:
            # The disk is full: freeing space goes before keeping old lines.
            newest.unlink(missing_ok=True)
        with log.open("r+b") as file:
            file.truncate(0)


def _shift(log: Path) -> None:
    for number in range(_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
