"""The keys of writes to the provider: the same for repeats, and for nothing else."""

from __future__ import annotations

import itertools
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cohortlens.billing.subscriptions.provider_keys import provider_key

TENANTS = [UUID(int=1), UUID(int=2)]
PARTS = st.tuples(st.sampled_from(TENANTS), st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))


@given(PARTS, PARTS)
def test_two_steps_share_a_key_only_if_they_are_the_same(one, other):
    assert (provider_key(*one) == provider_key(*other)) == (one == other)


def test_a_key_is_one_that_the_provider_takes():
    keys = [
        provider_key(tenant, "ChangePlan", "r", step) for tenant, step in itertools.product(TENANTS, "ab")
    ]
    assert len(set(keys)) == 4
    assert all(len(key) == 64 and key.isascii() for key in keys)
