"""Files that only their owner may read, written beside and put in place in one step: whole or absent."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder of ours, mode 0700, if it is missing; its missing parents get the usual mode."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file of mode 0600, in place of what stood there; text is written as UTF-8."""
    _draft(path, content).replace(path)


def create_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 unless it is there; of two writers at once the first one's stays."""
    draft = _draft(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _draft(path: Path, content: str | bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    return draft
