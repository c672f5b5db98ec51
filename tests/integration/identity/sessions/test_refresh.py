"""The refresh algorithm against PostgreSQL: its table cell by cell, races, and what a reuse costs."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from cohortlens.core.context import RequestContext
from cohortlens.core.errors import CohortLensError
from cohortlens.identity.access.changes import AccessChanges, UserChange
from cohortlens.identity.models import (
    InvalidCredentials,
    RefreshReused,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)
from cohortlens.identity.sessions.refresh_tokens import RefreshToken
from tests.fixtures.tenants import register
from tests.fixtures.waiting import eventually
from tests.integration.identity.conftest import another_session

EXPIRED = "UPDATE sessions SET {} = clock_timestamp() - interval '1 second'"


async def _rows(superuser, expression):
    return await superuser.fetchval(f"SELECT {expression} FROM sessions")


async def _age(superuser, seconds):
    await superuser.execute(
        "UPDATE sessions SET last_refreshed_at = clock_timestamp() - make_interval(secs => $1)", seconds
    )


async def _rotated(identity, session, times):
    tokens = [session.refresh_token]
    for _ in range(times):
        tokens.append((await identity.sessions.renew(tokens[-1])).refresh_token)
    return tokens


async def test_each_refresh_gives_the_next_token_and_moves_the_idle_end(identity, session, superuser):
    await superuser.execute("UPDATE sessions SET idle_expires_at = clock_timestamp() + interval '1 hour'")
    pair = await identity.sessions.renew(session.refresh_token)
    assert pair.refresh_token != session.refresh_token
    assert not pair.replayed
    assert pair.session_id == session.session_id
    assert RefreshToken.parse(pair.refresh_token).counter == 2
    assert 14 * 86400 - 60 < pair.refresh_expires_in_s <= 14 * 86400


# d = how many rotations the token is behind; age of the last rotation; whether the child was used.
@pytest.mark.parametrize(
    ("behind", "age_s", "used", "is_replay"),
    [
        (1, 0, False, True),
        (1, 8, True, True),
        (1, 12, True, False),
        (1, 12, False, True),
        (1, 58, False, True),
        (1, 62, False, False),
        (1, 62, True, False),
        (2, 0, False, False),
        (2, 0, True, False),
        (3, 58, False, False),
    ],
)
async def test_the_table_of_the_refresh_holds_in_each_cell(
    identity, session, superuser, behind, age_s, used, is_replay
):
    tokens = await _rotated(identity, session, behind)
    await _age(superuser, age_s)
    if used:
        await superuser.execute("UPDATE sessions SET used_gen = refresh_counter")
    if is_replay:
        pair = await identity.sessions.renew(tokens[0])
        assert pair.replayed
        assert pair.refresh_token == tokens[-1]
        assert await _rows(superuser, "refresh_counter") == behind + 1
    else:
        with pytest.raises(RefreshReused):
            await identity.sessions.renew(tokens[0])
        assert await _rows(superuser, "revoke_reason") == "REUSE"
        with pytest.raises(TokenRevoked):
            await identity.sessions.renew(tokens[-1])


async def test_a_token_of_a_future_that_never_was_is_refused_without_harm(identity, session, superuser):
    tokens = await _rotated(identity, session, 2)
    await superuser.execute("UPDATE sessions SET refresh_counter = 2")  # a backup was restored
    with pytest.raises(TokenInvalid):
        await identity.sessions.renew(tokens[-1])
    assert await _rows(superuser, "revoked_at") is None


async def test_thirty_two_refreshes_at_once_are_one_rotation_and_equal_children(
    identity, another_process, session, superuser
):
    pairs = await asyncio.gather(
        *((identity, another_process)[index % 2].sessions.renew(session.refresh_token) for index in range(32))
    )
    assert len({pair.refresh_token for pair in pairs}) == 1
    assert sum(not pair.replayed for pair in pairs) == 1
    assert await _rows(superuser, "refresh_counter") == 2


async def test_a_reuse_ends_the_session_its_access_tokens_and_leaves_an_event(
    identity, another_process, session, superuser
):
    newest = await identity.sessions.renew(session.refresh_token)
    assert (await another_process.verifier.verify(newest.access_token)).session_id == session.session_id
    await _age(superuser, 61)
    with pytest.raises(RefreshReused):
        await identity.sessions.renew(session.refresh_token)
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(newest.access_token)
    await _dies(another_process, newest.access_token)
    event = await superuser.fetchrow("SELECT topic, payload::text AS payload FROM outbox")
    assert event["topic"] == "session.revoked"
    assert str(session.session_id) in event["payload"]


async def _dies(process, token):
    async def is_dead():
        try:
            await process.verifier.verify(token)
        except TokenRevoked:
            return True
        return False

    await eventually(is_dead, seconds=4)


@pytest.mark.parametrize("column", ["idle_expires_at", "absolute_expires_at"])
async def test_a_session_past_either_end_is_expired(identity, session, superuser, column):
    await superuser.execute(EXPIRED.format(column))
    with pytest.raises(TokenExpired):
        await identity.sessions.renew(session.refresh_token)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET status = 'DISABLED'",
        "UPDATE tenants SET status = 'SUSPENDED' WHERE kind = 'CUSTOMER'",
    ],
)
async def test_a_user_or_tenant_no_longer_active_cannot_refresh(identity, session, superuser, change):
    await superuser.execute(change)
    with pytest.raises(TokenInvalid):
        await identity.sessions.renew(session.refresh_token)


async def test_a_guessed_session_id_cannot_kill_the_session(identity, session, superuser):
    await identity.sessions.renew(session.refresh_token)
    await _age(superuser, 100)
    forged = RefreshToken.make(session.session_id, 1, b"not the key").text()
    with pytest.raises(TokenInvalid):
        await identity.sessions.renew(forged)
    assert await _rows(superuser, "revoked_at") is None


async def test_malformed_refresh_tokens_are_all_the_same_fault(identity, session):
    good = session.refresh_token
    texts = set()
    edits = [good[:-1], good + "=", good + "A", " " + good, "B" + good[1:], good[:-1] + "/"]
    for bad in ["", "AQ", "é" * 55, *edits]:
        with pytest.raises(TokenInvalid) as caught:
            await identity.sessions.renew(bad)
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert not (await identity.sessions.renew(good)).replayed


async def test_a_second_spelling_of_the_last_character_is_not_the_same_token(identity, session):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(session.refresh_token[-1])
    other = session.refresh_token[:-1] + alphabet[last ^ 1]  # differs only in bits that no byte holds
    with pytest.raises(TokenInvalid):
        await identity.sessions.renew(other)


async def test_a_verified_access_token_marks_its_generation_as_used(identity, session, superuser):
    await identity.verifier.verify(session.access_token)
    await identity.close()  # writes what is pending; otherwise a quarter of a second passes
    assert await _rows(superuser, "used_gen") == 1


async def test_refreshing_while_logging_out_ends_in_one_clear_state(identity, session, superuser):
    principal = await identity.verifier.verify(session.access_token)
    context = RequestContext("r", principal, time.monotonic() + 10)
    results = await asyncio.gather(
        *(identity.sessions.renew(session.refresh_token) for _ in range(4)),
        identity.control.delete(context, "current"),
        return_exceptions=True,
    )
    assert results[-1] is None, results
    assert not [it for it in results if isinstance(it, BaseException) and not isinstance(it, CohortLensError)]
    assert await _rows(superuser, "revoke_reason") == "LOGOUT"


AUDITED = """
SELECT convert_from(canonical, 'UTF8')::jsonb AS row FROM audit_log
 WHERE tenant_id = $1 AND position('auth.refresh' IN convert_from(canonical, 'UTF8')) > 0 ORDER BY seq
