"""Signing keys: made once, published before they sign, out of the set when they retire."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import jwt
import pytest

from cohortlens.audit.models import Actor
from cohortlens.core.errors import FailedPrecondition, Unavailable
from cohortlens.identity.access.signing_keys import AUDIT_KEYS, SigningKeys
from cohortlens.identity.models import TokenInvalid
from tests.integration.identity.conftest import KEK, open_identity

STAFF = Actor("user", str(uuid4()))
OLDER = "UPDATE signing_keys SET created_at = created_at - interval '{0}', activated_at = activated_at - interval '{0}'"


@pytest.fixture
async def key(database, identity):
    return await SigningKeys(database, KEK).active()


async def test_two_first_starts_at_once_make_one_set_of_keys(database, superuser):
    await asyncio.gather(*(SigningKeys(database, KEK).ensure() for _ in range(8)))
    states = [row["state"] for row in await superuser.fetch("SELECT state FROM signing_keys")]
    assert sorted(states) == ["ACTIVE", "NEXT"]


async def test_keys_sealed_with_another_kek_stop_the_start(database, identity):
    with pytest.raises(FailedPrecondition) as caught:
        await SigningKeys(database, bytes(32)).ensure()
    assert caught.value.reason == "KEK_MISMATCH"


async def test_a_key_is_published_for_twenty_minutes_before_it_signs(database, identity, superuser):
    keys = SigningKeys(database, KEK)
    await superuser.execute(OLDER.format("19 minutes 55 seconds"))
    with pytest.raises(FailedPrecondition) as caught:
        await keys.rotate(STAFF, "too early")
    assert caught.value.reason == "KEY_TOO_YOUNG"
    await superuser.execute(OLDER.format("6 seconds"))
    before = {one.kid for one in await identity.jwks()}
    assert (await keys.rotate(STAFF, "in time")).kid in before


async def test_rotation_keeps_old_tokens_good_for_eleven_minutes_and_no_longer(
    database, identity, session, superuser, redis_client
):
    await superuser.execute(OLDER.format("21 minutes"))
    old = jwt.get_unverified_header(session.access_token)["kid"]
    active = await identity.signing_keys.rotate(STAFF, "a test of rotation")
    assert len(await identity.jwks()) == 3
    assert await identity.verifier.verify(session.access_token)
    pair = await identity.sessions.renew(session.refresh_token)
    assert jwt.get_unverified_header(pair.access_token)["kid"] == active.kid
    left = await superuser.fetchval(
        "SELECT extract(epoch FROM retire_at - clock_timestamp()) FROM signing_keys WHERE state = 'RETIRING'"
    )
    assert 640 < left <= 660
    await superuser.execute("UPDATE signing_keys SET retire_at = clock_timestamp() WHERE state = 'RETIRING'")
    fresh = await open_identity(database, redis_client)
    with pytest.raises(TokenInvalid):
        await fresh.verifier.verify(session.access_token)
    await fresh.close()
    assert old not in {one.kid for one in await identity.jwks()}
    assert len(await identity.jwks()) == 2


async def test_a_process_refuses_a_retired_key_on_time_without_reading_the_table(
    database, identity, superuser
):
    moment = [0.0]
    keys = SigningKeys(database, KEK, monotonic=lambda: moment[0])
    await keys.ensure()
    old = (await keys.active()).kid
    await superuser.execute(OLDER.format("21 minutes"))
    await keys.rotate(STAFF, "a test of rotation")
    await superuser.execute(
        "UPDATE signing_keys SET retire_at = clock_timestamp() + interval '5 s' WHERE state = 'RETIRING'"
    )
    await keys._read()
    moment[0] = 4.0
    assert await keys.public(old)
    moment[0] = 5.1
    assert await keys.public(old) is None


async def test_a_flood_of_unknown_keys_reads_the_table_once_in_ten_seconds(database, identity, monkeypatch):
    moment, reads = [0.0], []
    keys = SigningKeys(database, KEK, monotonic=lambda: moment[0])
    await keys.ensure()
    read = keys._read

    async def counted():
        reads.append(moment[0])
        await read()

    monkeypatch.setattr(keys, "_read", counted)
    for second in range(30):
        moment[0] = float(second)
        await asyncio.gather(*(keys.public(uuid4().hex) for _ in range(100)))
    assert reads == [10.0, 20.0]


async def test_while_postgres_is_away_known_keys_hold_for_a_minute(database, identity, monkeypatch):
    moment = [0.0]
    keys = SigningKeys(database, KEK, monotonic=lambda: moment[0])
    await keys.ensure()
    kid = (await keys.active()).kid

    async def away():
        raise Unavailable("away", reason="DATABASE_UNAVAILABLE")

    monkeypatch.setattr(keys, "_read", away)
    moment[0] = 59.0
    assert await keys.public(kid)
    moment[0] = 61.0
    with pytest.raises(Unavailable):
        await keys.public(kid)


async def test_the_scheduled_job_rotates_after_a_month_retires_and_leaves_the_rest_alone(
    database, identity, superuser
):
    assert await identity.signing_keys.keep_up() == 0
    await superuser.execute(OLDER.format("31 days"))
    first = (await identity.signing_keys.active()).kid
    assert await asyncio.gather(*(SigningKeys(database, KEK).keep_up() for _ in range(4))) != [0] * 4
    assert await superuser.fetchval("SELECT count(*) FROM signing_keys") == 3
    assert await superuser.fetchval("SELECT state FROM signing_keys WHERE kid = $1", first) == "RETIRING"
    await superuser.execute("UPDATE signing_keys SET retire_at = clock_timestamp() WHERE state = 'RETIRING'")
    assert await identity.signing_keys.keep_up() == 1
    assert await superuser.fetchval("SELECT state FROM signing_keys WHERE kid = $1", first) == "RETIRED"
    assert await superuser.fetchval("SELECT count(*) FROM audit_log") == 1


async def test_sets_of_keys_rotate_apart(database, identity, superuser):
    audit = SigningKeys(database, KEK, AUDIT_KEYS)
    await audit.ensure()
    await superuser.execute(OLDER.format("21 minutes"))
    active = await audit.rotate(STAFF, "a test of rotation")
    assert active.kid not in {one.kid for one in await identity.jwks()}
    assert await identity.signing_keys.public(active.kid) is None
    assert len(await identity.jwks()) == 2


async def test_private_halves_are_never_stored_in_the_clear(database, identity, key, superuser):
    raw = key.private.private_bytes_raw()
    [stored] = await superuser.fetch("SELECT private_enc FROM signing_keys WHERE kid = $1", key.kid)
    assert raw not in bytes(stored["private_enc"])
