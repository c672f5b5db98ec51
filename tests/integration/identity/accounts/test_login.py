"""Log-in: equal answers after equal work, attempts counted before the hash, a second step where it is due."""

from __future__ import annotations

import asyncio

import argon2
import pytest

from cohortlens.core.errors import FailedPrecondition, InvalidArgument
from cohortlens.core.redis import redis_client as connect
from cohortlens.identity.accounts.attempts import LoginLimits
from cohortlens.identity.accounts.login import LoginRequest
from cohortlens.identity.accounts.passwords import PasswordHasher
from cohortlens.identity.accounts.second_step import MfaRequired
from cohortlens.identity.accounts.service import People
from cohortlens.identity.models import InvalidCredentials, LoginRateLimited, TokenInvalid
from cohortlens.identity.sessions.opening import Device
from tests.integration.identity.conftest import KEK, PASSWORD, anonymous, open_identity

ADDRESS = "192.0.2.7"
WRONG = "wrong horse battery"


async def _login(people, email, password, address=ADDRESS, **more):
    wanted = LoginRequest(email=email, password=password, **more)
    return await people.login.log_in(anonymous(address), wanted)


@pytest.fixture
def hashes(monkeypatch):
    """Counts every argon2 computation."""
    counted = []
    real = PasswordHasher._matches
    monkeypatch.setattr(PasswordHasher, "_matches", lambda *args: counted.append(args[1]) or real(*args))
    return counted


@pytest.fixture
async def strict(database, redis_client):
    """Log-in that asks for a mailed code from the third attempt on an e-mail address within an hour."""
    core = await open_identity(database, redis_client, limits=LoginLimits(per_email=2))
    yield People(database, KEK, None, core)
    await core.close()


async def test_an_owner_logs_in_with_the_address_in_any_case_and_width(people, identity, owner):
    for email in ("owner@shop.example", " OWNER@Shop.Example ", "\uff4fwner@shop.example"):
        opened = await _login(people, email, owner.password)
        principal = await identity.verifier.verify(opened.pair.access_token)
        assert (principal.role, principal.amr) == ("owner", ("pwd",))
        assert [one.display_name for one in opened.tenants] == ["Corner Shop"]


async def test_refusals_answer_equally_after_the_same_statements_and_one_hash(
    people, owner, hashes, superuser, statements
):
    async def refused(email, password):
        hashes.clear()
        statements.clear()
        with pytest.raises(InvalidCredentials) as caught:
            await _login(people, email, password)
        fault = caught.value
        return fault.message, fault.reason, str(fault.metadata), len(hashes), tuple(statements)

    async def after(change):
        await superuser.execute(change)
        return await refused(owner.email, owner.password)

    await refused(owner.email, WRONG)
    answers = {
        "wrong": await refused(owner.email, WRONG),
        "unknown": await refused("nobody@shop.example", PASSWORD),
        "empty": await refused(owner.email, ""),
        "disabled": await after("UPDATE users SET status = 'DISABLED'"),
        "unverified": await after("UPDATE users SET status = 'ACTIVE', email_verified_at = NULL"),
    }
    # Five attempts are free; the sixth comes from elsewhere.
    await superuser.execute("UPDATE users SET email_verified_at = now(), password_hash = NULL")
    hashes.clear()
    statements.clear()
    with pytest.raises(InvalidCredentials) as caught:
        await _login(people, owner.email, owner.password, address="203.0.113.9")
    fault = caught.value
    answers["no password"] = (
        fault.message,
        fault.reason,
        str(fault.metadata),
        len(hashes),
        tuple(statements),
    )
    assert len(set(answers.values())) == 1, answers
    assert answers["wrong"][3] == 1
    assert len(answers["wrong"][4]) >= 2


async def test_a_suspended_tenant_is_told_only_after_the_right_password(people, owner, superuser):
    await superuser.execute("UPDATE tenants SET status = 'SUSPENDED' WHERE kind = 'CUSTOMER'")
    with pytest.raises(InvalidCredentials):
        await _login(people, owner.email, WRONG)
    with pytest.raises(FailedPrecondition) as caught:
        await _login(people, owner.email, owner.password)
    assert caught.value.reason == "TENANT_SUSPENDED"


