import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA, ContractFault, snapshot_id
from cohortlens.contracts.featurize import featurize
from tests.fixtures.shops import FIRST_DAY, shop


@pytest.fixture
def rows() -> np.ndarray:
    matrix = featurize(shop(40, 200), FIRST_DAY + 199, 40)
    return matrix[~np.isnan(matrix[:, 0])]


def test_the_hash_is_that_of_the_canonical_json():
    columns = [
        {"name": c.name, "dtype": c.dtype, "unit": c.unit, "min": f"{c.minimum:g}", "max": f"{c.maximum:g}"}
        | {"nan": c.nullable}
        for c in SCHEMA.columns
    ]
    text = json.dumps(
        {"columns": columns, "name": "customer_features", "version": 1}, sort_keys=True, separators=(",", ":")
    )
    assert SCHEMA.hash == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_changes_with_a_bound_an_order_or_a_unit():
    hashes = {SCHEMA.hash}
    hashes.add(replace(SCHEMA, columns=SCHEMA.columns[::-1]).hash)
    hashes.add(replace(SCHEMA, version=2).hash)
    for change in ({"maximum": 7.0}, {"unit": "h"}, {"nullable": True}, {"name": "y"}):
        hashes.add(replace(SCHEMA, columns=(replace(SCHEMA.columns[0], **change), *SCHEMA.columns[1:])).hash)
    assert len(hashes) == 7


def test_names_are_unique_and_the_horizon_stands_last():
    assert len(set(SCHEMA.names)) == len(SCHEMA.columns)
    assert SCHEMA.index("horizon") == len(SCHEMA.columns) - 1


def test_an_unknown_column_is_named():
    with pytest.raises(ContractFault, match="recency"):
        SCHEMA.index("recency")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("x", -1, "FEATURE_OUT_OF_RANGE"),
        ("horizon", 731, "FEATURE_OUT_OF_RANGE"),
        ("exposure_30", 1.5, "FEATURE_OUT_OF_RANGE"),
        ("since", np.nan, "VALUE_NOT_FINITE"),
        ("sum", np.inf, "VALUE_NOT_FINITE"),
        ("gap_sd", -np.inf, "VALUE_NOT_FINITE"),
    ],
)
def test_a_bad_value_is_named_with_row_and_column(rows, column, value, reason):
    rows[3, SCHEMA.index(column)] = value
    rows[5, SCHEMA.index("x")] = -9
    with pytest.raises(ContractFault) as caught:
        SCHEMA.check(rows)
    assert (caught.value.reason, caught.value.row, caught.value.column) == (reason, 3, column)
    assert column in caught.value.message


def test_missing_values_pass_where_the_schema_allows_them(rows):
    rows[:, [index for index, column in enumerate(SCHEMA.columns) if column.nullable]] = np.nan
    SCHEMA.check(rows)


@pytest.mark.parametrize("shape", [(36,), (2, 35), (2, 37), (2, 36, 1)])
def test_rows_of_another_shape_are_refused(shape):
    with pytest.raises(ContractFault) as caught:
        SCHEMA.check(np.zeros(shape, np.float32))
    assert caught.value.reason == "FEATURE_SCHEMA_MISMATCH"


def test_rows_of_another_type_are_refused(rows):
    with pytest.raises(ContractFault, match="float64"):
        SCHEMA.check(rows.astype(np.float64))


def test_a_snapshot_is_named_by_schema_and_bytes(rows):
    vector = np.array([1.0, np.nan, 2.5], np.float32)
    raw = b"\x00\x00\x80?\x00\x00\xc0\x7f\x00\x00 @"
    assert snapshot_id("ab", vector) == hashlib.sha256(b"ab" + raw).hexdigest()[:32]
    assert snapshot_id("ac", vector) != snapshot_id("ab", vector)
    assert snapshot_id("ab", rows[:, 0]) == snapshot_id("ab", rows[:, 0].copy())
