"""The runner's format drift: a changed digit, a missing column, a broken file are failed cases."""

from __future__ import annotations

import copy
import json

import pytest

from tests.fixtures.public_data import drift_vector
from tests.vectors.drift import DRIFT
from tests.vectors.runner import FAILED, PASSED, run

TINY = {
    "columns": {"amount": "numerical", "shop": "categorical"},
    "reference": {"amount": [1, 2, 3, 4, None], "shop": ["a", "a", "b", None, "b"]},
    "current": {"amount": [2, 3, 9], "shop": ["a", "b", "b"]},
    "expected": {
        "amount": {"ks_statistic": 1 / 3, "evidently_score": 7.0},
        "shop": {"chi2_two_sample_statistic": 7 / 36},
    },
    "tolerance": 1e-9,
}


def ran(tmp_path, content):
    (tmp_path / "any-name.json").write_text(content if isinstance(content, str) else json.dumps(content))
    said = []
    return run(tmp_path, (DRIFT,), say=said.append), said


def test_statistics_by_hand_pass_and_results_of_others_are_not_counted(tmp_path):
    code, said = ran(tmp_path, TINY)
    assert (code, said[-1]) == (PASSED, "2 passed, 0 failed")


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_every_statistic_of_the_public_vectors_is_found_again(tmp_path, case):
    code, said = ran(tmp_path, drift_vector(case))
    assert (code, said[-1]) == (PASSED, "58 passed, 0 failed")


def mutations():
    digit = copy.deepcopy(TINY)
    digit["expected"]["amount"]["ks_statistic"] += 1e-6
    unknown = copy.deepcopy(TINY)
    unknown["expected"]["amount"]["ks_surprise"] = 0.5
    column = copy.deepcopy(TINY)
    column["expected"]["items"] = {"ks_statistic": 0.5}
    kind = copy.deepcopy(TINY)
    kind["columns"]["amount"] = "ordinal"
    gone = copy.deepcopy(TINY)
    del gone["current"]["shop"]
    empty = copy.deepcopy(TINY)
    empty["current"]["amount"] = [None, None]
    return {
        "digit": digit,
        "statistic": unknown,
        "column": column,
        "kind": kind,
        "side": gone,
        "empty": empty,
    }


@pytest.mark.parametrize("name", sorted(mutations()))
def test_a_vector_that_is_wrong_fails(tmp_path, name):
    code, said = ran(tmp_path, mutations()[name])
    assert code == FAILED, said
    assert not said[-1].endswith(" 0 failed")
