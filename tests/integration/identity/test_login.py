"""Registration and log-in: equal answers, one hash each, attempts counted before the hash."""

from __future__ import annotations

import asyncio
import time

import pytest

from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from cohortlens.core.ids import uuid7
from cohortlens.core.redis import redis_client as connect
from cohortlens.identity.attempts import LoginLimits
from cohortlens.identity.models import ROLE_SCOPES, InvalidCredentials, LoginRateLimited
from cohortlens.identity.passwords import PasswordHasher
from tests.integration.identity.conftest import PASSWORD, open_identity

ADDRESS = "192.0.2.7"


async def _login(identity, email, password, address=ADDRESS, **more):
    return await identity.create_session(email=email, password=password, address=address, **more)


@pytest.fixture
def hashes(monkeypatch):
    """Counts every argon2 computation."""
    counted = []
    real = PasswordHasher._matches
    monkeypatch.setattr(PasswordHasher, "_matches", lambda *args: counted.append(args[1]) or real(*args))
    return counted


async def test_an_owner_logs_in_with_the_address_in_any_case_and_width(identity, owner):
    for email in ("owner@shop.example", " OWNER@Shop.Example ", "\uff4fwner@shop.example"):
        pair = await _login(identity, email, owner.password)
        assert (await identity.verifier.verify(pair.access_token)).role == "owner"


async def test_unknown_wrong_disabled_and_empty_answer_equally_after_one_hash_each(
    identity, owner, hashes, superuser
):
    answers = []
    for email, password in (
        ("nobody@shop.example", PASSWORD),
        (owner.email, "wrong horse battery"),
        (owner.email, ""),
    ):
        hashes.clear()
        with pytest.raises(InvalidCredentials) as caught:
            await _login(identity, email, password)
        answers.append((caught.value.message, caught.value.reason, caught.value.metadata, len(hashes)))
    await superuser.execute("UPDATE users SET status = 'DISABLED'")
    hashes.clear()
    with pytest.raises(InvalidCredentials) as caught:
        await _login(identity, owner.email, owner.password)
    answers.append((caught.value.message, caught.value.reason, caught.value.metadata, len(hashes)))
    assert len({repr(answer) for answer in answers}) == 1
    assert answers[0][3] == 1


async def test_a_suspended_tenant_is_told_only_after_the_right_password(identity, owner, superuser):
    await superuser.execute("UPDATE tenants SET status = 'SUSPENDED'")
    with pytest.raises(InvalidCredentials):
        await _login(identity, owner.email, "wrong horse battery")
    with pytest.raises(FailedPrecondition) as caught:
        await _login(identity, owner.email, owner.password)
    assert caught.value.reason == "TENANT_SUSPENDED"


async def test_registering_a_known_address_changes_nothing_and_costs_the_same(identity, owner, superuser):
    before = await superuser.fetch("SELECT * FROM users")
    await identity.register_tenant(
        display_name="Impostor",
        email="OWNER@shop.example",
        password="another long secret",
        accept_terms_version="1",
    )
    assert await superuser.fetch("SELECT * FROM users") == before
    assert await superuser.fetchval("SELECT count(*) FROM tenants") == 1
    assert (await _login(identity, owner.email, owner.password)).session_id


async def test_one_address_registered_sixteen_times_at_once_is_one_tenant(identity, superuser):
    await asyncio.gather(
        *(
            identity.register_tenant(
                display_name=f"Shop {index}",
                email="race@shop.example",
                password=PASSWORD,
                accept_terms_version="1",
            )
            for index in range(16)
        )
    )
    assert await superuser.fetchval("SELECT count(*) FROM users") == 1
    assert await superuser.fetchval("SELECT count(*) FROM tenants") == 1


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "PASSWORD_TOO_SHORT"),
        ("elevenchars", "PASSWORD_TOO_SHORT"),
        ("x" * 129, "FIELD_INVALID"),
        ("aaaaaaaaaaaaaa", "PASSWORD_BREACHED"),
        ("abcabcabcabc", "PASSWORD_BREACHED"),
        ("abcdefghijklm", "PASSWORD_BREACHED"),
        ("123456789012", "PASSWORD_BREACHED"),
        ("JustinBieber", "PASSWORD_BREACHED"),
        ("new@shop.example", "PASSWORD_BREACHED"),
    ],
)
async def test_bad_passwords_are_refused_with_the_field_and_never_repeated(
    identity, superuser, password, reason
):
    with pytest.raises(InvalidArgument) as caught:
        await identity.register_tenant(
            display_name="New", email="new@shop.example", password=password, accept_terms_version="1"
        )
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == "password"
    assert password not in caught.value.message
    assert await superuser.fetchval("SELECT count(*) FROM users") == 0