async def test_passwords_are_not_cut(people, mailbox):
    password = "p4ss" + "é" * 60 + "-tail-of-a-long-secret"
    await people.registration.register(
        anonymous(), display_name="L", email="l@shop.example", password=password, accept_terms_version="1"
    )
    token = (await mailbox.newest("l@shop.example")).values["token"]
    await people.registration.verify(anonymous(), token, Device())
    with pytest.raises(InvalidCredentials):
        await _login(people, "l@shop.example", password[:-1])
    assert await _login(people, "l@shop.example", password)


async def test_of_a_hundred_parallel_guesses_five_are_hashed_and_the_owner_logs_in_from_elsewhere(
    people, owner, hashes
):
    guesses = [_login(people, owner.email, f"guess number {n:04}", "203.0.113.9") for n in range(100)]
    results = await asyncio.gather(
        *guesses, _login(people, owner.email, owner.password), return_exceptions=True
    )
    guessed, own = results[:-1], results[-1]
    assert len(hashes) == 5 + 1
    refused = [it for it in guessed if isinstance(it, LoginRateLimited)]
    assert len(refused) == 95
    assert all(1 <= it.retry_delay_s <= 60 for it in refused)
    assert own.pair.access_token


async def test_unknown_addresses_are_limited_like_known_ones(people):
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await _login(people, "nobody@shop.example", PASSWORD)
    with pytest.raises(LoginRateLimited):
        await _login(people, "nobody@shop.example", PASSWORD)


async def test_right_passwords_give_their_attempt_back(strict, owner):
    for _ in range(12):
        assert await _login(strict, owner.email, owner.password)


async def test_one_network_address_has_its_attempts_over_all_names(database, redis_client):
    core = await open_identity(database, redis_client, limits=LoginLimits(per_address=3))
    people = People(database, KEK, None, core)
    try:
        for index in range(3):
            with pytest.raises(InvalidCredentials):
                await _login(people, f"user{index}@shop.example", PASSWORD, "2001:db8::1")
        with pytest.raises(LoginRateLimited):  # another address of the same /64
            await _login(people, "user9@shop.example", PASSWORD, "2001:db8::ffff")
        with pytest.raises(InvalidCredentials):
            await _login(people, "user9@shop.example", PASSWORD, "2001:db8:0:1::1")
    finally:
        await core.close()


async def test_without_redis_each_process_counts_for_itself(database, owner):
    nowhere = connect("redis://127.0.0.1:1/0")
    core = await open_identity(database, nowhere)
    people = People(database, KEK, None, core)
    try:
        for _ in range(5):
            with pytest.raises(InvalidCredentials):
                await _login(people, owner.email, WRONG)
        with pytest.raises(LoginRateLimited):
            await _login(people, owner.email, owner.password)
    finally:
        await core.close()
        await nowhere.aclose()


async def test_an_outdated_hash_is_made_anew_at_log_in(people, owner, superuser):
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(owner.password)
    await superuser.execute("UPDATE users SET password_hash = $1", weak)
    await _login(people, owner.email, owner.password)
    assert "m=19456,t=2,p=1" in await superuser.fetchval("SELECT password_hash FROM users")
    assert await _login(people, owner.email, owner.password)


async def test_a_pepper_goes_into_hashes_at_the_next_log_in_and_is_needed_from_then_on(
    people, database, redis_client, owner, superuser
):
    core = await open_identity(database, redis_client, pepper="p" * 32)
    try:
        assert await _login(People(database, KEK, None, core), owner.email, owner.password)
        assert (await superuser.fetchval("SELECT password_hash FROM users")).startswith("pepper-")
        assert await _login(People(database, KEK, None, core), owner.email, owner.password)
    finally:
        await core.close()
    with pytest.raises(InvalidCredentials):
        await _login(people, owner.email, owner.password)


