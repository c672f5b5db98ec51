"""Where the files of a batch prediction lie, and their columns: control plane and workers agree here.

All lie in the artifact store below ``batches/<tenant>/<owner>``: ``input.parquet`` of the batch that froze
it or of the upload that brought it, ``scores-<slice>.parquet`` as the workers write them,
``part-<slice>.parquet`` before a slice is committed, ``result.parquet`` at the end. A slice is a row group of
the input.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from cohortlens.core.disk import disk_faults

FOLDER = "batches"
"""Folder of all batches in the artifact store."""

VECTOR = "vector"
"""Column of an input: the feature values of a row, little-endian float32, as fixed-size binary."""

CUSTOMER = "customer"
"""Column of an input frozen from customers: 16 bytes of the identifier."""

EXTERNAL = "id"
"""Column of an input and of a result: the identifier in the tenant's own data, or of the uploaded file."""

SCORES = ("value", "lower", "upper")
"""Columns of the workers' scores, float64, in the order of the slice's rows."""

_FULL = "no space is left for the files of batch predictions; free space where the artifacts lie"


class BatchFolder:
    """The files of one batch, or of one uploaded input.

    Args:
        root: Folder of the artifact store.
        tenant: Whose they are.
        owner: Batch or uploaded input.
    """

    def __init__(self, root: Path, tenant: UUID, owner: UUID) -> None:
        self.path = root / FOLDER / str(tenant) / str(owner)
        self.input = self.path / "input.parquet"
        self.result = self.path / "result.parquet"

    def scores(self, slice_: int) -> Path:
        """What the workers made of a slice."""
        return self.path / f"scores-{slice_:06d}.parquet"

    def part(self, slice_: int) -> Path:
        """The result's rows of a slice."""
        return self.path / f"part-{slice_:06d}.parquet"

    def make(self) -> None:
        """Make the folder, readable by this user only.

        Raises:
            DiskFull: No room is left.
        """
        with disk_faults(_FULL):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self, *, keep_result: bool = False) -> None:
        """Remove the files; a second call does nothing.

        Args:
            keep_result: Keep ``result.parquet``.
        """
        if not keep_result:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        for path in self.path.glob("*"):
            if path != self.result:
                path.unlink(missing_ok=True)


@contextmanager
def written(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A file that appears under its name only when the block ends well.

    Args:
        path: Its name; a file of that name is replaced.
        durable: Whether it must survive a power cut from then on.

    Yields:
        Where to write.

    Raises:
        DiskFull: No room is left; nothing stays.
    """
    with disk_faults(_FULL):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        part = Path(name)
        try:
            yield part
            if durable:
                os.fsync(handle)
            part.replace(path)
        finally:
            os.close(handle)
            part.unlink(missing_ok=True)
