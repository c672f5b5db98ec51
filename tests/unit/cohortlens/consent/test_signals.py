"""Signals of browsers refuse, or give, the purposes they stand for."""

from __future__ import annotations

from uuid import uuid4

import pytest

from cohortlens.consent.acts import Act, with_signals
from cohortlens.consent.models import ActType, CollectionMethod
from cohortlens.consent.signals import Signals, given_by, refused_by
from cohortlens.core.errors import InvalidArgument


def test_global_privacy_control_refuses_sharing_and_nothing_else():
    assert refused_by(Signals(gpc=True)) == ["data_sharing"]
    assert given_by(Signals(gpc=True)) == []


def test_one_denied_setting_of_google_refuses_what_the_others_grant():
    signals = Signals(google={"ad_storage": True, "ad_user_data": False, "analytics_storage": True})
    assert refused_by(signals) == ["marketing"]
    assert given_by(signals) == ["profiling"]


def test_a_signal_becomes_a_refusal_of_its_own_beside_the_consent():
    act = Act("external:ann", ActType.GIVEN, [("data_sharing", 1)], uuid4())
    consent, refusal = with_signals(act, Signals(gpc=True))
    assert (consent.type, consent.purposes) == (ActType.GIVEN, [("data_sharing", 1)])
    assert (refusal.type, refusal.purposes) == (ActType.REFUSED, [("data_sharing", 0)])
    assert refusal.method is CollectionMethod.SIGNAL


def test_a_refusal_never_gives_what_a_signal_grants():
    act = Act("external:ann", ActType.REFUSED, [("marketing", 0)])
    assert [one.type for one in with_signals(act, Signals(google={"analytics_storage": True}))] == [
        ActType.REFUSED
    ]


def test_a_decision_about_nothing_is_refused_with_its_field():
    with pytest.raises(InvalidArgument) as fault:
        with_signals(Act("external:ann", ActType.GIVEN, []), Signals())
    assert fault.value.violations[0].field == "purposes"
