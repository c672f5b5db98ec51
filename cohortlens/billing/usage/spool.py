"""Usage events on this machine's disk, so that a crash or a database that is away loses none of them.

A spool is one file of one process: batches under rising numbers, each a line with a checksum, synced before
the database is told. PostgreSQL knows the last number of each spool, so reading a file again adds nothing.
The process that writes a spool holds its lock; whoever gets the lock of a file finds its process gone.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from cohortlens.billing.usage.models import UsageEvent
from cohortlens.core.ids import TenantId, parse_uuid, uuid7
from cohortlens.core.telemetry import get_logger

SPOOL_BYTES = 256 << 20
"""Largest spool: some million events; what comes beyond it is counted and lost."""
_SUFFIX = ".usage"
_HEADER = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEAD = 18
_FRESH_MOST = 8
_LOG = get_logger(__name__)


class SpoolFull(Exception):
    """The database has been away for so long that the spool may not grow any more."""


@dataclass(frozen=True)
class Batch:
    """Events that are stored together, once.

    Attributes:
        spool_id: The spool.
        seq: Number in the spool, from 1.
        batch_id: Identifier of the batch in the database.
        events: The events.
    """

    spool_id: UUID
    seq: int
    batch_id: UUID
    events: tuple[UsageEvent, ...]


class Spool:
    """A file that this process writes, or one that another left behind.

    Args:
        path: The file, named after the spool.
        descriptor: The open file, locked.
        most_bytes: Size it may not pass.
    """

    def __init__(self, path: Path, descriptor: int, most_bytes: int = SPOOL_BYTES) -> None:
        self._path = path
        self._file = descriptor
        self._most_bytes = most_bytes
        self._seq = 0
        self._written = 0
        self._read = 0
        self._lock = threading.Lock()
        # What was just written need not be read again, unless the database is so late that it piles up.
        self._fresh: dict[int, tuple[Batch, int]] = {}
        self.id = UUID(path.name.removesuffix(_SUFFIX))

    @classmethod
    def create(cls, folder: Path, most_bytes: int = SPOOL_BYTES) -> Spool:
        """A new spool of this process."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{uuid7()}{_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(path, descriptor, most_bytes)

    @classmethod
    def left_behind(cls, folder: Path) -> Iterator[Spool]:
        """The spools whose processes are gone, one by one; each is locked until it is closed."""
        for path in sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else ():
            if parse_uuid(path.name.removesuffix(_SUFFIX)) is None:
                continue
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            yield cls(path, descriptor)

    @property
    def has_unread(self) -> bool:
        """Whether batches wait that ``forget`` was not told of."""
        return self._read < self._written

    def append(self, events: list[UsageEvent]) -> None:
        """Write a batch; it survives a crash once this returns.

        Raises:
            SpoolFull: The spool may not grow any more.
            OSError: The disk took it not, or not whole; nothing of it is kept.
        """
        batch = Batch(self.id, self._seq + 1, uuid7(), tuple(events))
        line = _line(batch)
        with self._lock:
            if self._written + len(line) > self._most_bytes:
                raise SpoolFull
            try:
                if os.pwrite(self._file, line, self._written) != len(line):
                    raise OSError("the disk took a part of the batch")
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, self._written)
                raise
            self._seq += 1
            if len(self._fresh) < _FRESH_MOST:
                self._fresh[self._written] = (batch, self._written + len(line))
            self._written += len(line)

    def next(self) -> tuple[Batch, int] | None:
        """The first batch that was not forgotten and the place behind it; None when there is none."""
        with self._lock:
            if (fresh := self._fresh.get(self._read)) is not None:
                return fresh
            line = self._line_at(self._read)
            return None if line is None else (_batch(self.id, line), self._read + len(line))

    def forget(self, place: int) -> None:
        """What lies before ``place`` is in the database."""
        with self._lock:
            self._fresh.pop(self._read, None)
            self._read = place
            if self._read >= self._written:
                os.ftruncate(self._file, 0)
                self._read = self._written = 0

    def recover(self) -> None:
        """Find what a process that is gone has written; a last line that is not whole was never promised."""
        size = os.fstat(self._file).st_size
        self._written = size
        place = 0
        while (line := self._line_at(place)) is not None:
            place += len(line)
        if place < size:
            _LOG.warning("usage_spool_torn", spool=str(self.id), lost_bytes=size - place)
        self._written = place

    def close(self) -> None:
        """Remove the file if all of it is stored, and let go of it."""
        if not self.has_unread:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _line_at(self, place: int) -> bytes | None:
        if place >= self._written:
            return None
        head = os.pread(self._file, _HEAD, place)
        if (found := _HEADER.fullmatch(head)) is None:
            return None
        size, checksum = int(found[1], 16), int(found[2], 16)
        body = os.pread(self._file, size, place + _HEAD)
        if len(body) != size or zlib.crc32(body) != checksum:
            return None
        return head + body


def _line(batch: Batch) -> bytes:
    rows = [(one[0], one[1], int(one[2].timestamp() * 1_000_000), *one[3:]) for one in batch.events]
    body = orjson.dumps((batch.seq, batch.batch_id, rows)) + b"\n"
    return b"%08x %08x " % (len(body), zlib.crc32(body)) + body


def _batch(spool_id: UUID, line: bytes) -> Batch:
    seq, batch_id, rows = orjson.loads(line[_HEAD:])
    return Batch(spool_id, seq, UUID(batch_id), tuple(_event(row) for row in rows))


def _event(row: list[Any]) -> UsageEvent:
    tenant_id, meter, period_us, *rest = row
    return UsageEvent(TenantId(UUID(tenant_id)), meter, _instant(period_us), *rest)


def _instant(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)