async def test_passwords_are_not_cut(identity):
    password = "p4ss" + "é" * 60 + "-tail-of-a-long-secret"
    await identity.register_tenant(
        display_name="Long", email="long@shop.example", password=password, accept_terms_version="1"
    )
    with pytest.raises(InvalidCredentials):
        await _login(identity, "long@shop.example", password[:-1])
    assert await _login(identity, "long@shop.example", password)


async def test_parallel_guesses_are_limited_before_they_are_hashed(identity, owner, hashes):
    results = await asyncio.gather(
        *(_login(identity, owner.email, f"guess number {index:04}") for index in range(20)),
        return_exceptions=True,
    )
    refused = [it for it in results if isinstance(it, LoginRateLimited)]
    assert len(hashes) == 5
    assert len(refused) == 15
    assert all(1 <= it.retry_delay_s <= 12 for it in refused)


async def test_guessing_from_elsewhere_does_not_lock_the_owner_out(identity, owner):
    for index in range(5):
        with pytest.raises(InvalidCredentials):
            await _login(identity, owner.email, f"guess number {index:04}", address="203.0.113.9")
    with pytest.raises(LoginRateLimited):
        await _login(identity, owner.email, owner.password, address="203.0.113.9")
    assert await _login(identity, owner.email, owner.password)


async def test_unknown_addresses_are_limited_like_known_ones(identity):
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await _login(identity, "nobody@shop.example", PASSWORD)
    with pytest.raises(LoginRateLimited):
        await _login(identity, "nobody@shop.example", PASSWORD)


async def test_right_passwords_give_their_attempt_back(identity, owner):
    for _ in range(12):
        assert await _login(identity, owner.email, owner.password)


async def test_one_network_address_has_thirty_attempts_over_all_names(database, redis_client):
    service = await open_identity(database, redis_client, limits=LoginLimits(per_address=3))
    try:
        for index in range(3):
            with pytest.raises(InvalidCredentials):
                await _login(service, f"user{index}@shop.example", PASSWORD, address="2001:db8::1")
        with pytest.raises(LoginRateLimited):  # another address of the same /64
            await _login(service, "user9@shop.example", PASSWORD, address="2001:db8::ffff")
        with pytest.raises(InvalidCredentials):
            await _login(service, "user9@shop.example", PASSWORD, address="2001:db8:0:1::1")
    finally:
        await service.close()


async def test_without_redis_each_process_counts_for_itself(database, owner):
    nowhere = connect("redis://127.0.0.1:1/0")
    service = await open_identity(database, nowhere)
    try:
        for _ in range(5):
            with pytest.raises(InvalidCredentials):
                await _login(service, owner.email, "wrong horse battery")
        with pytest.raises(LoginRateLimited):
            await _login(service, owner.email, owner.password)
    finally:
        await service.close()
        await nowhere.aclose()


async def test_an_outdated_hash_is_made_anew_at_log_in(identity, owner, superuser):
    import argon2

    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(owner.password)
    await superuser.execute("UPDATE users SET password_hash = $1", weak)
    await _login(identity, owner.email, owner.password)
    assert "m=19456,t=2,p=1" in await superuser.fetchval("SELECT password_hash FROM users")
    assert await _login(identity, owner.email, owner.password)


async def test_a_tenant_that_is_not_the_users_is_refused_like_a_wrong_password(identity, owner, tenants):
    with pytest.raises(InvalidCredentials):
        await _login(identity, owner.email, owner.password, tenant=str(tenants[0].tenant_id))


async def test_get_me_names_user_tenant_role_and_registration(identity, session):
    principal = await identity.verifier.verify(session.access_token)
    me = await identity.get_me(RequestContext("r", principal, time.monotonic() + 10))
    assert (me.tenant_display_name, me.role) == ("Corner Shop", "owner")
    assert set(me.scopes) == ROLE_SCOPES["owner"]
    assert me.created_at.tzinfo is not None


async def test_get_me_of_a_user_without_the_tenant_is_unauthenticated(identity, tenants):
    stranger = Principal(tenants[0].tenant_id, tenants[1].user_id, uuid7(), "owner", frozenset())
    with pytest.raises(Unauthenticated):
        await identity.get_me(RequestContext("r", stranger, time.monotonic() + 10))


async def test_a_session_of_another_user_ends_exactly_like_a_missing_one(
    identity, session, tenants, superuser
):
    faults = []
    for target in (str(session.session_id), str(uuid7())):
        with pytest.raises(NotFound) as caught:
            await identity.delete_session(tenants[0].context(), target)
        faults.append((caught.value.message, caught.value.reason, caught.value.metadata))
    assert faults[0] == faults[1]
    assert await superuser.fetchval("SELECT revoked_at FROM sessions") is None


async def test_logging_out_twice_is_fine(identity, session):
    principal = await identity.verifier.verify(session.access_token)
    context = RequestContext("r", principal, time.monotonic() + 10)
    await identity.delete_session(context, str(session.session_id))
    await identity.delete_session(context, "current")
