"""Blocks and pins as files: written whole or not at all, read only when they are what their CID says.

``blocks/<last two characters>/<CID>``, ``pins/<name>`` with the CID it keeps, ``bad/`` for what did not read
back as it was written. Everything blocks; callers on an event loop use threads. Several processes may share
one folder: a file lock keeps collections away from adds, renames do the rest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from cohortlens.core.clock import now
from cohortlens.core.telemetry import get_logger
from sidecars.web3.pinning.cid import RAW, Cid, parse_cid
from sidecars.web3.pinning.dagpb import linked
from sidecars.web3.pinning.errors import ContentNotFound, PinContentCorrupt, PinStoreBusy, PinStoreFull
from sidecars.web3.pinning.unixfs import MOST_PIECE_BYTES

FREE_BYTES_LEAST = 512 * 2**20
"""Bytes that stay free on the disk: adds stop before anything else on it comes to harm."""

BLOCK_BYTES_MOST = 2 * MOST_PIECE_BYTES
_NAME = re.compile(r"[a-z0-9-]{1,80}")
_LEFT_OVER_S = 3600.0
_LOG = get_logger(__name__)


class Blockstore:
    """Keeps blocks under their CIDs.

    Args:
        folder: Where; made when missing, readable for this user only.
        free_bytes_least: Bytes that adds leave free on the disk.
    """

    def __init__(self, folder: Path, free_bytes_least: int = FREE_BYTES_LEAST) -> None:
        self.folder = folder
        self._free_least = free_bytes_least
        self._blocks, self._pins, self._bad = folder / "blocks", folder / "pins", folder / "bad"
        self._new = folder / "new"
        for part in (folder, self._blocks, self._pins, self._bad, self._new):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_left_overs()

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Keep collections away until what is added is pinned."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def check_room(self, coming_bytes: int = 0) -> None:
        """Check that the disk has room.

        Raises:
            PinStoreFull: Less than the least would stay free.
        """
        if shutil.disk_usage(self.folder).free - coming_bytes < self._free_least:
            raise _full()

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a block; one that is there in good order stays as it is.

        Raises:
            PinStoreFull: The disk has too little room.
        """
        if cid.is_inline:
            return
        path = self._path(cid)
        if _reads_as(path, block):
            return
        self.check_room(len(block))
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self._blocks)
        self._write(path, block)

    def get(self, cid: Cid) -> bytes:
        """Read a block.

        Raises:
            ContentNotFound: It is not kept here.
            PinContentCorrupt: It is not what its CID says, or the disk lost it; it was moved to ``bad/``.
            PinStoreBusy: The system does not let it be read now.
        """
        if cid.is_inline:
            return cid.digest
        path = self._path(cid)
        try:
            block = path.read_bytes()
        except FileNotFoundError:
            raise ContentNotFound(f"the store does not keep {cid}; pin its content again") from None
        except OSError as error:
            if error.errno != errno.EIO:
                # Too many open files, no memory, no permission: that says nothing of the block itself.
                raise _unreadable(cid, error) from error
            raise self._set_aside(cid, path, "unreadable") from error
        if not cid.names(block):
            raise self._set_aside(cid, path, "altered")
        return block

    def has(self, cid: Cid) -> bool:
        """Whether a block is kept here; it is not read."""
        return cid.is_inline or self._path(cid).exists()

    def pin(self, name: str, cid: Cid) -> None:
        """Keep ``cid`` and all below it from collection, under a name that several CIDs never share.

        Raises:
            PinStoreFull: The disk has no room for the entry.
        """
        self._write(self._pin_path(name), str(cid).encode())

    def unpin(self, name: str) -> bool:
        """Let go of a pin; whether there was one."""
        try:
            self._pin_path(name).unlink()
        except FileNotFoundError:
            return False
        _sync_folder(self._pins)
        return True

    def pinned(self, name: str) -> Cid | None:
        """What a pin keeps."""
        try:
            return parse_cid(self._pin_path(name).read_text("ascii"))
        except FileNotFoundError:
            return None

    def pins(self) -> dict[str, Cid]:
        """Every pin."""
        found = ((path.name, self.pinned(path.name)) for path in sorted(self._pins.iterdir()))
        return {name: cid for name, cid in found if cid is not None}

    def pin_age_s(self, name: str) -> float:
        """Seconds since a pin was made; 0 where there is none."""
        try:
            return max(0.0, now().timestamp() - self._pin_path(name).stat().st_mtime)
        except FileNotFoundError:
            return 0.0

    def below(self, root: Cid) -> Iterator[Cid]:
        """A root and every block below it, each once; leaves are not read.

        Raises:
            ContentNotFound: A node of it is missing.
            PinContentCorrupt: A node of it is altered.
        """
        seen: set[str] = set()
        waiting = [root]
        while waiting:
            cid = waiting.pop()
            if cid.key in seen:
                continue
            seen.add(cid.key)
            yield cid
            if cid.codec != RAW:
                waiting.extend(linked(self.get(cid)))

    def collect(self) -> list[Cid]:
        """Remove every block that no pin keeps.

        What lies below a damaged node cannot be known, so a damaged pin stops the collection before it
        removes anything.

        Returns:
            What was removed.

        Raises:
            BlockingIOError: Something is being added; try again.
            ContentNotFound: A node below a pin is missing.
            PinContentCorrupt: A node below a pin is altered.
        """
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            kept = {cid.key for root in set(self.pins().values()) for cid in self.below(root)}
            removed = []
            for path in self._blocks.glob("*/*"):
                if path.name not in kept:
                    path.unlink()
                    removed.append(parse_cid(path.name))
            return removed

    def size(self) -> tuple[int, int]:
        """How many blocks are kept, and their bytes."""
        sizes = [path.stat().st_size for path in self._blocks.glob("*/*")]
        return len(sizes), sum(sizes)

    def blocks(self) -> Iterator[Cid]:
        """Every block that is kept."""
        return (parse_cid(path.name) for path in self._blocks.glob("*/*"))

    def bad(self) -> int:
        """How many damaged blocks were moved aside."""
        return sum(1 for _ in self._bad.iterdir())

    def _path(self, cid: Cid) -> Path:
        return self._blocks / cid.key[-2:] / cid.key

    def _pin_path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"a pin is named by 1 to 80 of a-z, 0-9 and -, not {name!r}")
        return self._pins / name

    def _write(self, path: Path, data: bytes) -> None:
        # All under another name first: a file under its own name is whole, whatever dies when.
        new = self._new / uuid4().hex
        try:
            with new.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise _full() from error
            raise

    def _set_aside(self, cid: Cid, path: Path, why: str) -> PinContentCorrupt:
        with suppress(OSError):
            path.replace(self._bad / path.name)
        _LOG.error("pin_content_corrupt", cid=str(cid), detail=why)
        return PinContentCorrupt(
            f"the stored block {cid} is not what it was; pin its content again", metadata={"cid": str(cid)}
        )

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, how)
            yield

    def _remove_left_overs(self) -> None:
        # Another process may be writing right now: only what is old was left by one that died.
        for path in self._new.iterdir():
            with suppress(FileNotFoundError):
                if now().timestamp() - path.stat().st_mtime > _LEFT_OVER_S:
                    path.unlink()


def _reads_as(path: Path, block: bytes) -> bool:
    try:
        return path.stat().st_size == len(block) and path.read_bytes() == block
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unreadable(cid: Cid, error: OSError) -> PinStoreBusy:
    _LOG.warning("pin_content_unreadable", cid=str(cid), detail=error.strerror)
    return PinStoreBusy("the IPFS store cannot be read now; try again", retry_delay_s=5.0)


def _full() -> PinStoreFull:
    return PinStoreFull(
        "the disk of the IPFS store has too little room left; free some or give it a larger disk",
        retry_delay_s=60.0,
    )
