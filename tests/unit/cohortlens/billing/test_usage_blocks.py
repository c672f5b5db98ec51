"""Sizes of blocks, and what a process does with the leases it holds."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from cohortlens.billing.usage.blocks import Pool, block_size
from cohortlens.billing.usage.models import Grant, units_of
from cohortlens.core.ids import TenantId

START = datetime(2026, 11, 1, tzinfo=UTC)


def pool_with(*leases, limit=1_000_000, version=1):
    pool = Pool(TenantId(UUID(int=9)), set())
    for number, (units, expires_at) in enumerate(leases, 1):
        grant = Grant(UUID(int=number), units, 60.0, START, START, units, limit, version, "basic", True)
        pool.add(grant, expires_at, 1)
    return pool


@pytest.mark.parametrize(
    ("limit", "remaining", "processes", "size"),
    [
        (1_000, 1_000, 4, 1),
        (10_000, 10_000, 4, 2),
        (250_000, 250_000, 4, 62),
        (10_000_000, 10_000_000, 2, 2_000),
        (10_000_000, 10_000_000, 10, 1_000),
        (1_000_000_000, 1_000_000_000, 4, 2_000),
        (10_000_000, 8_000, 4, 100),
        (10_000_000, 800, 4, 10),
        (10_000_000, 79, 4, 1),
        (0, 0, 4, 1),
    ],
)
def test_a_block_is_a_thousandth_of_the_limit_shared_by_all_and_shrinks_near_its_end(
    limit, remaining, processes, size
):
    assert block_size(limit, remaining, processes) == size


@pytest.mark.parametrize(("rows", "units"), [(0, 1), (1, 1), (100, 1), (101, 2), (1_000_000, 10_000)])
def test_each_started_hundred_rows_is_a_unit(rows, units):
    assert units_of(rows) == units


def test_a_call_may_take_of_several_leases_the_oldest_first():
    pool = pool_with((3, 100.0), (5, 100.0))
    taken = pool.take(6, 0.0)
    assert [(lease.id.int, units) for lease, units in taken] == [(1, 3), (2, 3)]
    assert (pool.left, pool.head.id.int) == (2, 2)
    assert pool.take(3, 0.0) == ()
    assert pool.left == 2


def test_nothing_is_taken_of_a_lease_from_the_moment_it_ends_and_its_rest_is_owed():
    pool = pool_with((3, 100.0))
    assert pool.take(1, 99.9)
    assert pool.take(1, 100.0) == ()
    (lease,) = pool.closed.values()
    assert (pool.left, lease.returned, lease.is_listed) == (0, 2, False)
    assert pool.owing == {pool}


def test_only_leases_of_an_older_entitlement_are_closed():
    pool = pool_with((3, 100.0), version=5)
    pool.close_ended(0.0, 5)
    assert pool.left == 3
    pool.close_ended(0.0, 6)
    assert pool.left == 0


def test_units_that_come_back_to_a_spent_lease_can_be_spent_again():
    pool = pool_with((1, 100.0))
    ((lease, _),) = pool.take(1, 0.0)
    assert lease.is_listed is False
    lease.put(1)
    assert pool.left == 1
    assert pool.take(1, 0.0) == ((lease, 1),)


def test_what_is_beyond_two_blocks_goes_back():
    pool = pool_with((500, 100.0), limit=100_000)
    pool.give_surplus()
    assert pool.left == 2 * pool.block
    assert next(iter(pool.closed.values())).returned == 500 - 2 * pool.block
