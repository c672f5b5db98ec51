"""The statistics of drift, each by one stated definition, for reports, the vector runner and the benchmark.

Samples of numbers are float64 of shape (n,) without NaN; samples of categories are counts per level, both
sides over the same levels in the same order, shape (k,). Nothing here decides: ``comparing.py`` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import scipy  # loads scipy.stats, which takes a second, when it is first used: gateways never do
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
CountArray = NDArray[np.int64]

EXACT_MAX = 10_000
"""Largest sample for which the distribution of the Kolmogorov-Smirnov statistic is taken exactly."""

MONTE_CARLO_TABLES = 10_000
MIN_EXPECTED = 5.0
"""Expected count from which the chi-square distribution is near enough (Cochran 1954)."""

_BEYOND_DOUBT = 1e-12
_FLOOR = 1e-4
_BY_VALUE_MAX = 20
_SD_FLOOR = 0.001
_SEED = 20_250_101
_TABLES_AT_ONCE = 500


def level_key(value: Any) -> Hashable:
    """The level of a category: ``1``, ``"1"`` and ``True`` are three, ``1`` and ``1.0`` are one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return ("number" if is_number else type(value).__name__, value)


def level_counts(reference: Iterable[Any], current: Iterable[Any]) -> tuple[CountArray, CountArray]:
    """Count the levels of two samples of categories.

    Args:
        reference: Categories without missing ones.
        current: The same, now.

    Returns:
        Counts of both, shape (k,) each, levels in the order of first appearance.
    """
    places: dict[Hashable, int] = {}
    coded = [
        [places.setdefault(level_key(one), len(places)) for one in side] for side in (reference, current)
    ]
    first, second = (np.bincount(np.array(side, np.int64), minlength=len(places)) for side in coded)
    return first.astype(np.int64), second.astype(np.int64)


def value_counts(reference: FloatArray, current: FloatArray) -> tuple[CountArray, CountArray]:
    """Count the distinct values of two samples of numbers; shape (k,) each, values ascending."""
    values, places = np.unique(np.concatenate([reference, current]), return_inverse=True)
    first, second = places[: len(reference)], places[len(reference) :]
    return (
        np.bincount(first, minlength=len(values)).astype(np.int64),
        np.bincount(second, minlength=len(values)).astype(np.int64),
    )


def kolmogorov_smirnov(
    reference: FloatArray, current: FloatArray, *, is_quick: bool = False
) -> tuple[float, float, str]:
    """Two-sample, two-sided test.

    Args:
        reference: At least one value.
        current: At least one value.
        is_quick: Leave the exact sum, which takes longest there, where the asymptotic p-value is below 1e-12.

    Returns:
        Statistic 0..1, p-value 0..1, and ``ks_exact`` (samples up to ``EXACT_MAX``) or ``ks_asymptotic``.

    Source:
        Hodges, The significance probability of the Smirnov two-sample test, Arkiv for Matematik 3 (1958).
    """
    test = scipy.stats.ks_2samp  # here, so that loading it cannot warn where the sum's own warnings are read
    is_exact = max(len(reference), len(current)) <= EXACT_MAX
    if is_quick or not is_exact:
        found = test(reference, current, method="asymp")
        if not is_exact or found.pvalue < _BEYOND_DOUBT:
            return float(found.statistic), min(1.0, float(found.pvalue)), "ks_asymptotic"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        found = test(reference, current, method="exact")
    # Where its exact sum overflows, scipy falls back and only warns.
    method = "ks_asymptotic" if said else "ks_exact"
    return float(found.statistic), min(1.0, max(0.0, float(found.pvalue))), method


def chi_square(reference: CountArray, current: CountArray) -> tuple[float, float]:
    """Two-sample chi-square test of homogeneity on the whole table, without Yates' correction.

    Args:
        reference: Counts per level, sum >= 1.
        current: Counts per level, sum >= 1.

    Returns:
        Statistic >= 0 and p-value 0..1; 0 and 1 for a single level.

    Source:
        Pearson (1900); see Agresti, Categorical Data Analysis, 3.2.
    """
    table = _table(reference, current)
    if table.shape[1] < 2:
        return 0.0, 1.0
    found = scipy.stats.chi2_contingency(table, correction=False)
    return float(found.statistic), float(found.pvalue)


