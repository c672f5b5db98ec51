"""The bytes of an uploaded CSV file: unpacked, in UTF-8, bounded in how far they may expand."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

import pyarrow as pa

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.customers.models import MAX_EXPANSION, FileFault

_FREE_EXPANSION_BYTES = 1 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_UNSUPPORTED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z",
}
PARQUET_MAGIC = b"PAR1"
_HEAD_BYTES = 4096
# An .xlsx file is a zip whose first member is one of these; an .xls file is a compound document.
_WORKBOOK_MEMBERS = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/")
_COMPOUND_DOCUMENT = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

# A lone surrogate becomes bytes that are no UTF-8, so a row that the declared encoding cannot read is
# refused by the same check as one of a UTF-8 file.
codecs.register_error("cohortlens_mark", lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]


def check_encoding(name: str) -> str:
    """The canonical name of a text encoding; empty means UTF-8.

    Raises:
        InvalidArgument: Python knows no such text encoding.
    """
    if not name:
        return "utf-8"
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise InvalidArgument(
            f"options.encoding: {name[:32]!r} is no known text encoding; use a name such as utf-8 or cp1252",
            violations=(Violation("options.encoding", "no known text encoding"),),
        ) from error


class CsvStream(io.RawIOBase):
    """The text of a CSV file as UTF-8 bytes without a byte order mark; read by one thread.

    Args:
        path: The uploaded file: plain, gzip or zstd.
        encoding: Canonical name of its text encoding.

    Raises:
        FileFault: COMPRESSION_UNSUPPORTED for other packings; ENCODING_INVALID for undeclared UTF-16.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        super().__init__()
        self._size = path.stat().st_size
        self._file = pa.OSFile(str(path))
        self.packing = packing(self._file.read(_HEAD_BYTES))
        self._file.seek(0)
        self._source = pa.CompressedInputStream(self._file, self.packing) if self.packing else self._file
        self._decoder = (
            None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("cohortlens_mark")
        )
        self._given = 0
        self._at_start = True
        self._ended = False
        self.fault: FileFault | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._source.close()
            self._file.close()
        super().close()

    @property
    def consumed_ratio(self) -> float:
        """Share of the file on disk read so far, 0 to 1."""
        return min(1.0, float(self._file.tell()) / max(1, self._size)) if not self._file.closed else 1.0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most about ``size``; empty at the end.

        Raises:
            FileFault: EXPANSION_TOO_LARGE, or COMPRESSION_UNSUPPORTED for a damaged packing.
        """
        while not self._ended:
            part = self._part(size if size > 0 else 1 << 20)
            if part:
                return part
        return b""

    def _part(self, size: int) -> bytes:
        raw = self._unpacked(size)
        self._ended = not raw
        text = raw if self._decoder is None else self._transcoded(raw)
        if self._at_start and text:
            self._at_start = False
            if self._decoder is None and text[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise self._failed(
                    "ENCODING_INVALID", "the file is UTF-16; state it with the option encoding"
                )
            text = text.removeprefix(codecs.BOM_UTF8)
        return text

    def _unpacked(self, size: int) -> bytes:
        try:
            raw: bytes = self._source.read(size)
        except OSError as error:
            raise self._failed(
                "COMPRESSION_UNSUPPORTED", f"the {self.packing or 'plain'} file is damaged or cut short"
            ) from error
        self._given += len(raw)
        if self.packing and self._given > max(_FREE_EXPANSION_BYTES, MAX_EXPANSION * self._size):
            raise self._failed(
                "EXPANSION_TOO_LARGE",
                f"the file unpacks to more than {MAX_EXPANSION} times its size; send it unpacked",
            )
        return raw

    def _transcoded(self, raw: bytes) -> bytes:
        assert self._decoder is not None
        return self._decoder.decode(raw, final=not raw).encode("utf-8", "surrogatepass")

    def _failed(self, reason: str, message: str) -> FileFault:
        # Kept as well as raised: a reader in between may wrap what was raised.
        self.fault = FileFault(message, reason=reason)
        return self.fault


def packing(head: bytes) -> str | None:
    """How a file is packed, from its first bytes: ``gzip``, ``zstd`` or None for plain.

    Raises:
        FileFault: FORMAT_UNSUPPORTED: a workbook; COMPRESSION_UNSUPPORTED: another packing.
    """
    if _is_workbook(head):
        raise FileFault(
            "the file is an Excel workbook; save the sheet as CSV and send that", reason="FORMAT_UNSUPPORTED"
        )
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    for magic, name in _UNSUPPORTED.items():
        if head.startswith(magic):
            raise FileFault(
                f"the file is packed with {name}; send it plain, with gzip or with zstd",
                reason="COMPRESSION_UNSUPPORTED",
                metadata={"compression": name},
            )
    return None


def _is_workbook(head: bytes) -> bool:
    if head.startswith(b"PK\x03\x04"):
        first_member = head[30:]
        return first_member.startswith(_WORKBOOK_MEMBERS)
    return head.startswith(_COMPOUND_DOCUMENT)
