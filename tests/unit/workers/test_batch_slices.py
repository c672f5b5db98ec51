"""One slice from Parquet to Parquet, with a model of the test's own."""

from __future__ import annotations

import hashlib
import os
import threading
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohortlens.contracts.batch_files import VECTOR, BatchFolder
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import Code
from workers import batch_slices
from workers.batch_orders import SliceFailed, SlicesOrder
from workers.pandas_import import show_pandas

WIDTH = 4 * len(SCHEMA.columns)


class Model:
    """Answers the sum of a row and what priority its thread has."""

    def __init__(self):
        self.priorities = set()

    def score(self, target, features):
        self.priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        value = features.astype(np.float64).sum(axis=1)
        return {"value": value, "lower": value - 1, "upper": value + 1}


@pytest.fixture(autouse=True)
def model(monkeypatch):
    show_pandas()  # building the inputs here looks for it; the code under test must not
    made = Model()
    monkeypatch.setattr(batch_slices, "_bundle", lambda root, digest: made)
    return made


@pytest.fixture
def order(tmp_path):
    made = SlicesOrder(uuid4(), uuid4(), uuid4(), "d" * 64, SCHEMA.hash, "spend", 90, (0, 1))
    BatchFolder(tmp_path, made.tenant, made.batch).make()
    return made


def write_input(root, order, *slices, width=WIDTH):
    folder = BatchFolder(root, order.tenant, order.input)
    folder.make()
    schema = pa.schema([(VECTOR, pa.binary(width))])
    with pq.ParquetWriter(folder.input, schema, compression="none", write_page_checksum=True) as writer:
        for rows in slices:
            data = [row.astype("<f4").tobytes()[:width] for row in rows]
            writer.write_table(pa.table([pa.array(data, pa.binary(width))], schema=schema))
    return folder.input


def rows_of(count, value):
    return np.full((count, len(SCHEMA.columns)), value, np.float32)


def test_a_slice_is_scored_with_the_horizon_of_the_order_and_named_by_its_digest(tmp_path, order):
    write_input(tmp_path, order, rows_of(3, 1.0), rows_of(5000, 2.0))
    done = batch_slices.score_slice(tmp_path, order, 1)
    path = BatchFolder(tmp_path, order.tenant, order.batch).scores(1)
    assert (done.slice, done.rows, done.sha256) == (1, 5000, hashlib.sha256(path.read_bytes()).hexdigest())
    table = pq.read_table(path)
    expected = 2.0 * (len(SCHEMA.columns) - 1) + 90
    assert set(table["value"].to_pylist()) == {expected}
    assert set(table["upper"].to_pylist()) == {expected + 1}
    assert [one.name for one in path.parent.iterdir()] == ["scores-000001.parquet"]


def test_a_slice_scored_twice_gives_the_same_file(tmp_path, order):
    write_input(tmp_path, order, rows_of(7, 1.0))
    first, second = (batch_slices.score_slice(tmp_path, order, 0) for _ in range(2))
    assert first.sha256 == second.sha256


def test_scoring_has_a_low_priority_and_the_process_keeps_its_own(tmp_path, order, model):
    write_input(tmp_path, order, rows_of(1, 1.0))
    before = os.getpriority(os.PRIO_PROCESS, 0)
    batch_slices.score_slice(tmp_path, order, 0)
    assert model.priorities == {batch_slices.PRIORITY}
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_what_cannot_be_read_is_told_with_its_reason(tmp_path, order):
    missing = batch_slices.score_slice(tmp_path, order, 0)
    write_input(tmp_path, order, rows_of(1, 1.0))
    beyond = batch_slices.score_slice(tmp_path, order, 5)
    write_input(tmp_path, order, rows_of(1, 1.0), width=WIDTH - 4)
    narrow = batch_slices.score_slice(tmp_path, order, 0)
    for failed in (missing, beyond, narrow):
        assert (failed.code, failed.reason) == (Code.FAILED_PRECONDITION, "BATCH_FILE_DAMAGED")


def test_a_flipped_bit_of_the_input_is_noticed(tmp_path, order):
    path = write_input(tmp_path, order, rows_of(100, 3.0))
    data = bytearray(path.read_bytes())
    data[data.index(np.float32(3.0).tobytes() * 8)] ^= 1
    path.write_bytes(data)
    assert batch_slices.score_slice(tmp_path, order, 0).reason == "BATCH_FILE_DAMAGED"


def test_a_fault_nobody_foresaw_is_told_without_its_text_and_logged(
    tmp_path, order, model, monkeypatch, caplog
):
    write_input(tmp_path, order, rows_of(1, 1.0))
    monkeypatch.setattr(model, "score", lambda target, features: 1 / 0)
    failed = batch_slices.score_slice(tmp_path, order, 0)
    assert isinstance(failed, SliceFailed)
    assert (failed.code, failed.reason) == (Code.INTERNAL, "BATCH_SCORING_FAILED")
    assert "division" not in failed.message
    assert "division" in caplog.text


def test_rows_of_another_schema_are_refused(tmp_path, order):
    from dataclasses import replace

    failed = batch_slices.score_slice(tmp_path, replace(order, schema_hash="e" * 64), 0)
    assert (failed.code, failed.reason) == (Code.FAILED_PRECONDITION, "FEATURE_SCHEMA_MISMATCH")