def chi_square_pooled(reference: CountArray, current: CountArray) -> tuple[float, float, str]:
    """The test behind verdicts: rare levels are pooled; where too few are left, tables are drawn.

    Levels with an expected count below 5 on either side become one; if fewer than two levels remain whose
    expected count is 5, the p-value is the share of ``MONTE_CARLO_TABLES`` tables of the same margins whose
    statistic is as large, drawn from a fixed seed.

    Args:
        reference: Counts per level, sum >= 1.
        current: Counts per level, sum >= 1.

    Returns:
        Statistic, p-value, and ``chi_square`` or ``chi_square_monte_carlo``.

    Source:
        Cochran, Biometrics 10 (1954), for the 5; Hope, JRSS B 30 (1968), for the drawn tables.
    """
    table = _table(reference, current)
    if table.shape[1] < 2:
        return 0.0, 1.0, "chi_square"
    pooled = _pooled(table)
    if pooled.shape[1] >= 2:
        return *chi_square(pooled[0], pooled[1]), "chi_square"
    statistic = _statistics(table[:1], table)[0]
    rng, beyond = np.random.default_rng(_SEED), 0
    margin, size = table.sum(axis=0), int(table[0].sum())
    for _ in range(MONTE_CARLO_TABLES // _TABLES_AT_ONCE):
        drawn = rng.multivariate_hypergeometric(margin, size, size=_TABLES_AT_ONCE, method="marginals")
        beyond += int(np.count_nonzero(_statistics(drawn, table) >= statistic * (1 - 1e-12)))
    return float(statistic), (1 + beyond) / (1 + MONTE_CARLO_TABLES), "chi_square_monte_carlo"


def two_proportions(
    hits_reference: int, rows_reference: int, hits_current: int, rows_current: int
) -> tuple[float, float, str]:
    """Whether two shares differ, two-sided: pooled z-test, or Fisher's exact test where a count is rare.

    Args:
        hits_reference: Rows that have the property, in the reference.
        rows_reference: Rows of the reference, >= 1.
        hits_current: The same, now.
        rows_current: Rows now, >= 1.

    Returns:
        Difference of the shares (current - reference), p-value, and ``two_proportions`` or ``fisher_exact``.
    """
    difference = hits_current / rows_current - hits_reference / rows_reference
    table = np.array(
        [[hits_reference, rows_reference - hits_reference], [hits_current, rows_current - hits_current]]
    )
    if not table.sum(axis=0).all():
        return difference, 1.0, "two_proportions"
    if _expected(table).min() < MIN_EXPECTED:
        return difference, float(scipy.stats.fisher_exact(table).pvalue), "fisher_exact"
    return difference, float(scipy.stats.chi2_contingency(table, correction=False).pvalue), "two_proportions"


def psi_reference_deciles(reference: FloatArray, current: FloatArray) -> float:
    """Population stability index over the deciles of the reference.

    Edges are the unique linear quantiles 0, .1, .., 1 of the reference, the outer two replaced by infinities;
    bins are closed on the left. A constant reference has two bins, equal and not. Shares are at least 1e-4.

    Args:
        reference: At least one value.
        current: At least one value.

    Returns:
        The index, >= 0. Below .10 is calm, above .25 is a shift.

    Source:
        Siddiqi, Credit Risk Scorecards (2006), for index and limits.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0.0, 1.0, 11)))
    if len(edges) == 1:
        return _index(*(_shares(_equal_or_not(side, edges[0])) for side in (reference, current)))
    inner = edges[1:-1]
    return _index(*(_shares(_binned(side, inner)) for side in (reference, current)))


def psi_deciles_and_atoms(reference: FloatArray, current: FloatArray) -> float:
    """The index behind verdicts: deciles of the reference, with a bin for a value that fills whole deciles.

    ``psi_reference_deciles`` loses equal quantiles: a column of which nine tenths are 0, such as the money of
    the last 14 days, is left with one bin and an index of 0, whatever happens to it. Here a value that three
    or more of the eleven quantiles share gets a bin of its own. Without such a value both are the same.

    Args:
        reference: At least one value.
        current: At least one value.

    Returns:
        The index, >= 0.
    """
    quantiles = np.quantile(reference, np.linspace(0.0, 1.0, 11))
    values, times = np.unique(quantiles, return_counts=True)
    atoms = values[times >= 3]
    if not len(atoms):
        return psi_reference_deciles(reference, current)
    inner = np.unique(np.concatenate([values[1:-1], atoms, np.nextafter(atoms, np.inf)]))
    return _index(*(_shares(_binned(side, inner)) for side in (reference, current)))


def evidently_shares(reference: FloatArray, current: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shares of numbers per bin as Evidently takes them, shape (k,) each.

    With more than 20 distinct reference values the bins have Sturges' width over both samples together; else
    each value is its own.

    Source:
        Evidently 0.7, as its documentation of data drift describes it; Sturges, JASA 21 (1926).
    """
    if len(np.unique(reference)) > _BY_VALUE_MAX:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        first, second = (np.histogram(side, edges)[0] for side in (reference, current))
        return _shares(first), _shares(second)
    first, second = value_counts(reference, current)
    return _shares(first), _shares(second)


def level_shares(reference: CountArray, current: CountArray) -> tuple[FloatArray, FloatArray]:
    """Shares of levels, shape (k,) each."""
    return _shares(reference), _shares(current)


def psi_evidently(reference: FloatArray, current: FloatArray) -> float:
    """Population stability index of shares, with Evidently's stand-ins for shares of zero.

    Args:
        reference: Shares, shape (k,), sum 1.
        current: Shares, shape (k,), sum 1.

    Returns:
        The index, >= 0. A zero share counts as 1e-4, or as a millionth of the sample's smallest positive
        share where that share is not above 1e-4.
    """
    return _psi(_filled(reference), _filled(current))


def jensen_shannon(reference: FloatArray, current: FloatArray) -> float:
    """Jensen-Shannon distance: square root of the divergence, natural logarithm.

    Args:
        reference: Shares, shape (k,), sum 1.
        current: Shares, shape (k,), sum 1.

    Returns:
        0 for equal shares to .8326 (square root of ln 2) for disjoint ones.

    Source:
        Lin, IEEE Transactions on Information Theory 37 (1991); Endres and Schindelin (2003) for the root.
    """
    middle = (reference + current) / 2

    def towards(shares: FloatArray) -> float:
        some = shares > 0
        return float((shares[some] * np.log(shares[some] / middle[some])).sum())

    return float(np.sqrt(max(0.0, (towards(reference) + towards(current)) / 2)))


def wasserstein_normed(reference: FloatArray, current: FloatArray) -> float:
    """Wasserstein distance of order one over the population standard deviation of the reference.

    Args:
        reference: At least one value.
        current: At least one value.

    Returns:
        The distance in standard deviations, >= 0; a deviation below .001 counts as .001.
    """
    distance = float(scipy.stats.wasserstein_distance(reference, current))
    return distance / max(float(np.std(reference)), _SD_FLOOR)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false alarm.

    Source:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal 6 (1979).
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, np.float64)[order] * (len(order) - np.arange(len(order)))
    return _unordered(np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled, order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the share of false alarms among alarms.

    Source:
        Benjamini and Hochberg, JRSS B 57 (1995).
    """
    order = np.argsort(p_values, kind="stable")
    count = len(order)
    scaled = np.asarray(p_values, np.float64)[order] * count / np.arange(1, count + 1)
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    return _unordered(np.minimum(1.0, lowest), order)


def chi_square_one_sample(reference: CountArray, current: CountArray) -> float:
    """p-value of the current counts against the reference's shares taken for the truth.

    Not for verdicts: it ignores that the reference is a sample too, and alarms far too often. The convention
    EVIDENTLY and the benchmark use it. A level that the reference does not have makes it 0.
    """
    expected = reference * (current.sum() / reference.sum())
    if ((expected == 0) & (current > 0)).any():
        return 0.0
    some = expected > 0
    if np.count_nonzero(some) < 2:
        return 1.0
    return float(scipy.stats.chisquare(current[some], expected[some]).pvalue)


def _table(reference: CountArray, current: CountArray) -> CountArray:
    table = np.stack([reference, current])
    return table[:, table.sum(axis=0) > 0]


def _expected(table: CountArray) -> FloatArray:
    whole = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    return np.asarray(whole / table.sum(), np.float64)


def _pooled(table: CountArray) -> CountArray:
    """Rare levels as one; that one joins the smallest of the others where it is still rare itself."""
    is_rare = (_expected(table) < MIN_EXPECTED).any(axis=0)
    kept, rest = table[:, ~is_rare], table[:, is_rare].sum(axis=1, keepdims=True)
    if not is_rare.any() or not kept.shape[1]:
        return kept
    if (_expected(np.hstack([kept, rest]))[:, -1] >= MIN_EXPECTED).all():
        return np.hstack([kept, rest])
    kept = kept.copy()
    kept[:, [int(np.argmin(kept.sum(axis=0)))]] += rest
    return kept


def _statistics(first_rows: CountArray, table: CountArray) -> FloatArray:
    """Chi-square of tables with the margins of ``table`` and these first rows, shape (tables,)."""
    expected = _expected(table)
    first = ((first_rows - expected[0]) ** 2 / expected[0]).sum(axis=1)
    second = ((table.sum(axis=0) - first_rows - expected[1]) ** 2 / expected[1]).sum(axis=1)
    return np.asarray(first + second, np.float64)


def _equal_or_not(side: FloatArray, value: float) -> CountArray:
    equal = int(np.count_nonzero(side == value))
    return np.array([equal, len(side) - equal], np.int64)


def _binned(side: FloatArray, inner: FloatArray) -> CountArray:
    places = np.searchsorted(inner, side, side="right")
    return np.bincount(places, minlength=len(inner) + 1).astype(np.int64)


def _shares(counts: NDArray[Any]) -> FloatArray:
    return np.asarray(counts / counts.sum(), np.float64)


def _index(reference: FloatArray, current: FloatArray) -> float:
    return _psi(np.maximum(reference, _FLOOR), np.maximum(current, _FLOOR))


def _psi(reference: FloatArray, current: FloatArray) -> float:
    return float(((reference - current) * np.log(reference / current)).sum())


def _filled(shares: FloatArray) -> FloatArray:
    smallest = float(shares[shares > 0].min())
    return np.where(shares > 0, shares, _FLOOR if smallest > _FLOOR else smallest / 1e6)


def _unordered(values: FloatArray, order: NDArray[np.intp]) -> list[float]:
    found = np.empty(len(order))
    found[order] = values
    return [float(one) for one in found]
