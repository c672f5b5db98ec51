import pytest

from cohortlens.analytics.segment_moves import adjusted_rand_index


def test_equal_groupings_under_other_names_agree_wholly():
    assert adjusted_rand_index([("a", "x", 30), ("b", "y", 4), ("c", "z", 1)]) == 1.0


def test_groupings_that_have_nothing_to_do_with_each_other_agree_as_by_chance():
    # By hand: 4 customers, one in each cell: no pair together in both, 2 + 2 of 6 pairs together in one.
    cells = [("a", "x", 1), ("a", "y", 1), ("b", "x", 1), ("b", "y", 1)]
    assert adjusted_rand_index(cells) == pytest.approx((0 - 2 * 2 / 6) / (2 - 2 * 2 / 6))


def test_a_published_example_is_reproduced():
    # Yeung and Ruzzo, Details of the adjusted Rand index (2001): 10 objects, 0.313.
    table = {"u1": (1, 1, 0), "u2": (1, 2, 1), "u3": (0, 0, 4)}
    cells = [(row, f"v{at}", n) for row, counts in table.items() for at, n in enumerate(counts)]
    assert adjusted_rand_index(cells) == pytest.approx(0.3125, abs=5e-4)


@pytest.mark.parametrize("cells", [[], [("a", "x", 5)], [("a", "x", 1)]])
def test_one_group_or_nobody_is_agreement(cells):
    assert adjusted_rand_index(cells) == 1.0
