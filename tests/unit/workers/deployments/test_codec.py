"""Matrices and columns on the wire."""

from __future__ import annotations

import numpy as np
import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.internal.v1 import inference_pb2 as pb
from workers.deployments import codec


def test_a_matrix_arrives_as_it_was_sent_bit_for_bit_nan_and_subnormals_included():
    rows = np.array([[1.5, np.nan, -0.0], [np.inf, 1e-45, 3.4e38]], np.float32)

    received = codec.features(pb.Matrix.FromString(codec.matrix(rows).SerializeToString()))

    assert received.dtype == np.float32
    assert received.tobytes() == rows.tobytes()


def test_rows_in_column_order_are_sent_in_row_order():
    rows = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))

    assert codec.matrix(rows).values == np.arange(6, dtype="<f4").tobytes()


def test_columns_travel_as_little_endian_float64_under_their_names():
    sent = codec.columns({"value": np.array([1.0, 2.0]), "lower": np.array([0.5, 1.5])})

    assert [column.name for column in sent] == ["value", "lower"]
    assert np.frombuffer(sent[1].values, "<f8").tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("rows", "columns", "size", "named"),
    [
        (0, 3, 0, "features.rows is 0"),
        (codec.MAX_ROWS + 1, 1, 4, "features.rows is 100001"),
        (2, 0, 0, "features.columns is 0"),
        (2, 3, 23, "23 bytes; 2 x 3 float32 need 24"),
        (2, 3, 0, "0 bytes; 2 x 3 float32 need 24"),
        (1, 2**32 - 1, 8, "float32 need 17179869180"),
    ],
)
def test_a_matrix_whose_sizes_do_not_fit_is_refused_by_name(rows, columns, size, named):
    with pytest.raises(InvalidArgument, match=named) as caught:
        codec.features(pb.Matrix(rows=rows, columns=columns, values=bytes(size)))

    assert caught.value.reason == "MATRIX_INVALID"
