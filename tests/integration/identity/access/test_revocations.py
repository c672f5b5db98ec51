"""Tokens that are still valid and must not be taken any more, as each process sees them, whatever Redis does."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from cohortlens.core import outbox
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.redis import redis_client as connect
from cohortlens.identity.access.changes import AccessChanges, TenantChange, UserChange, purge
from cohortlens.identity.models import TokenExpired, TokenRevoked
from cohortlens.identity.sessions.keeper import SESSION_REVOKED
from tests.fixtures.waiting import eventually
from tests.integration.identity.conftest import another_session, open_identity

BOUND_S = 2.0


async def log_out(identity, session):
    principal = await identity.verifier.verify(session.access_token)
    await identity.control.delete(RequestContext("r", principal, time.monotonic() + 10), "current")


async def seconds_until(fault, process, token):
    """Seconds until the process refuses the token with this fault; fails after 4."""
    began = time.monotonic()
    while time.monotonic() - began < 4:
        try:
            await process.verifier.verify(token)
        except (TokenRevoked, TokenExpired) as caught:
            assert type(caught) is fault
            return time.monotonic() - began
        await asyncio.sleep(0.01)
    pytest.fail("the token was taken for 4 s")


@asynccontextmanager
async def without_redis(database):
    """A process that cannot reach Redis."""
    nowhere = connect("redis://127.0.0.1:1/0")
    service = await open_identity(database, nowhere)
    try:
        yield service
    finally:
        await service.close()
        await nowhere.aclose()


@asynccontextmanager
async def beside_a_silent_redis(database):
    """A process whose Redis takes connections and never answers."""
    handlers = []

    async def never(reader, writer):
        handlers.append(asyncio.current_task())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", timeout_s=60)
    service = await open_identity(database, client)
    try:
        yield service
    finally:
        await service.close()
        await client.aclose()
        server.close()
        await asyncio.gather(*handlers)


async def change(database, session, work):
    async with database.tenant_transaction(session.tenant_id) as tx:
        return await work(AccessChanges(tx, session.tenant_id))


async def test_a_log_out_holds_at_once_here_and_within_two_seconds_elsewhere(
    identity, another_process, session
):
    assert await another_process.verifier.verify(session.access_token)
    await log_out(identity, session)
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(session.access_token)
    assert await seconds_until(TokenRevoked, another_process, session.access_token) <= BOUND_S


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (UserChange.ROLE, TokenExpired),
        (UserChange.REMOVED, TokenRevoked),
        (UserChange.PASSWORD, TokenRevoked),
        (UserChange.TOTP, TokenRevoked),
        (UserChange.DISABLED, TokenRevoked),
    ],
)
async def test_a_change_of_the_user_refuses_older_tokens_and_takes_newer_ones(
    identity, another_process, session, database, cause, fault
):
    principal = await another_process.verifier.verify(session.access_token)
    await change(database, session, lambda changes: changes.user(principal.user_id, cause))
    # Nobody was told: the process that made the change died right after its commit.
    assert await seconds_until(fault, another_process, session.access_token) <= BOUND_S
    newer = await identity.sessions.renew(session.refresh_token)
    assert await another_process.verifier.verify(newer.access_token)


async def test_a_tenant_that_changes_state_refuses_all_its_tokens(
    identity, another_process, session, database
):
    await another_process.verifier.verify(session.access_token)
    await change(database, session, lambda changes: changes.tenant(TenantChange.SUSPENDED))
    assert await seconds_until(TokenRevoked, another_process, session.access_token) <= BOUND_S


async def test_after_a_new_password_the_kept_session_refreshes_and_the_others_end(
    identity, another_process, session, database
):
    principal = await another_process.verifier.verify(session.access_token)
    other = await another_session(identity, session.tenant_id, principal.user_id)
    await another_process.verifier.verify(other.access_token)

    async def new_password(changes):
        await changes.user(principal.user_id, UserChange.PASSWORD, keep=session.session_id)
        return await changes.sessions_of(
            principal.user_id, "PASSWORD", keep=session.session_id, everywhere=True
        )

    assert await change(database, session, new_password) == 1
    await another_process.revocations.publish()
    with pytest.raises(TokenExpired):
        await another_process.verifier.verify(session.access_token)
    with pytest.raises(TokenRevoked):
        await another_process.verifier.verify(other.access_token)
    with pytest.raises(TokenRevoked):
        await identity.sessions.renew(other.refresh_token)
    assert await identity.sessions.renew(session.refresh_token)


async def test_a_revoked_key_is_known_everywhere(identity, another_process, session, database):
    key_id = uuid7()
    assert not await another_process.revocations.is_key_revoked(key_id)
    await change(database, session, lambda changes: changes.key(key_id))
    await identity.revocations.publish()
    await eventually(lambda: another_process.revocations.is_key_revoked(key_id), seconds=BOUND_S)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE tenant_users SET role = 'viewer'", TokenExpired),
        ("UPDATE tenants SET status = 'SUSPENDED' WHERE kind = 'CUSTOMER'", TokenRevoked),
        ("UPDATE users SET status = 'DISABLED'", TokenRevoked),
        ("UPDATE sessions SET revoked_at = now(), revoke_reason = 'BY_HAND'", TokenRevoked),
        ("DELETE FROM tenant_users", TokenRevoked),
    ],
)
async def test_no_statement_changes_access_without_every_process_hearing_of_it(
    identity, session, superuser, statement, fault
):
    await identity.verifier.verify(session.access_token)
    await superuser.execute(statement)
    assert await seconds_until(fault, identity, session.access_token) <= BOUND_S


async def test_who_comes_back_into_a_tenant_is_not_met_by_the_removal(identity, session, superuser, database):
    principal = await identity.verifier.verify(session.access_token)
    await change(database, session, lambda changes: changes.user(principal.user_id, UserChange.ROLE))
    await superuser.execute("DELETE FROM tenant_users")
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, user_id, role) VALUES ($1, $2, 'owner')",
        session.tenant_id,
        principal.user_id,
    )
    await identity.revocations.publish()
    again = await another_session(identity, session.tenant_id, principal.user_id)
    assert await identity.verifier.verify(again.access_token)
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(session.access_token)


async def test_a_change_whose_transaction_ends_late_is_not_missed(
    identity, another_process, session, database, superuser
):
    """Its row is older than rows that were read before it: an id or a time as watermark would pass it by."""
    principal = await identity.verifier.verify(session.access_token)
    await superuser.execute("BEGIN")
    await superuser.execute(
        "UPDATE sessions SET revoked_at = clock_timestamp(), revoke_reason = 'LATE' WHERE id = $1",
        session.session_id,
    )
    await change(database, session, lambda changes: changes.key(uuid7()))
    await another_process.revocations.publish()
    assert await another_process.verifier.verify(session.access_token) == principal
    await superuser.execute("COMMIT")
    assert await seconds_until(TokenRevoked, another_process, session.access_token) <= BOUND_S


async def test_a_database_whose_transactions_count_from_the_start_again_is_read_anew(
    identity, session, database
):
    """As after a restore into a new cluster, which the process does not notice."""
    await identity.verifier.verify(session.access_token)
    identity.revocations._watermark = "9000000000000000000"
    await log_out(identity, session)
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(session.access_token)


async def test_an_emptied_redis_lets_nothing_through(
    identity, another_process, session, redis_client, database
):
    await log_out(identity, session)
    await redis_client.flushall()
    with pytest.raises(TokenRevoked):
        await another_process.verifier.verify(session.access_token)
    fresh = await open_identity(database, redis_client)
    with pytest.raises(TokenRevoked):
        await fresh.verifier.verify(session.access_token)
    await fresh.close()


async def test_a_redis_that_evicts_every_key_it_may_lets_nothing_through(
    identity, another_process, session, redis_client
):
    await another_process.verifier.verify(session.access_token)
    await log_out(identity, session)
    held = int((await redis_client.info("memory"))["used_memory"])
    await redis_client.config_set("maxmemory", held + 200_000)
    try:
        evicted = 0
        while not evicted:
            async with redis_client.pipeline(transaction=False) as pipeline:
                for _ in range(500):
                    pipeline.set(f"cl:filler:{uuid7()}", b"x" * 200, ex=600)
                await pipeline.execute()
            evicted = int((await redis_client.info("stats"))["evicted_keys"])
        assert await seconds_until(TokenRevoked, another_process, session.access_token) <= BOUND_S
    finally:
        await redis_client.config_set("maxmemory", "96mb")


async def test_processes_without_redis_hear_within_two_seconds(database, identity, session):
    async with without_redis(database) as one, without_redis(database) as other:
        assert await other.verifier.verify(session.access_token)
        await log_out(one, session)
        assert await seconds_until(TokenRevoked, other, session.access_token) <= BOUND_S


async def test_a_process_cut_off_from_redis_is_heard_by_those_that_reach_it(database, identity, session):
    assert await identity.verifier.verify(session.access_token)
    async with without_redis(database) as cut_off:
        await log_out(cut_off, session)
        assert await seconds_until(TokenRevoked, identity, session.access_token) <= BOUND_S


async def test_a_redis_that_hangs_holds_up_no_call(database, session, identity):
    async with beside_a_silent_redis(database) as service, asyncio.timeout(10):
        assert await service.verifier.verify(session.access_token)
        await log_out(service, session)


async def test_while_postgres_is_away_reads_go_on_for_a_minute_and_writes_do_not(
    identity, session, postgres_urls, redis_client
):
    class Switched(Database):
        away = False

        def transaction(self):
            if self.away:
                raise Unavailable("away", reason="DATABASE_UNAVAILABLE")
            return super().transaction()

    feed = Switched(postgres_urls.runtime, 1)
    service = await open_identity(identity._db, redis_client, feed=feed)
    try:
        assert await service.verifier.verify(session.access_token)
        feed.away = True
        service.revocations._read_at -= 3
        service.revocations.fresh_until -= 3
        assert await service.verifier.verify(session.access_token)
        with pytest.raises(Unavailable):
            await service.verifier.verify(session.access_token, strict=True)
        service.revocations._read_at -= 60
        with pytest.raises(Unavailable):
            await service.verifier.verify(session.access_token)
        feed.away = False
        assert await service.verifier.verify(session.access_token, strict=True)
    finally:
        await service.close()
        await feed.close()


async def test_a_known_token_is_checked_without_a_question(identity, session):
    await identity.verifier.verify(session.access_token)
    turn = identity.verifier.verify(session.access_token)
    with pytest.raises(StopIteration):  # ended without giving the loop a turn
        turn.send(None)


async def test_an_idle_process_stops_reading_and_a_call_starts_it_again(identity, session, monkeypatch):
    monkeypatch.setattr("cohortlens.identity.access.revocations._IDLE_S", 0.0)
    monkeypatch.setattr("cohortlens.identity.access.revocations._PERIOD_S", 0.02)
    await identity.verifier.verify(session.access_token)
    await asyncio.wait_for(identity.revocations._following, 5)
    identity.revocations.fresh_until = float("-inf")
    await identity.verifier.verify(session.access_token)
    assert not identity.revocations._following.done()


async def test_closing_ends_what_reads_beside_the_calls(database, session, redis_client):
    service = await open_identity(database, redis_client)
    await service.verifier.verify(session.access_token)
    following = service.revocations._following
    await service.close()
    assert following.done()


async def test_the_event_of_an_ended_session_tells_the_processes_again(
    identity, another_process, session, database
):
    await log_out(identity, session)
    [event] = await outbox.claim(database, "w", [outbox.Wanted(SESSION_REVOKED, 5)])
    await another_process.publish_revocation(event)
    with pytest.raises(TokenRevoked):
        await another_process.verifier.verify(session.access_token)


async def test_changes_that_no_token_can_meet_are_deleted(identity, session, database, superuser):
    await log_out(identity, session)
    async with database.transaction() as tx:
        assert await purge(tx) == 0
    await superuser.execute("UPDATE access_changes SET changed_at = changed_at - interval '25 hours'")
    async with database.transaction() as tx:
        assert await purge(tx) == 1
