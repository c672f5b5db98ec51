"""Prices and incentives are split in whole units, for every number of contributors."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.marketplace.split import MOST_INCENTIVE_MICRO, platform_fee, shares

PEOPLE = [UUID(int=random.Random(7).getrandbits(128) ^ n) for n in range(10_000)]


def test_an_incentive_is_shared_exactly_among_every_number_of_contributors_up_to_10_000():
    """The whole of it, n by n: what each gets differs by one at most, and nothing is lost.

    The order is one for all n here, so that 50 million digests need not be made.
    """
    chance = random.Random(3)
    for n in range(1, 10_001):
        pool = chance.randrange(MOST_INCENTIVE_MICRO)
        base, left = divmod(pool, n)
        assert base * (n - left) + (base + 1) * left == pool
    for n in [*range(1, 130), 997, 1_000, 4_096, 9_999, 10_000]:
        pool = chance.randrange(MOST_INCENTIVE_MICRO)
        split = shares(UUID(int=n), PEOPLE[:n], pool)
        assert sum(split.values()) == pool
        assert max(split.values()) - min(split.values()) <= 1
        assert set(split) == set(PEOPLE[:n])


@given(
    settlement=st.uuids(),
    people=st.sets(st.uuids(), min_size=1, max_size=60),
    pool=st.integers(0, MOST_INCENTIVE_MICRO),
)
def test_the_split_depends_on_who_contributes_and_never_on_their_order(settlement, people, pool):
    ordered = sorted(people)
    assert shares(settlement, ordered, pool) == shares(settlement, ordered[::-1], pool)
    assert sum(shares(settlement, ordered, pool).values()) == pool


def test_what_is_left_over_goes_to_others_in_the_next_settlement():
    lucky = {
        frozenset(who for who, amount in shares(UUID(int=n), PEOPLE[:100], 7).items() if amount)
        for n in range(20)
    }
    assert len(lucky) == 20


def test_an_incentive_without_contributors_or_with_one_named_twice_is_refused():
    with pytest.raises(ValueError, match="needs contributors"):
        shares(UUID(int=1), [], 5)
    with pytest.raises(ValueError, match="twice"):
        shares(UUID(int=1), [PEOPLE[0], PEOPLE[0]], 5)
    assert shares(UUID(int=1), [], 0) == {}


@pytest.mark.parametrize(("price", "fee"), [(0, 0), (9, 0), (10, 1), (19, 1), (9_999, 999), (10_000, 1_000)])
def test_the_platforms_part_is_a_tenth_rounded_down(price, fee):
    assert platform_fee(price) == fee