"""


async def test_replay_and_reuse_are_audited_and_a_reuse_is_mailed_once(identity, session, superuser):
    tokens = await _rotated(identity, session, 1)
    await identity.sessions.renew(tokens[0], address="203.0.113.77", request_id="a-request")
    await _age(superuser, 61)
    for _ in range(2):
        with pytest.raises((RefreshReused, TokenRevoked)):
            await identity.sessions.renew(tokens[0])
    rows = [json.loads(row["row"]) for row in await superuser.fetch(AUDITED, session.tenant_id)]
    assert [(row["action"], row["outcome"]) for row in rows] == [
        ("auth.refresh.replayed", "OK"),
        ("auth.refresh.reuse", "DENIED"),
    ]
    assert (rows[0]["address"], rows[0]["request_id"]) == ("203.0.113.0/24", "a-request")
    assert [row["resource"] for row in rows] == [f"sessions/{session.session_id}"] * 2
    assert await superuser.fetchval("SELECT count(*) FROM mails WHERE template = 'refresh_reused'") == 1


async def test_a_refresh_keeps_how_the_user_logged_in_and_what_the_client_was_given(identity, database):
    tenant = await register(database, "corner")
    given = frozenset({"customers.read"})
    pair = await another_session(
        identity, tenant.tenant_id, tenant.user_id, amr=("pwd", "otp"), client_id="a-client", scopes=given
    )
    with pytest.raises(TokenInvalid):  # of another client's session it is no token
        await identity.sessions.renew(pair.refresh_token)
    newer = await identity.sessions.renew(pair.refresh_token, client_id="a-client")
    principal = await identity.verifier.verify(newer.access_token)
    assert (principal.amr, principal.client_id, principal.scopes) == (("pwd", "otp"), "a-client", given)


async def test_a_session_stores_a_network_never_an_address_and_cuts_what_is_too_long(
    identity, database, superuser
):
    tenant = await register(database, "corner")
    await another_session(
        identity,
        tenant.tenant_id,
        tenant.user_id,
        device_name="d" * 300,
        user_agent="u\n" * 500,
        address="198.51.100.23",
    )
    row = await superuser.fetchrow("SELECT device_name, user_agent, address_prefix, amr FROM sessions")
    assert (len(row["device_name"]), len(row["user_agent"])) == (100, 256)
    assert "\n" not in row["user_agent"]
    assert (row["address_prefix"], row["amr"]) == ("198.51.100.0/24", ["pwd"])


async def test_a_password_that_changed_since_it_was_checked_opens_no_session(identity, session, superuser):
    principal = await identity.verifier.verify(session.access_token)
    await superuser.execute("UPDATE tenant_users SET ver = ver + 1")
    with pytest.raises(InvalidCredentials):
        await another_session(identity, session.tenant_id, principal.user_id, ver=1)
    assert await another_session(identity, session.tenant_id, principal.user_id, ver=2)


async def test_a_session_opened_while_all_are_ended_does_not_outlive_them(
    identity, session, database, superuser
):
    """Whichever comes first: the log-in is refused, or its session ends with the others."""
    principal = await identity.verifier.verify(session.access_token)

    async def end_all():
        async with database.tenant_transaction(session.tenant_id) as tx:
            changes = AccessChanges(tx, session.tenant_id)
            await changes.sessions_of(principal.user_id, "PASSWORD", everywhere=True)
            await changes.user(principal.user_id, UserChange.PASSWORD)

    for _ in range(5):
        ver = await superuser.fetchval("SELECT ver FROM tenant_users WHERE user_id = $1", principal.user_id)
        opening = [another_session(identity, session.tenant_id, principal.user_id, ver=ver) for _ in range(3)]
        await asyncio.gather(*opening, end_all(), return_exceptions=True)
        assert await superuser.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


async def test_revoking_any_refresh_token_ends_its_session_and_only_for_its_client(
    identity, session, superuser
):
    tokens = await _rotated(identity, session, 2)
    await identity.sessions.revoke_token("rubbish")
    await identity.sessions.revoke_token(tokens[0], client_id="a-client")
    assert await _rows(superuser, "revoked_at") is None
    await identity.sessions.revoke_token(tokens[0])
    assert await _rows(superuser, "revoke_reason") == "TOKEN_REVOKED"
