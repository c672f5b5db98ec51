"""Where checkpoints and exports lie in the artifact store: below ``audit/<tenant>``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID

from cohortlens.core.disk import disk_faults

FOLDER = "audit"
_FULL = "no space is left for checkpoints and exports of the audit log; free space where the artifacts lie"


class AuditFolder:
    """The files of one tenant.

    Args:
        root: Folder of the artifact store.
        tenant_id: The tenant.
    """

    def __init__(self, root: Path, tenant_id: UUID) -> None:
        self._path = root / FOLDER / str(tenant_id)

    def checkpoint(self, seq: int) -> Path:
        """The copy of a checkpoint."""
        return self._path / "checkpoints" / f"{seq:019d}.json"

    def export(self, export_id: UUID) -> Path:
        """The folder of an export."""
        return self._path / "exports" / str(export_id)

    def result(self, export_id: UUID) -> Path:
        """The export itself."""
        return self.export(export_id) / "export.jsonl"

    def part(self, export_id: UUID, from_seq: int) -> Path:
        """The lines of the export from a row on, until all are there."""
        return self.export(export_id) / f"part-{from_seq:019d}.jsonl"


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name, whole and on the disk, only when the block ends well.

    Raises:
        DiskFull: No room is left; nothing stays.
    """
    with disk_faults(_FULL):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            try:
                yield cast("BinaryIO", file)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            finally:
                Path(file.name).unlink(missing_ok=True)
