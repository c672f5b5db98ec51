"""An uploaded input: kept on disk while it arrives, every row checked, stored as slices of a Parquet file."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cohortlens.analytics.batches.files import InputWriter
from cohortlens.analytics.batches.models import MAX_INPUT_BYTES, MAX_INPUT_ROWS, InputFault
from cohortlens.analytics.batches.tables import TableBatch, open_table
from cohortlens.analytics.ports import Values
from cohortlens.contracts.batch_files import BatchFolder, written
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.core.disk import disk_faults

_HORIZON = SCHEMA.index("horizon")
_WRITE_BYTES = 4 << 20
_MAX_ID_CHARACTERS = 200
_FULL = "no space is left for uploads; free space where the artifacts lie and send the file again"


@dataclass(frozen=True)
class InputFacts:
    """What is known of an accepted file; ``file_sha256`` in hex."""

    rows: int
    file_bytes: int
    file_sha256: str


async def receive(
    folder: BatchFolder, chunks: AsyncIterator[bytes], id_column: str, slice_rows: int
) -> InputFacts:
    """Take a file and check it; ``folder.input`` is there afterwards.

    Args:
        folder: Where it is kept; made here, removed by the caller after a fault.
        chunks: The bytes.
        id_column: Column that identifies a row.
        slice_rows: Rows of a slice.

    Raises:
        InputFault: The file cannot be used; names row and column.
        DiskFull: No room is left.
    """
    await asyncio.to_thread(folder.make)
    upload = folder.path / "upload"
    try:
        with disk_faults(_FULL):
            size, sha256 = await _keep(upload, chunks)
        rows = await _in_thread(lambda stop: convert(upload, folder.input, id_column, slice_rows, stop))
    finally:
        upload.unlink(missing_ok=True)
    return InputFacts(rows, size, sha256)


def convert(path: Path, target: Path, id_column: str, slice_rows: int, stop: threading.Event) -> int:
    """Check a file row by row and write it as an input; returns its rows.

    Raises:
        InputFault: The file cannot be used; names row and column.
        DiskFull: No room is left.
    """
    done = 0
    with written(target) as part:
        writer = InputWriter(part, frozen=False)
        try:
            for ids, vectors in _slices(_checked(open_table(path, id_column)), slice_rows):
                if stop.is_set():
                    break
                writer.write(ids, pa.py_buffer(vectors))
                done += len(ids)
        finally:
            writer.close()
        if not done:
            raise InputFault("the file holds no rows", "FILE_EMPTY")
    return done


async def _keep(path: Path, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
    digest, size, waiting = hashlib.sha256(), 0, bytearray()
    with await asyncio.to_thread(path.open, "wb") as file:

        def flush(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        async for chunk in chunks:
            size += len(chunk)
            if size > MAX_INPUT_BYTES:
                raise InputFault(
                    f"the file is larger than {MAX_INPUT_BYTES >> 30} GiB; split it", "INPUT_TOO_LARGE"
                )
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await asyncio.to_thread(flush, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(flush, bytes(waiting))
    if not size:
        raise InputFault("the file is empty", "FILE_EMPTY")
    return size, digest.hexdigest()


async def _in_thread(work: Callable[[threading.Event], int]) -> int:
    """Run ``work`` in a thread; when the call ends early the thread is told, and waited for."""
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    finally:
        stop.set()
        if not task.done():
            with contextlib.suppress(Exception):
                await task


def _checked(batches: Iterator[TableBatch]) -> Iterator[tuple[pa.StringArray, bytes]]:
    """Identifiers and vectors of each batch, the horizon 0."""
    done = 0
    for batch in batches:
        if done + len(batch.ids) > MAX_INPUT_ROWS:
            raise InputFault(f"the file holds more than {MAX_INPUT_ROWS} rows; split it", "INPUT_TOO_LARGE")
        _check_ids(batch, done)
        yield batch.ids, _vectors(batch.values, done)
        done += len(batch.ids)


def _check_ids(batch: TableBatch, before: int) -> None:
    lengths = pc.fill_null(pc.utf8_length(batch.ids), 0).to_numpy(zero_copy_only=False)
    wrong = (lengths < 1) | (lengths > _MAX_ID_CHARACTERS)
    if wrong.any():
        row = before + int(np.argmax(wrong)) + 1
        why = "is empty" if lengths[row - before - 1] < 1 else f"has over {_MAX_ID_CHARACTERS} characters"
        raise InputFault(
            f"row {row}, column {batch.id_column!r}: the identifier {why}",
            "ID_INVALID",
            column=batch.id_column,
            row=row,
        )


def _vectors(values: Values, before: int) -> bytes:
    with np.errstate(over="ignore"):
        matrix = values.astype(np.float32)
    # PredictBatch sets the horizon, so what a file says about it is not looked at.
    matrix[:, _HORIZON] = 0.0
    try:
        SCHEMA.check(matrix)
    except ContractFault as fault:
        given = float(values[fault.row, SCHEMA.index(fault.column)])
        raise _fault_of(fault, before + fault.row + 1, given) from None
    return np.ascontiguousarray(matrix, "<f4").tobytes()


def _fault_of(fault: ContractFault, row: int, given: float) -> InputFault:
    column = SCHEMA.columns[SCHEMA.index(fault.column)]
    where = f"row {row}, column {fault.column!r}"
    if math.isfinite(given):
        bounds = f"{column.minimum:g} to {column.maximum:g} ({column.unit})"
        text, reason = f"{given:g} lies outside {bounds}", "FEATURE_OUT_OF_RANGE"
    elif math.isnan(given):
        text, reason = "the value is missing, and the schema wants one", "VALUE_NOT_FINITE"
    else:
        text, reason = f"{given} is not finite", "VALUE_NOT_FINITE"
    return InputFault(f"{where}: {text}", reason, column=fault.column, row=row)


def _slices(
    batches: Iterator[tuple[pa.StringArray, bytes]], slice_rows: int
) -> Iterator[tuple[pa.StringArray, bytes]]:
    """The same rows in slices of ``slice_rows``, the last one shorter."""
    ids: list[pa.Array] = []
    held, rows = bytearray(), 0
    for some, vectors in batches:
        ids.append(some)
        held += vectors
        rows += len(some)
        while rows >= slice_rows:
            whole = pa.concat_arrays(ids)
            width = len(held) // rows
            yield whole[:slice_rows], bytes(held[: slice_rows * width])
            del held[: slice_rows * width]
            ids, rows = [whole[slice_rows:]], rows - slice_rows
    if rows:
        yield pa.concat_arrays(ids), bytes(held)
