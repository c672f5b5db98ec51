"""Sums of the shadow: added up piece by piece they equal what all rows at once give."""

from __future__ import annotations

import numpy as np
import pytest

from cohortlens.analytics.shadow_totals import ShadowTotals


def answers(seed, rows, *, base=1000.0):
    rng = np.random.default_rng(seed)
    value = base + rng.gamma(2.0, 3.0, rows)
    champion = {"value": value, "lower": value - 2, "upper": value + 2}
    return champion, {"value": value * 0.99 + 8 + rng.normal(0, 2.0, rows)}


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_pieces_add_up_to_the_figures_of_all_rows():
    pieces = [answers(seed, rows) for seed, rows in ((1, 1), (2, 64), (3, 7), (4, 300))]
    sums = [
        ShadowTotals.of(champion, challenger, (1.0, 2.0) if index % 2 else None)
        for index, (champion, challenger) in enumerate(pieces)
    ]
    total = sums[0] + sums[1] + sums[2] + sums[3]
    old, new = joined([piece[0] for piece in pieces]), joined([piece[1] for piece in pieces])["value"]
    difference = new - old["value"]
    assert total.rows == 372
    assert total.mean_difference == pytest.approx(difference.mean(), rel=1e-9)
    assert total.mean_absolute_difference == pytest.approx(np.abs(difference).mean(), rel=1e-12)
    # Values of 1,000 with a spread of some units: plain sums of squares would lose half of the digits.
    assert total.correlation == pytest.approx(np.corrcoef(old["value"], new)[0, 1], rel=1e-9)
    assert total.outside_ratio == pytest.approx(np.mean(np.abs(difference) > 2))
    assert (total.timed_calls, total.champion_ms, total.challenger_ms) == (2, 2.0, 4.0)


def test_one_value_has_no_correlation():
    champion, challenger = answers(1, 1)
    assert ShadowTotals.of(champion, challenger).correlation is None


def test_equal_answers_correlate_fully_and_stay_inside():
    champion, _ = answers(5, 50)
    total = ShadowTotals.of(champion, {"value": champion["value"].copy()})
    assert (total.mean_difference, total.mean_absolute_difference, total.outside) == (0.0, 0.0, 0)
    assert total.correlation == pytest.approx(1.0, abs=1e-12)


def test_a_value_on_the_edge_of_the_interval_is_inside():
    edge = {"value": np.array([5.0, 5.0]), "lower": np.array([4.0, 4.0]), "upper": np.array([6.0, 6.0])}
    assert ShadowTotals.of(edge, {"value": np.array([6.0, 6.000001])}).outside == 1


def test_one_value_again_and_again_has_no_correlation_whatever_the_rounding():
    champion = {name: np.full(7, 8.3265593010612982) for name in ("value", "lower", "upper")}
    piece = ShadowTotals.of(champion, {"value": np.full(7, 0.21509548622709984)})
    total = piece
    for _ in range(300):
        total = total + piece
    assert total.correlation is None
