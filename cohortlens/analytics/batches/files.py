"""Parquet files of a batch as the control plane writes and reads them: input, scores, parts, result.

A slice is a row group of the input. Rows stay columns all the way: no Python object is made for one, except
for the digest that names its features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.analytics.ports import Features, Values
from cohortlens.contracts.batch_files import CUSTOMER, EXTERNAL, SCORES, VECTOR, BatchFolder, written
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import FEATURE_COLUMNS, WIDE_COLUMNS
from cohortlens.core.errors import Internal, Unavailable

WIDTH, WIDE_WIDTH = 4 * FEATURE_COLUMNS, 4 * WIDE_COLUMNS
"""Bytes of a feature vector, and of one with its weekly sequence behind it."""

_IDENTIFIER = pa.binary(16)
_RESULT = pa.schema(
    [
        ("id", pa.string()),
        *((name, pa.float64()) for name in SCORES),
        ("unit", pa.string()),
        ("horizon", pa.int32()),
        ("model_version", pa.int32()),
        ("snapshot_id", pa.string()),
    ]
)
Bytes16 = NDArray[np.void]
"""Identifiers, shape (n,), 16 bytes each."""


class FileDamaged(Internal):
    """A file of a batch is not what was written."""

    reason = "BATCH_FILE_DAMAGED"

    def __init__(self, path: Path) -> None:
        super().__init__(f"the file {path.name} of the batch is damaged; start the batch again")


class ScoresChanged(Unavailable):
    """The scores of a slice are not those the worker told of; scoring it again heals that."""

    reason = "BATCH_SCORES_CHANGED"

    def __init__(self, path: Path) -> None:
        super().__init__(f"the file {path.name} is not the one the worker told of", retry_delay_s=1.0)


@dataclass(frozen=True)
class SliceRows:
    """The rows of one slice.

    Attributes:
        ids: Identifiers in the tenant's data or the uploaded file, strings.
        matrix: Feature values, shape (n, columns), float32; wide rows where sequences were frozen too.
        customers: Customer identifiers; None for an uploaded input.
    """

    ids: pa.StringArray
    matrix: Features
    customers: Bytes16 | None


@dataclass(frozen=True)
class Labels:
    """What is the same in every row of a result."""

    unit: str
    horizon_days: int
    model_version: int


class InputWriter:
    """Writes an input, one row group for each slice.

    Args:
        path: Where.
        frozen: Whether the rows are customers.
        width: Bytes of a row.
    """

    def __init__(self, path: Path, *, frozen: bool, width: int = WIDTH) -> None:
        self.width = width
        self._vector = pa.binary(width)
        fields = [(EXTERNAL, pa.string()), (VECTOR, self._vector)]
        self._schema = pa.schema([*fields, (CUSTOMER, _IDENTIFIER)] if frozen else fields)
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="none",  # float32 of customers hardly shrink, and scoring should not wait for it
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        self.slices: list[int] = []

    def write(self, ids: pa.Array, vectors: pa.Buffer, customers: pa.Buffer | None = None) -> None:
        """Append a slice.

        Args:
            ids: Identifiers, strings.
            vectors: Rows x ``width`` bytes, little-endian float32.
            customers: Rows x 16 bytes, for a frozen input.
        """
        columns = [ids, pa.FixedSizeBinaryArray.from_buffers(self._vector, len(ids), [None, vectors])]
        if customers is not None:
            columns.append(pa.FixedSizeBinaryArray.from_buffers(_IDENTIFIER, len(ids), [None, customers]))
        batch = pa.record_batch(columns, schema=self._schema)
        self._writer.write_batch(batch, row_group_size=len(ids))
        self.slices.append(len(ids))

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


def slice_sizes(path: Path) -> list[int]:
    """Rows of each slice of an input."""
    metadata = pq.read_metadata(path)
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


def read_slice(path: Path, slice_: int, horizon_days: int) -> SliceRows:
    """The rows of a slice, the horizon set.

    Raises:
        FileDamaged: A page does not match its checksum.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read_row_group(slice_, use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise FileDamaged(path) from error
    vectors = _bytes_of(table[VECTOR], table.schema.field(VECTOR).type.byte_width)
    matrix = np.frombuffer(vectors, "<f4").reshape(table.num_rows, -1).astype(np.float32)
    matrix[:, SCHEMA.index("horizon")] = horizon_days
    customers = None
    if CUSTOMER in table.column_names:
        customers = np.frombuffer(_bytes_of(table[CUSTOMER], 16), "V16")
    ids = table[EXTERNAL].combine_chunks()
    return SliceRows(ids, matrix, customers)


def read_scores(path: Path, sha256: str, rows: int) -> dict[str, Values]:
    """The scores of a slice.

    Args:
        path: The workers' file.
        sha256: Its digest as the worker told it, hex.
        rows: Rows of the slice.

    Returns:
        ``value``, ``lower`` and ``upper``, shape (rows,) each.

    Raises:
        ScoresChanged: Another file, another number of rows.
        Internal: ``WORKER_FAULT``: a value is not finite.
    """
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ScoresChanged(path)
        table = pq.read_table(pa.BufferReader(data), columns=list(SCORES), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ScoresChanged(path) from error
    if table.num_rows != rows:
        raise ScoresChanged(path)
    scores = {name: table[name].to_numpy() for name in SCORES}
    if not all(np.isfinite(values).all() for values in scores.values()):
        raise Internal("a worker answered a value that is not finite", reason="WORKER_FAULT")
    return scores


def snapshot_digests(matrix: Features) -> bytes:
    """The first 16 bytes of each row's digest, as ``contracts.features.snapshot_id`` names features."""
    base = hashlib.sha256(SCHEMA.hash.encode())
    raw = memoryview(np.ascontiguousarray(matrix, "<f4").tobytes())
    found, width = [], 4 * matrix.shape[1]
    for at in range(0, len(raw), width):
        one = base.copy()
        one.update(raw[at : at + width])
        found.append(one.digest()[:16])
    return b"".join(found)


def write_part(
    path: Path, rows: SliceRows, scores: dict[str, Values], digests: bytes, labels: Labels
) -> None:
    """Write the result's rows of a slice; replaces what an earlier attempt left."""
    count = len(rows.ids)
    offsets = np.arange(0, 32 * (count + 1), 32, dtype=np.int32)
    snapshots = pa.StringArray.from_buffers(
        count, pa.py_buffer(offsets.tobytes()), pa.py_buffer(digests.hex().encode())
    )
    batch = pa.record_batch(
        [
            rows.ids,
            *(pa.array(scores[name]) for name in SCORES),
            pa.repeat(labels.unit, count),
            pa.repeat(pa.scalar(labels.horizon_days, pa.int32()), count),
            pa.repeat(pa.scalar(labels.model_version, pa.int32()), count),
            snapshots,
        ],
        schema=_RESULT,
    )
    with written(path) as part:
        pq.write_table(pa.Table.from_batches([batch]), part, compression="none", write_page_checksum=True)


def assemble(folder: BatchFolder, slices: Sequence[tuple[int, Sequence[int]]]) -> tuple[str, int]:
    """Put the parts together as the result.

    Args:
        folder: The batch's files.
        slices: Each slice with the rows, from 0, that are left out.

    Returns:
        SHA-256 of the result, hex, and its size in bytes.

    Raises:
        FileDamaged: A part is missing or damaged.
        DiskFull: No room is left.
    """
    with written(folder.result) as path:
        with pq.ParquetWriter(path, _RESULT, compression="zstd", compression_level=1) as writer:
            for slice_, skipped in slices:
                writer.write_table(_kept(folder.part(slice_), skipped))
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def _kept(path: Path, skipped: Sequence[int]) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FileDamaged(path) from error
    if not skipped:
        return table
    kept = np.ones(table.num_rows, np.bool_)
    kept[list(skipped)] = False
    return table.filter(pa.array(kept))


def _bytes_of(column: pa.ChunkedArray, width: int) -> memoryview:
    array = column.combine_chunks()
    data = memoryview(array.buffers()[1])
    return data[array.offset * width : (array.offset + len(array)) * width]
