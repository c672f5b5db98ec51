"""Scores one slice of a batch, from Parquet to Parquet; runs in the process of a Ray task."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.batch_files import SCORES, VECTOR, BatchFolder, written
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import FEATURE_COLUMNS, WIDE_COLUMNS
from cohortlens.core.errors import Code, CohortLensError, FailedPrecondition
from workers.batch_orders import SliceFailed, SliceOutcome, SliceScored, SlicesOrder
from workers.runtime.bundle import Bundle

logger = logging.getLogger(__name__)

PRIORITY = 10
"""Nice value of the scoring thread: replicas that answer callers go first."""

_MODELS = 2
_CHUNK_ROWS = 4096
_HORIZON = SCHEMA.index("horizon")


class InputUnreadable(FailedPrecondition):
    """The input of a batch is missing, damaged, or was built for another schema."""

    reason = "BATCH_FILE_DAMAGED"


def score_slice(root: Path, order: SlicesOrder, slice_: int) -> SliceOutcome:
    """Score a slice in a thread of low priority, which ends with it.

    Args:
        root: Folder of the artifact store.
        order: What to do.
        slice_: Row group of the input.
    """
    outcome: list[SliceOutcome] = []

    def work() -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
        outcome.append(_outcome(root, order, slice_))

    # Linux keeps the priority by thread; the process may serve something else afterwards.
    thread = threading.Thread(target=work, name="slice", daemon=True)
    thread.start()
    thread.join()
    return outcome[0]


def _outcome(root: Path, order: SlicesOrder, slice_: int) -> SliceOutcome:
    before = time.thread_time()
    try:
        rows, sha256 = _score(root, order, slice_)
    except CohortLensError as fault:
        return SliceFailed(fault.code, fault.reason, fault.message)
    except Exception:
        # The caller learns where to look; the details stay in the log of this process.
        logger.exception("slice %s of batch %s failed", slice_, order.batch)
        return SliceFailed(
            Code.INTERNAL, "BATCH_SCORING_FAILED", "the scoring failed by a fault of ours; its log tells more"
        )
    return SliceScored(slice_, rows, sha256, time.thread_time() - before)


def _score(root: Path, order: SlicesOrder, slice_: int) -> tuple[int, str]:
    if order.schema_hash != SCHEMA.hash:
        raise FailedPrecondition(
            f"the rows are of feature schema {order.schema_hash[:12]}, this release has {SCHEMA.hash[:12]}",
            reason="FEATURE_SCHEMA_MISMATCH",
        )
    matrix = _rows(BatchFolder(root, order.tenant, order.input).input, slice_)
    matrix[:, _HORIZON] = order.horizon_days
    bundle = _bundle(root, order.artifact_digest)
    chunks = [
        bundle.score(order.target, matrix[at : at + _CHUNK_ROWS]) for at in range(0, len(matrix), _CHUNK_ROWS)
    ]
    columns = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in SCORES}
    return len(matrix), _write(BatchFolder(root, order.tenant, order.batch).scores(slice_), columns)


@lru_cache(_MODELS)
def _bundle(root: Path, digest: str) -> Bundle:
    return Bundle.load(LocalArtifactStore(root), digest)


def _rows(path: Path, slice_: int) -> NDArray[np.float32]:
    """The feature values of a slice, shape (n, columns), float32; wide rows where sequences were frozen."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if slice_ >= file.num_row_groups:
                raise InputUnreadable(f"the input has no slice {slice_}; start the batch again")
            table = file.read_row_group(slice_, columns=[VECTOR], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise InputUnreadable("the input of the batch cannot be read; start the batch again") from error
    column = table[VECTOR].combine_chunks()
    width = column.type.byte_width
    if not len(column) or width not in (4 * FEATURE_COLUMNS, 4 * WIDE_COLUMNS):
        raise InputUnreadable("the input of the batch has rows of another width; start the batch again")
    start = column.offset * width
    data = memoryview(column.buffers()[1])[start : start + len(column) * width]
    return np.frombuffer(data, "<f4").reshape(len(column), -1).astype(np.float32)


def _write(path: Path, columns: dict[str, NDArray[np.float64]]) -> str:
    """Write scores; the control plane checks them by the digest, so they need not survive a power cut."""
    # From buffers: pa.array would look for pandas, which this process hides.
    arrays = [
        pa.Array.from_buffers(pa.float64(), len(one), [None, pa.py_buffer(one)]) for one in columns.values()
    ]
    table = pa.Table.from_arrays(arrays, names=list(columns))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    data = sink.getvalue()
    with written(path, durable=False) as part:
        part.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
