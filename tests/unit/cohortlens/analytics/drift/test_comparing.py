"""From samples to verdicts: significance and size both, corrected over all columns; the rules of Evidently."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cohortlens.analytics.drift.comparing import Pair, compare
from cohortlens.analytics.drift.models import ColumnKind, DriftConvention, DriftVerdict
from tests.fixtures.public_data import drift_vector

ROWS = 1_500


def pair(name, reference, current):
    return Pair(name, ColumnKind.INPUT, np.asarray(reference), np.asarray(current))


def calm(name="calm", seed=0):
    rng = np.random.default_rng(seed)
    return pair(name, rng.normal(size=ROWS), rng.normal(size=ROWS))


def moved(name, by, seed=1):
    rng = np.random.default_rng(seed)
    return pair(name, rng.normal(size=ROWS), rng.normal(by, size=ROWS))


def verdicts(pairs, **asked):
    verdict, columns = compare(pairs, **asked)
    return verdict, {one.name: one.verdict for one in columns}


def test_a_change_is_named_by_its_size_once_it_is_beyond_chance():
    verdict, found = verdicts([calm(), moved("small", 0.2), moved("middle", 0.4), moved("large", 0.8)])
    assert found == {
        "calm": DriftVerdict.STABLE,
        "small": DriftVerdict.CHANGED,
        "middle": DriftVerdict.WATCH,
        "large": DriftVerdict.ACT,
    }
    assert verdict is DriftVerdict.ACT


def test_a_large_index_within_chance_is_stable():
    rng = np.random.default_rng(8)
    reference, current = rng.normal(size=200), rng.normal(size=200)
    (column,) = compare([pair("noise", reference, current)])[1]
    assert column.p_value > 0.05
    assert (column.verdict, column.psi > 0.05) == (DriftVerdict.STABLE, True)


def test_the_report_is_no_worse_than_holm_allows():
    # Ten small changes for sure and thirty columns of chance: the two corrections differ by a factor of ten.
    pairs = [moved(f"sure{seed}", 0.2, seed) for seed in range(2, 12)]
    pairs += [calm(f"calm{seed}", seed) for seed in range(20, 50)]
    rng = np.random.default_rng(12)
    pairs.append(pair("edge", rng.normal(size=250), rng.normal(0.3, size=250)))
    verdict, columns = compare(pairs)
    edge = next(one for one in columns if one.name == "edge")
    assert edge.p_adjusted <= 0.05 < edge.p_holm
    assert (edge.verdict, verdict) == (DriftVerdict.WATCH, DriftVerdict.CHANGED)


def test_a_calm_column_never_says_more_than_changed():
    assert verdicts([moved("age", 1.5)], calm=frozenset({"age"})) == (
        DriftVerdict.CHANGED,
        {"age": DriftVerdict.CHANGED},
    )


def test_missing_values_are_a_column_of_their_own_and_leave_the_values_alone():
    base = calm()
    gone = base.current.copy()
    gone[: ROWS // 3] = np.nan
    verdict, columns = compare([dataclasses.replace(base, name="gap", current=gone)])
    found = {one.name: one for one in columns}
    assert found["gap"].verdict is DriftVerdict.STABLE
    assert found["missing.gap"].verdict is DriftVerdict.ACT
    assert found["missing.gap"].missing_current_ratio == pytest.approx(1 / 3)
    assert (found["missing.gap"].kind, verdict) == (ColumnKind.MISSING, DriftVerdict.ACT)


@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_column_without_any_value_is_unknown_with_its_reason_and_no_number_is_nan(side):
    base = dataclasses.replace(calm(), **{side: np.full(ROWS, np.nan)})
    _, columns = compare([base])
    found = next(one for one in columns if one.name == "calm")
    assert (found.verdict, found.psi, found.p_value) == (DriftVerdict.UNKNOWN, None, None)
    assert found.reason.startswith("ALL_MISSING")


def test_too_few_values_of_a_column_are_unknown_with_their_number():
    few = np.full(ROWS, np.nan)
    few[:199] = 1.0
    _, columns = compare([dataclasses.replace(calm(), current=few)])
    found = next(one for one in columns if one.name == "calm")
    assert found.reason.startswith("SAMPLE_TOO_SMALL")
    assert "199" in found.reason


def test_nothing_known_makes_an_unknown_report():
    nothing = np.full(ROWS, np.nan)
    assert compare([pair("none", nothing, nothing)])[0] is not DriftVerdict.ACT
    assert compare([])[0] is DriftVerdict.UNKNOWN


def test_categories_are_compared_by_value_whatever_their_type():
    reference = np.array([1, "1", True, None] * 400, object)
    current = np.array([1, 1, True, None] * 400, object)
    verdict, columns = compare([pair("mixed", reference, current)])
    found = {one.name: one for one in columns}
    assert (found["mixed"].is_numerical, found["mixed"].mean_reference) == (False, None)
    assert (found["mixed"].verdict, verdict) == (DriftVerdict.ACT, DriftVerdict.ACT)


def pairs_of(vector):
    return [
        pair(
            name,
            *(
                np.array(vector[side][name], np.float64 if kind == "numerical" else object)
                for side in ("reference", "current")
            ),
        )
        for name, kind in vector["columns"].items()
    ]


def test_the_public_samples_get_the_verdicts_that_they_deserve():
    drifted, same = drift_vector("case1"), drift_vector("case2")
    verdict, columns = compare(pairs_of(drifted))
    assert verdict is DriftVerdict.WATCH
    assert {one.name for one in columns if one.p_holm <= 0.05} == {"lines", "skus", "country"}
    assert {one.name for one in columns if one.p_adjusted <= 0.05} == {"lines", "skus", "country"}
    assert [one.name for one in columns if one.verdict is DriftVerdict.WATCH] == ["country"]
    verdict, columns = compare(pairs_of(same))
    assert verdict is DriftVerdict.STABLE
    assert {one.verdict for one in columns} == {DriftVerdict.STABLE}


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_by_request_each_column_is_decided_as_evidently_decided_it(case):
    vector = drift_vector(case)
    theirs = next(value for name, value in vector.items() if name.startswith("evidently_"))
    verdict, columns = compare(pairs_of(vector), DriftConvention.EVIDENTLY)
    for column in columns:
        default = theirs[column.name]["default"]
        assert (column.verdict is DriftVerdict.ACT) == default["drifted"], column.name
        decided_by = column.statistic if column.p_value is None else column.p_value
        assert decided_by == pytest.approx(default["score"], abs=1e-9), column.name
    drifted = sum(one["default"]["drifted"] for one in theirs.values())
    assert (verdict is DriftVerdict.ACT) == (drifted >= len(theirs) / 2)
