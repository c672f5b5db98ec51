"""Content-addressed blobs on a local disk: a file is named by the SHA-256 of its bytes and never changes.

Training writes, replicas and the control plane read. A write is atomic: a reader sees the whole blob or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cohortlens.core.disk import disk_faults
from cohortlens.core.errors import Code, CohortLensError, NotFound

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ArtifactMissing(NotFound):
    """The store holds no blob of this digest."""

    reason = "ARTIFACT_MISSING"


class ArtifactCorrupt(CohortLensError):
    """The bytes on disk are not those the digest names, or do not hold what the manifest promises."""

    code = Code.DATA_LOSS
    reason = "ARTIFACT_CORRUPT"


class LocalArtifactStore:
    """Blobs below one folder, ``<root>/<first two digits>/<digest>``.

    Args:
        root: Folder; made when the first blob is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, digest: str) -> Path:
        """Where the blob lies; its bytes are not checked.

        Raises:
            ArtifactMissing: Not a digest, or no such blob.
        """
        path = self._place(digest)
        if not path.is_file():
            raise ArtifactMissing(
                f"The artifact {digest[:12]} is not in the store; train or import it again."
            )
        return path

    def exists(self, digest: str) -> bool:
        """Whether a blob of this digest is there."""
        return _DIGEST.fullmatch(digest) is not None and self._place(digest).is_file()

    def put_bytes(self, data: bytes) -> str:
        """Store bytes; storing the same again changes nothing.

        Returns:
            The digest, 64 hex digits.

        Raises:
            DiskFull: No room is left.
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self.exists(digest):
            with self._writing() as target:
                target.write(data)
                self._keep(target, digest)
        return digest

    def open_verified(self, digest: str) -> BinaryIO:
        """Open a blob for reading after its bytes were checked.

        Returns:
            A binary file at its start; the caller closes it.

        Raises:
            ArtifactMissing: No such blob.
            ArtifactCorrupt: The bytes do not match the digest.
        """
        reader = self.path(digest).open("rb")
        try:
            if hashlib.file_digest(reader, "sha256").hexdigest() != digest:
                raise ArtifactCorrupt(
                    f"The artifact {digest[:12]} is damaged on disk; restore it or train again.",
                )
            reader.seek(0)
        except BaseException:
            reader.close()
            raise
        return reader

    def read_verified(self, digest: str) -> bytes:
        """The bytes of a blob, checked as they were read.

        Raises:
            ArtifactMissing: No such blob.
            ArtifactCorrupt: The bytes do not match the digest.
        """
        data = self.path(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArtifactCorrupt(
                f"The artifact {digest[:12]} is damaged on disk; restore it or train again.",
            )
        return data

    def _place(self, digest: str) -> Path:
        if _DIGEST.fullmatch(digest) is None:
            raise ArtifactMissing("An artifact digest is 64 lower-case hex digits.")
        return self.root / digest[:2] / digest

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tempfile._TemporaryFileWrapper[bytes]]:
        with disk_faults("The disk that holds the artifacts is full; free some space and try again."):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".new-", delete=False) as target:
                try:
                    yield target
                finally:
                    Path(target.name).unlink(missing_ok=True)

    def _keep(self, target: tempfile._TemporaryFileWrapper[bytes], digest: str) -> None:
        final = self._place(digest)
        target.flush()
        os.fsync(target.fileno())
        os.fchmod(target.fileno(), 0o644)
        final.parent.mkdir(exist_ok=True)
        Path(target.name).replace(final)
