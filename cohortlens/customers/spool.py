"""Uploads on disk: written while they arrive, hashed, made durable before anything refers to them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cohortlens.core.disk import disk_faults
from cohortlens.core.ids import ImportId, TenantId, parse_uuid
from cohortlens.customers.models import MAX_FILE_BYTES, FileEmpty, ImportTooLarge

_WRITE_BYTES = 4 << 20
_UPLOAD = ".upload"
_PART = ".part"
_FULL = "no space is left for uploads; free space in the data folder and send the file again"


@dataclass(frozen=True)
class SpooledFile:
    """A complete upload on disk; ``sha256`` is hex."""

    path: Path
    size_bytes: int
    sha256: str


class Spool:
    """The folder of uploads that wait for their import.

    Args:
        folder: Where they lie; made with mode 0700 when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, tenant_id: UUID, import_id: UUID) -> Path:
        """Where the upload of an import lies."""
        return self._folder / f"{tenant_id}.{import_id}{_UPLOAD}"

    def work_path(self, tenant_id: UUID, import_id: UUID) -> Path:
        """Where the accepted rows of an import lie between its two phases."""
        return self._folder / f"{tenant_id}.{import_id}.accepted{_PART}"

    async def receive(
        self, tenant_id: TenantId, import_id: ImportId, chunks: AsyncIterator[bytes]
    ) -> SpooledFile:
        """Write an upload; the next chunk is awaited only when the last ones are on their way to disk.

        Raises:
            FileEmpty: No bytes came.
            ImportTooLarge: More than 1 GiB came.
            DiskFull: No space is left; nothing of the upload stays.
        """
        final = self.path(tenant_id, import_id)
        part = final.with_name(final.name + _PART)
        with disk_faults(_FULL):
            file = await asyncio.to_thread(self._create, part)
        try:
            with disk_faults(_FULL):
                size, digest = await self._write(file, chunks)
                await asyncio.to_thread(self._seal, file, part, final)
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise
        return SpooledFile(final, size, digest)

    def discard(self, tenant_id: UUID, import_id: UUID) -> None:
        """Remove what an import left in the folder."""
        self.path(tenant_id, import_id).unlink(missing_ok=True)
        self.work_path(tenant_id, import_id).unlink(missing_ok=True)

    def files(self) -> Iterator[tuple[Path, TenantId, ImportId, float]]:
        """Every file of the folder with its tenant, its import and when it was last written (Unix time)."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            names = path.name.split(".")
            tenant, import_ = parse_uuid(names[0]), parse_uuid(names[1]) if len(names) > 1 else None
            if tenant is None or import_ is None:
                continue
            try:
                written = path.stat().st_mtime
            except FileNotFoundError:
                continue
            yield path, TenantId(tenant), ImportId(import_), written

    def _create(self, part: Path) -> BinaryIO:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)

    async def _write(self, file: BinaryIO, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
        digest, size, waiting = hashlib.sha256(), 0, bytearray()

        def flush(data: bytes) -> None:
            digest.update(data)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

        async for chunk in chunks:
            size += len(chunk)
            if size > MAX_FILE_BYTES:
                raise ImportTooLarge(f"the file is larger than {MAX_FILE_BYTES >> 30} GiB; split it")
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await asyncio.to_thread(flush, bytes(waiting))
                waiting.clear()
        if not size:
            raise FileEmpty("the file is empty")
        await asyncio.to_thread(flush, bytes(waiting))
        return size, digest.hexdigest()

    def _seal(self, file: BinaryIO, part: Path, final: Path) -> None:
        os.fsync(file.fileno())
        file.close()
        part.rename(final)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name must outlive a power cut too
        finally:
            os.close(folder)
