"""Noise and suppression: the exact distribution, and what an attacker can tell from answers."""

import ast
import math
import random
from fractions import Fraction
from pathlib import Path

import pytest
from scipy.stats import chisquare

from cohortlens.marketplace import privacy
from cohortlens.marketplace.privacy import (
    discrete_laplace,
    exp_at_least,
    expected_error,
    release,
    shown_from,
    threshold,
)

# Seeded chance, so that a test says the same each time; the product draws from the system.
BELOW = random.Random(20261123).randrange


@pytest.mark.parametrize("epsilon", [Fraction(1, 10), Fraction(1, 4), Fraction(1, 2), Fraction(2)])
def test_noise_has_the_discrete_laplace_distribution(epsilon):
    draws = 20_000
    e = float(epsilon)
    base = (math.exp(e) - 1) / (math.exp(e) + 1)
    edge = math.ceil(3 / e)
    counts = dict.fromkeys(range(-edge, edge + 1), 0)
    tails = 0
    for _ in range(draws):
        y = discrete_laplace(1 / epsilon, BELOW)
        if abs(y) <= edge:
            counts[y] += 1
        else:
            tails += 1
    expected = [draws * base * math.exp(-e * abs(y)) for y in counts]
    assert chisquare([*counts.values(), tails], [*expected, draws - sum(expected)]).pvalue > 0.001


def test_neighbouring_values_differ_by_at_most_e_to_the_epsilon():
    draws, epsilon = 60_000, 0.5
    counts = {}
    for _ in range(draws):
        y = discrete_laplace(Fraction(2), BELOW)
        counts[y] = counts.get(y, 0) + 1
    for y in range(-4, 4):
        ratio = counts[y] / counts[y + 1]
        error = 4 * ratio * math.sqrt(1 / counts[y] + 1 / counts[y + 1])
        assert math.exp(-epsilon) - error <= ratio <= math.exp(epsilon) + error


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive"):
        discrete_laplace(Fraction(0))


@pytest.mark.parametrize("x", [Fraction(0), Fraction(1, 10), Fraction(1), Fraction(13), Fraction(131, 10)])
def test_the_bound_of_the_exponential_is_below_it_and_near(x):
    bound = float(exp_at_least(x))
    assert math.exp(x) * (1 - 1e-9) <= bound <= math.exp(x) * (1 + 1e-12)


@pytest.mark.parametrize(("milli", "shown"), [(500, 37), (250, 63), (100, 142)])
def test_a_cell_is_shown_from_the_count_that_the_design_states(milli, shown):
    epsilon = Fraction(milli, 1_000)
    assert shown_from(epsilon) == shown
    t, e = threshold(epsilon), float(epsilon)
    assert math.exp(-e * (t - 1)) / (math.exp(e) + 1) <= 1e-6 < math.exp(-e * (t - 2)) / (math.exp(e) + 1)


def test_a_cell_of_fewer_than_ten_persons_is_never_shown():
    for count in range(10):
        for _ in range(300):
            assert release(count, None, epsilon_milli=500, below=BELOW).is_suppressed


def test_nine_and_ten_persons_cannot_be_told_apart():
    shown = sum(not release(10, None, epsilon_milli=500, below=BELOW).is_suppressed for _ in range(5_000))
    assert shown == 0  # at most delta, one in a million


def test_one_person_more_changes_no_answer_by_more_than_epsilon_allows():
    runs, epsilon = 20_000, 0.5
    seen = []
    for count in (80, 81):
        answers = [release(count, None, epsilon_milli=500, below=BELOW).count for _ in range(runs)]
        seen.append({a: answers.count(a) / runs for a in set(answers)})
    # The best distinguisher says "81" exactly where 81 is the likelier cause.
    advantage = sum(max(0.0, seen[1].get(a, 0.0) - seen[0].get(a, 0.0)) for a in set(seen[0]) | set(seen[1]))
    bound = (math.exp(epsilon) - 1) / (math.exp(epsilon) + 1)
    assert advantage <= bound + 1e-6 + 3 / math.sqrt(runs) * math.sqrt(len(seen[0]) / 4)


def test_a_sum_takes_noise_by_its_clip_and_half_of_the_epsilon():
    totals = [
        release(500, 1_000_000, epsilon_milli=500, clip_minor=2_000, below=BELOW).total for _ in range(3_000)
    ]
    mean_error = sum(abs(total - 1_000_000) for total in totals) / len(totals)
    # E|y| of scale clip / (epsilon / 2) is that scale, to a permille at this size.
    assert 0.93 * 8_000 <= mean_error <= 1.07 * 8_000
    assert expected_error(500, sensitivity=2_000, is_shared=True) == 8_000


def test_a_sum_without_a_clip_and_a_smaller_k_are_refused():
    with pytest.raises(ValueError, match="one person"):
        release(50, 10, epsilon_milli=500)
    with pytest.raises(ValueError, match="fewer than 10"):
        release(50, None, epsilon_milli=500, least_persons=9)


def test_the_noise_knows_no_floating_point_and_no_guessable_chance():
    tree = ast.parse(Path(privacy.__file__).read_text(encoding="utf-8"))
    floats = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is float
    ]
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert floats == []
    assert not imported & {"random", "numpy", "math", "decimal"}
    assert "float" not in named
