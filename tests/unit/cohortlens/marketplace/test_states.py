"""All 49 pairs of states: eleven moves are lawful and no other."""

from __future__ import annotations

from itertools import product

import pytest

from cohortlens.marketplace.states import AgreementState, StateTransitionInvalid, check_move

LAWFUL = {
    ("REQUESTED", "OFFERED"),
    ("OFFERED", "ACCEPTED"),
    ("ACCEPTED", "AGREED"),
    ("AGREED", "VERIFIED"),
    ("VERIFIED", "FINALIZED"),
    ("REQUESTED", "TERMINATED"),
    ("OFFERED", "TERMINATED"),
    ("ACCEPTED", "TERMINATED"),
    ("AGREED", "TERMINATED"),
    ("VERIFIED", "TERMINATED"),
    ("FINALIZED", "TERMINATED"),
}


@pytest.mark.parametrize(("before", "after"), list(product(AgreementState, AgreementState)))
def test_a_move_is_lawful_if_and_only_if_it_is_in_the_table(before, after):
    if (before, after) in LAWFUL:
        check_move(before, after)
        return
    with pytest.raises(StateTransitionInvalid) as refused:
        check_move(before, after)
    assert refused.value.reason == "STATE_TRANSITION_INVALID"
