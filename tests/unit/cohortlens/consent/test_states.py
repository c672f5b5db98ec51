"""Which decision counts: the order of arrival plays no part, and an oracle of its own agrees."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.consent.models import ActType, ConsentState
from cohortlens.consent.states import Decision, effective, expiry, state_of

START = datetime(2026, 1, 1, tzinfo=UTC)
ACTS = (ActType.GIVEN, ActType.REAFFIRMED, ActType.REFUSED, ActType.WITHDRAWN)


def decision(act, minute, place=0, version=1, expires=None):
    return Decision(uuid.uuid4(), act, START + timedelta(minutes=minute), place, version, expires)


def test_six_decisions_give_the_same_state_in_all_720_orders_of_arrival():
    six = [
        decision(ActType.GIVEN, 1),
        decision(ActType.WITHDRAWN, 2),
        decision(ActType.GIVEN, 3),
        decision(ActType.REFUSED, 4),
        decision(ActType.GIVEN, 5),
        decision(ActType.WITHDRAWN, 5),
    ]
    ends = {
        effective([replace(one, place=place) for place, one in enumerate(order)]).event_id
        for order in itertools.permutations(six)
    }
    assert ends == {six[5].event_id}


def test_of_one_moment_a_withdrawal_beats_a_refusal_and_a_refusal_a_consent():
    given_, refused, withdrawn = (
        decision(act, 1) for act in (ActType.GIVEN, ActType.REFUSED, ActType.WITHDRAWN)
    )
    assert effective([withdrawn, replace(refused, place=9), replace(given_, place=10)]) is withdrawn
    assert effective([refused, replace(given_, place=10)]) is refused


def test_a_late_old_withdrawal_does_not_undo_a_later_consent():
    later = decision(ActType.GIVEN, 10, place=1)
    assert effective([later, decision(ActType.WITHDRAWN, 5, place=2)]) is later


def test_an_end_that_the_product_recorded_decides_nothing():
    grant = decision(ActType.GIVEN, 1)
    assert effective([grant, decision(ActType.EXPIRED, 9, place=2)]) is grant


def test_a_consent_is_over_from_the_second_it_is_due_and_not_before():
    due = expiry(START, 1)
    grant = decision(ActType.GIVEN, 0, expires=due)
    assert state_of(grant, due - timedelta(microseconds=1), 1) is ConsentState.GIVEN
    assert state_of(grant, due, 1) is ConsentState.EXPIRED


def test_a_version_that_requires_reconsent_invalidates_consents_but_no_refusals():
    assert state_of(decision(ActType.GIVEN, 0, version=1), START, 2) is ConsentState.INVALIDATED
    assert state_of(decision(ActType.REFUSED, 0, version=1), START, 2) is ConsentState.REFUSED


class Oracle:
    """The same rules told another way: what a clerk does who keeps one line and looks at each new slip."""

    def __init__(self):
        self.line = None

    def slip(self, act, minute):
        strength = "GRW".index({"GIVEN": "G", "REAFFIRMED": "G", "REFUSED": "R", "WITHDRAWN": "W"}[act])
        if (
            self.line is None
            or minute > self.line[0]
            or (minute == self.line[0] and strength >= self.line[1])
        ):
            self.line = (minute, strength)

    def state(self, minute, validity):
        if self.line is None:
            return "NONE"
        if self.line[1] == 0 and validity is not None and minute >= self.line[0] + validity:
            return "EXPIRED"
        return ("GIVEN", "REFUSED", "WITHDRAWN")[self.line[1]]


@settings(max_examples=2000, deadline=None)
@given(
    slips=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 8)), max_size=12),
    asked=st.integers(0, 12),
    days=st.none() | st.integers(1, 3),
)
def test_two_thousand_sequences_end_as_the_clerk_says(slips, asked, days):
    oracle, decisions = Oracle(), []
    for place, (act, day) in enumerate(slips):
        oracle.slip(act.value, day)
        at = START + timedelta(days=day)
        decisions.append(Decision(uuid.uuid4(), act, at, place, 1, expiry(at, days)))
    found = state_of(effective(decisions), START + timedelta(days=asked), 1)
    assert found.value == oracle.state(asked, days)