async def test_a_tenant_that_is_not_the_users_is_refused_like_a_wrong_password(people, owner, tenants):
    with pytest.raises(InvalidCredentials) as other:
        await _login(people, owner.email, owner.password, tenant=str(tenants[0].tenant_id))
    with pytest.raises(InvalidCredentials) as wrong:
        await _login(people, owner.email, WRONG)
    assert other.value.message == wrong.value.message


async def test_over_the_limit_of_an_address_the_owner_types_a_mailed_code(strict, identity, owner, mailbox):
    for address in ("203.0.113.1", "203.0.113.2"):
        with pytest.raises(InvalidCredentials):
            await _login(strict, owner.email, WRONG, address)
    with pytest.raises(MfaRequired) as asked:
        await _login(strict, owner.email, owner.password, device=Device("phone"), locale="es")
    assert asked.value.metadata["methods"] == "email_code"
    mail = await mailbox.newest(owner.email)
    assert (mail.template, mail.locale) == ("sign_in_code", "es")
    step = {"email": "", "password": "", "mfa_token": asked.value.metadata["mfa_token"]}
    code = mail.values["code"]
    wrong = f"{(int(code) + 1) % 10**6:06}"
    with pytest.raises(InvalidCredentials):
        await _login(strict, code=wrong, **step)
    opened = await _login(strict, code=f"{code[:3]} {code[3:]}", **step)
    # A mailed code is not what the platform's staff need.
    assert (await identity.verifier.verify(opened.pair.access_token)).amr == ("pwd", "mca")
    with pytest.raises(TokenInvalid):
        await _login(strict, code=code, **step)


async def test_a_mailed_code_has_five_tries_also_when_they_come_at_once(strict, owner, mailbox):
    for address in ("203.0.113.1", "203.0.113.2"):
        with pytest.raises(InvalidCredentials):
            await _login(strict, owner.email, WRONG, address)
    with pytest.raises(MfaRequired) as asked:
        await _login(strict, owner.email, owner.password)
    code = int((await mailbox.newest(owner.email)).values["code"])
    step = {"email": "", "password": "", "mfa_token": asked.value.metadata["mfa_token"]}
    guesses = [_login(strict, code=f"{(code + n) % 10**6:06}", **step) for n in range(1, 21)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(it, InvalidCredentials) for it in results) == 5
    assert sum(isinstance(it, TokenInvalid) for it in results) == 15
    with pytest.raises(TokenInvalid):
        await _login(strict, code=f"{code:06}", **step)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (LoginRequest(), "email"),
        (LoginRequest(mfa_token="x" * 43), "totp"),
        (LoginRequest(mfa_token="x" * 43, email="a@b.example", code="1"), "mfa_token"),
    ],
)
async def test_a_request_that_is_neither_first_nor_second_step_names_the_field(people, wanted, field):
    with pytest.raises(InvalidArgument) as caught:
        await people.login.log_in(anonymous(), wanted)
    assert caught.value.violations[0].field == field


async def test_log_ins_and_refusals_stand_in_the_audit_log_without_the_address_typed(
    people, owner, superuser
):
    await _login(people, owner.email, owner.password)
    for email in (owner.email, "nobody@shop.example"):
        with pytest.raises(InvalidCredentials):
            await _login(people, email, WRONG)
    rows = await superuser.fetch("SELECT tenant_id, canonical FROM audit_log ORDER BY created_at, seq")
    text = [(row["tenant_id"], row["canonical"]) for row in rows if b"identity.login" in row["canonical"]]
    tenant = owner.opened.pair.tenant_id
    assert [one == tenant for one, _ in text] == [True, True, False]
    assert b"identity.login.succeeded" in text[0][1]
    assert b'"cause":"PASSWORD"' in text[1][1]
    assert b'"outcome":"DENIED"' in text[2][1]
    assert not any(b"@" in canonical or b"192.0.2.7" in canonical for _, canonical in text)
