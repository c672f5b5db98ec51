"""Refresh tokens as bytes, and the table of the refresh at its edges."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.identity.models import ROLE_SCOPES, SessionState, TokenInvalid, normal_email
from cohortlens.identity.sessions.refresh_tokens import RefreshToken, Verdict, judge

SESSION = UUID("0193b0a0-0000-7000-8000-000000000001")


def test_a_token_is_55_characters_and_reads_back_as_it_was_made():
    token = RefreshToken.make(SESSION, 2**40, b"key")
    assert len(token.text()) == 55
    assert RefreshToken.parse(token.text()) == token
    assert token.is_proven_by(b"key")
    assert not token.is_proven_by(b"kez")


@given(st.text(max_size=80))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        token = RefreshToken.parse(text)
    except TokenInvalid:
        return
    assert token.text() == text


def test_every_changed_byte_breaks_the_proof():
    good = RefreshToken.make(SESSION, 3, b"key")
    for other in (
        RefreshToken(SESSION, 4, good.mac),
        RefreshToken(UUID(int=1), 3, good.mac),
        RefreshToken(SESSION, 3, bytes(16)),
    ):
        assert not other.is_proven_by(b"key")


def state(counter, age_s, used_gen):
    return SessionState(
        SESSION, UUID(int=1), UUID(int=2), counter, b"", used_gen, age_s, 1e6, False, True, None
    )


@pytest.mark.parametrize(
    ("presented", "age_s", "used_gen", "verdict"),
    [
        (9, 10.0, 10, Verdict.REPLAY),
        (9, 10.001, 10, Verdict.REUSE),
        (9, 60.0, 9, Verdict.REPLAY),
        (9, 60.001, 9, Verdict.REUSE),
        (9, 0.0, 11, Verdict.REPLAY),
        (8, 0.0, 0, Verdict.REUSE),
        (1, 0.0, 0, Verdict.REUSE),
        (10, 0.0, 0, Verdict.CHANGED),
        (11, 0.0, 0, Verdict.AHEAD),
    ],
)
def test_the_verdict_changes_exactly_at_the_edges_of_the_table(presented, age_s, used_gen, verdict):
    assert judge(presented, state(10, age_s, used_gen)) is verdict


def test_each_role_has_all_that_the_lesser_one_has():
    viewer, analyst, admin, owner = (ROLE_SCOPES[role] for role in ("viewer", "analyst", "admin", "owner"))
    assert viewer < analyst < admin < owner
    assert "customers.write" not in viewer
    assert "models.write" not in analyst


def test_addresses_that_look_alike_are_one():
    assert (
        normal_email(" OWNER@Shop.Example ")
        == normal_email("\uff4fwner@shop.example")
        == "owner@shop.example"
    )
