"""Files and rows of a batch: identifiers, digests, the binary copy, parts and the result."""

from __future__ import annotations

import hashlib
import io
import struct
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohortlens.analytics.batches import files
from cohortlens.analytics.batches.storing import copy_bytes, prediction_ids
from cohortlens.analytics.models import created_at_of
from cohortlens.contracts.batch_files import BatchFolder, written
from cohortlens.contracts.features import SCHEMA, snapshot_id
from cohortlens.core.errors import Internal
from cohortlens.core.ids import uuid7

LABELS = files.Labels("USD", 90, 3)


@pytest.fixture
def folder(tmp_path):
    made = BatchFolder(tmp_path, uuid4(), uuid4())
    made.make()
    return made


def rows_of(count, first=0):
    matrix = np.arange(count * len(SCHEMA.columns), dtype=np.float32).reshape(count, -1) + first
    customers = np.array([uuid7().bytes for _ in range(count)], "S16").view("V16")
    return files.SliceRows(pa.array([f"c{first + at}" for at in range(count)]), matrix, customers)


def scores_of(count):
    return {name: np.arange(count) + at / 10 for at, name in enumerate(("value", "lower", "upper"))}


def scored_file(path, scores):
    sink = io.BytesIO()
    pq.write_table(pa.table(scores), sink)
    path.write_bytes(sink.getvalue())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def test_identifiers_are_the_same_in_every_attempt_ascend_and_hold_the_time_of_the_batch():
    batch = uuid7()
    ids = [UUID(bytes=one.tobytes()) for one in prediction_ids(batch, 65_530, 12)]
    assert ids == [UUID(bytes=one.tobytes()) for one in prediction_ids(batch, 65_530, 12)]
    assert ids == sorted(set(ids))
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert {created_at_of(one) for one in ids} == {created_at_of(batch)}
    others = [UUID(bytes=one.tobytes()) for one in prediction_ids(uuid7(), 65_530, 12)]
    assert not set(ids) & set(others)


def test_more_rows_than_identifiers_are_an_error():
    with pytest.raises(ValueError, match="more rows"):
        prediction_ids(uuid7(), (1 << 28) - 1, 2)


def test_digests_name_features_as_a_single_prediction_does():
    matrix = rows_of(3).matrix
    found = files.snapshot_digests(matrix)
    assert [found[at : at + 16].hex() for at in (0, 16, 32)] == [
        snapshot_id(SCHEMA.hash, row) for row in matrix
    ]


def test_the_binary_copy_reads_back_field_by_field():
    rows, scores = rows_of(2), scores_of(2)
    ids = prediction_ids(uuid7(), 0, 2)
    digests = files.snapshot_digests(rows.matrix)
    data = copy_bytes(ids, rows, scores, digests)
    assert data.startswith(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
    assert data.endswith(b"\xff\xff")
    at, read = 19, []
    for _ in range(2):
        (count,) = struct.unpack_from(">h", data, at)
        at += 2
        fields = []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", data, at)
            fields.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        read.append(fields)
    assert at == len(data) - 2
    row, prediction, customer, value, lower, upper, vector, snapshot = read[1]
    assert (struct.unpack(">i", row), prediction, customer) == (
        (1,),
        ids[1].tobytes(),
        rows.customers[1].tobytes(),
    )
    assert struct.unpack(">ddd", value + lower + upper) == (1.0, 1.1, 1.2)
    assert vector == rows.matrix[1].astype("<f4").tobytes()
    assert snapshot == digests[16:]


def test_a_frozen_input_reads_back_slice_by_slice_with_the_horizon_set(folder):
    writer = files.InputWriter(folder.input, frozen=True)
    kept = [rows_of(3), rows_of(2, first=100)]
    for rows in kept:
        writer.write(rows.ids, pa.py_buffer(rows.matrix.tobytes()), pa.py_buffer(rows.customers.tobytes()))
    writer.close()
    assert files.slice_sizes(folder.input) == [3, 2] == writer.slices
    second = files.read_slice(folder.input, 1, 90)
    assert second.ids.to_pylist() == ["c100", "c101"]
    assert second.customers.tobytes() == kept[1].customers.tobytes()
    assert second.matrix[:, SCHEMA.index("horizon")].tolist() == [90, 90]
    assert second.matrix[:, :-1].tobytes() == kept[1].matrix[:, :-1].tobytes()


def test_a_flipped_bit_of_the_input_is_noticed(folder):
    writer = files.InputWriter(folder.input, frozen=False)
    rows = rows_of(100)
    writer.write(rows.ids, pa.py_buffer(rows.matrix.tobytes()))
    writer.close()
    data = bytearray(folder.input.read_bytes())
    at = data.index(rows.matrix[50].tobytes())
    data[at] ^= 1
    folder.input.write_bytes(data)
    with pytest.raises(files.FileDamaged, match="start the batch again"):
        files.read_slice(folder.input, 0, 90)


def test_scores_are_taken_only_as_the_worker_told_of_them(folder):
    path = folder.scores(0)
    sha256 = scored_file(path, scores_of(3))
    assert files.read_scores(path, sha256, 3)["lower"].tolist() == [0.1, 1.1, 2.1]
    for digest, rows in (("0" * 64, 3), (sha256, 4)):
        with pytest.raises(files.ScoresChanged):
            files.read_scores(path, digest, rows)
    path.unlink()
    with pytest.raises(files.ScoresChanged):
        files.read_scores(path, sha256, 3)


def test_a_score_that_is_not_finite_is_a_fault_of_the_worker(folder):
    sha256 = scored_file(folder.scores(0), scores_of(3) | {"upper": np.array([1.0, np.inf, 2.0])})
    with pytest.raises(Internal, match="not finite"):
        files.read_scores(folder.scores(0), sha256, 3)


def test_the_result_joins_the_parts_in_order_without_the_skipped_rows(folder):
    for slice_, first in ((0, 0), (1, 10)):
        rows = rows_of(3, first=first)
        files.write_part(folder.part(slice_), rows, scores_of(3), files.snapshot_digests(rows.matrix), LABELS)
    sha256, size = files.assemble(folder, [(0, []), (1, [0, 2])])
    data = folder.result.read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)
    table = pq.read_table(io.BytesIO(data))
    assert table.column_names == [
        "id", "value", "lower", "upper", "unit", "horizon", "model_version", "snapshot_id",
    ]  # fmt: skip
    assert table["id"].to_pylist() == ["c0", "c1", "c2", "c11"]
    assert table.to_pylist()[3] == {
        "id": "c11", "value": 1.0, "lower": 1.1, "upper": 1.2, "unit": "USD", "horizon": 90, "model_version": 3,
        "snapshot_id": snapshot_id(SCHEMA.hash, rows_of(3, first=10).matrix[1]),
    }  # fmt: skip


def test_a_missing_part_is_told_instead_of_left_out(folder):
    with pytest.raises(files.FileDamaged, match=r"part-000000\.parquet"):
        files.assemble(folder, [(0, [])])
    assert not folder.result.exists()


def test_a_file_that_was_not_finished_does_not_appear(folder):
    def broken_off():
        with written(folder.result) as part:
            part.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert list(folder.path.iterdir()) == []
