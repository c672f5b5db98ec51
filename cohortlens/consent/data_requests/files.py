"""The file of an export: parts while stores are read, then one archive of JSON and CSV with its manifest.

Parts and archive lie below ``data-exports/<tenant>/<request>`` of the artifact store, for this user only.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cohortlens.core.disk import disk_faults
from cohortlens.core.personal_data import Rows

FOLDER = "data-exports"
MANIFEST = "manifest.json"
_FULL = "no space is left for exports of personal data; free space where the artifacts lie"
# A spreadsheet would run a cell that begins with one of these (OWASP, CSV injection).
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")


class ExportFolder:
    """The files of one request.

    Args:
        root: Folder of the artifact store.
        tenant_id: The tenant.
        request_id: The request.
    """

    def __init__(self, root: Path, tenant_id: UUID, request_id: UUID) -> None:
        self.path = root / FOLDER / str(tenant_id) / str(request_id)
        self.result = self.path / "export.zip"

    def part(self, store: str) -> Path:
        """What a store said, until the archive is made."""
        return self.path / f"part-{store}.json"

    def write_part(self, store: str, tables: Mapping[str, Rows]) -> str:
        """Keep what a store said; its SHA-256, hex.

        Raises:
            DiskFull: No room is left.
        """
        content = text_of(tables)
        _write(self.part(store), content)
        return hashlib.sha256(content).hexdigest()

    def pack(self, manifest: Mapping[str, Any], stores: Sequence[str]) -> tuple[str, int]:
        """Make the archive of the parts; its SHA-256 in hex and its size in bytes.

        Args:
            manifest: What the manifest says beside its list of files.
            stores: Stores whose parts go in.

        Raises:
            FileNotFoundError: A part is gone.
            DiskFull: No room is left.
        """
        files: list[tuple[str, bytes]] = []
        for store in stores:
            for table, rows in json.loads(self.part(store).read_bytes()).items():
                files.append((f"{store}/{table}.json", text_of(rows)))
                files.append((f"{store}/{table}.csv", csv_of(rows)))
        listed = [
            {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in files
        ]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MANIFEST, text_of({**manifest, "files": listed}))
            for path, content in files:
                archive.writestr(path, content)
        content = buffer.getvalue()
        _write(self.result, content)
        for store in stores:
            self.part(store).unlink(missing_ok=True)
        return hashlib.sha256(content).hexdigest(), len(content)

    def remove(self) -> None:
        """Remove everything; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)


def text_of(value: Any) -> bytes:
    """A value as JSON for people and programs: UTF-8, indented; times in ISO 8601."""
    return json.dumps(value, ensure_ascii=False, indent=1, default=_as_text).encode()


def csv_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV (RFC 4180) with a header, UTF-8; what a cell cannot hold stands as JSON in it.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; the JSON has it as it is.
    """
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(names), lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_as_text)
    if isinstance(value, str) and value.startswith(_RUN_BY_SPREADSHEETS):
        return f"'{value}"
    return "" if value is None else value


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    with disk_faults(_FULL):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            finally:
                Path(file.name).unlink(missing_ok=True)
