"""Each statistic of drift by hand-made samples: ties, constants, one level, shares of zero, rare levels."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from cohortlens.analytics.drift import statistics


def array(*values):
    return np.array(values, np.float64)


def counts(*values):
    return np.array(values, np.int64)


def test_the_exact_ks_p_value_is_the_share_of_splits_that_lie_as_far_apart():
    reference, current = array(1, 2, 3, 7), array(4, 5, 6, 8, 9)
    pooled = np.sort(np.concatenate([reference, current]))

    def distance(chosen):
        inside = np.isin(np.arange(9), chosen)
        return np.abs(np.cumsum(inside) / 4 - np.cumsum(~inside) / 5).max()

    observed = distance(np.searchsorted(pooled, reference))
    splits = list(combinations(range(9), 4))
    expected = sum(distance(list(one)) >= observed - 1e-12 for one in splits) / len(splits)
    statistic, p_value, method = statistics.kolmogorov_smirnov(reference, current)
    assert (statistic, method) == (pytest.approx(observed), "ks_exact")
    assert p_value == pytest.approx(expected)


def test_the_ks_method_is_named_and_changes_above_ten_thousand_values():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=10_000), rng.normal(size=10_001)
    assert statistics.kolmogorov_smirnov(few, few[:500])[2] == "ks_exact"
    assert statistics.kolmogorov_smirnov(many, few[:500])[2] == "ks_asymptotic"


def test_samples_of_one_constant_are_equal_to_ks_and_to_every_distance():
    same, other = array(*[3.0] * 20), array(*[3.0] * 30)
    assert statistics.kolmogorov_smirnov(same, other)[:2] == (0.0, 1.0)
    assert statistics.psi_reference_deciles(same, other) == 0.0
    assert statistics.psi_deciles_and_atoms(same, other) == 0.0
    assert statistics.wasserstein_normed(same, other) == 0.0
    assert statistics.jensen_shannon(*statistics.evidently_shares(same, other)) == 0.0


def test_a_constant_reference_has_two_bins_equal_and_not():
    reference, current = array(*[5.0] * 10), array(*[5.0] * 6, 1.0, 2.0, 8.0, 9.0)
    floor = 1e-4
    expected = (1 - 0.6) * math.log(1 / 0.6) + (floor - 0.4) * math.log(floor / 0.4)
    assert statistics.psi_reference_deciles(reference, current) == pytest.approx(expected)


def test_the_deciles_of_the_reference_cut_both_samples():
    reference = np.arange(20, dtype=np.float64)  # two values in each bin
    current = array(-5, 0, 1, 1, 1.8, 9, 9, 17, 18, 50)
    shares = np.maximum(np.array([5, 0, 0, 0, 2, 0, 0, 0, 1, 2]) / 10, 1e-4)
    expected = ((0.1 - shares) * np.log(0.1 / shares)).sum()
    assert statistics.psi_reference_deciles(reference, current) == pytest.approx(float(expected))


def test_a_value_on_an_edge_belongs_to_the_bin_above():
    reference = array(*[0.0] * 5, *[10.0] * 5)  # its only inner edge is 5
    expected = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.5 - 0.75) * math.log(0.5 / 0.75)
    assert statistics.psi_reference_deciles(reference, array(5, 5, 4.99, 10)) == pytest.approx(expected)


def test_a_column_of_nine_tenths_zeros_is_blind_by_deciles_and_seen_by_deciles_and_atoms():
    rng = np.random.default_rng(1)
    reference = np.where(np.arange(1000) < 920, 0.0, rng.gamma(2, 10, 1000))
    current = np.where(np.arange(1000) < 500, 0.0, rng.gamma(2, 10, 1000))
    assert statistics.psi_reference_deciles(reference, current) == 0.0
    expected = (0.92 - 0.5) * math.log(0.92 / 0.5) + (0.08 - 0.5) * math.log(0.08 / 0.5)
    assert statistics.psi_deciles_and_atoms(reference, current) == pytest.approx(expected)


def test_without_a_value_that_fills_deciles_both_indices_are_the_same():
    rng = np.random.default_rng(2)
    reference, current = rng.normal(size=500), rng.normal(0.3, size=400)
    plain = statistics.psi_reference_deciles(reference, current)
    assert statistics.psi_deciles_and_atoms(reference, current) == plain > 0


@pytest.mark.parametrize(
    ("reference", "filled"),
    [((0.5, 0.5, 0.0), 1e-4), ((0.99999, 0.00001, 0.0), 1e-11)],
)
def test_a_share_of_zero_counts_by_the_smallest_positive_share(reference, filled):
    current = np.array([0.4, 0.3, 0.3])
    full = np.array([*reference[:2], filled])
    expected = ((full - current) * np.log(full / current)).sum()
    assert statistics.psi_evidently(np.array(reference), current) == pytest.approx(float(expected))


def test_up_to_twenty_distinct_reference_values_are_bins_of_their_own_more_get_sturges_bins():
    few = np.repeat(np.arange(20.0), 5)
    assert len(statistics.evidently_shares(few, few + 0.5)[0]) == 40
    many = np.repeat(np.arange(21.0), 5)
    shares, _ = statistics.evidently_shares(many, many)
    assert len(shares) == math.ceil(math.log2(210) + 1)


def test_disjoint_shares_lie_the_root_of_ln_2_apart():
    found = statistics.jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert found == pytest.approx(math.sqrt(math.log(2)))


def test_a_shift_by_one_deviation_is_a_wasserstein_distance_of_one():
    reference = np.random.default_rng(3).normal(10, 4, 2000)
    assert statistics.wasserstein_normed(reference, reference + reference.std()) == pytest.approx(1.0)
    assert statistics.wasserstein_normed(array(1, 1), array(2, 2)) == pytest.approx(1000.0), "floor .001"


def test_chi_square_of_one_level_says_nothing():
    assert statistics.chi_square(counts(10), counts(7)) == (0.0, 1.0)
    assert statistics.chi_square_pooled(counts(10, 0), counts(7, 0)) == (0.0, 1.0, "chi_square")


def test_two_by_two_is_the_closed_formula_without_yates():
    a, b, c, d = 30, 70, 45, 55
    expected = 200 * (a * d - b * c) ** 2 / (100 * 100 * (a + c) * (b + d))
    assert statistics.chi_square(counts(a, b), counts(c, d))[0] == pytest.approx(expected)


def test_rare_levels_are_one_level_to_a_verdict_and_many_to_the_plain_statistic():
    reference, current = counts(500, 300, 4, 3, 3, 2), counts(480, 320, 1, 6, 2, 3)
    pooled = statistics.chi_square_pooled(reference, current)
    assert pooled[:2] == statistics.chi_square(counts(500, 300, 12), counts(480, 320, 12))
    assert pooled[2] == "chi_square"


def test_levels_that_are_all_rare_take_drawn_tables_always_the_same():
    reference, current = counts(3, 2, 0, 1, 4), counts(2, 0, 3, 1, 3)
    statistic, p_value, method = statistics.chi_square_pooled(reference, current)
    assert method == "chi_square_monte_carlo"
    assert statistic == pytest.approx(statistics.chi_square(reference, current)[0])
    assert statistics.chi_square_pooled(reference, current)[1] == p_value
    assert 0 < p_value <= 1


def test_drawn_tables_agree_with_the_exact_test_where_both_are_possible():
    from scipy.stats import fisher_exact

    reference, current = counts(4, 0), counts(1, 4)
    _, p_value, method = statistics.chi_square_pooled(reference, current)
    assert method == "chi_square_monte_carlo"
    assert p_value == pytest.approx(fisher_exact([[4, 0], [1, 4]]).pvalue, abs=0.02)


def test_a_number_its_text_and_a_truth_are_three_levels():
    first, second = statistics.level_counts([1, "1", True, 1.0], ["1"])
    assert first.tolist() == [2, 1, 1]
    assert second.tolist() == [0, 1, 0]


def test_two_proportions_are_the_two_by_two_table_and_exact_when_rare():
    difference, p_value, method = statistics.two_proportions(30, 100, 45, 100)
    assert (difference, method) == (pytest.approx(0.15), "two_proportions")
    assert p_value == pytest.approx(statistics.chi_square(counts(30, 70), counts(45, 55))[1])
    assert statistics.two_proportions(0, 300, 3, 300)[2] == "fisher_exact"
    assert statistics.two_proportions(0, 300, 0, 200) == (0.0, 1.0, "two_proportions")


def test_holm_and_benjamini_hochberg_give_their_textbook_values():
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert statistics.holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.benjamini_hochberg(p_values) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == statistics.benjamini_hochberg([]) == []


def test_the_one_sample_test_takes_the_reference_for_the_truth_and_an_unknown_level_for_proof():
    assert statistics.chi_square_one_sample(counts(10, 0), counts(9, 1)) == 0.0
    reference, current = counts(60, 40), counts(45, 55)
    assert statistics.chi_square_one_sample(reference, current) < statistics.chi_square(reference, current)[1]
