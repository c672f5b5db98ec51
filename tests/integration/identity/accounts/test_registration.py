"""Registration: nothing exists before the address is proven, and nobody learns who has an account."""

from __future__ import annotations

import asyncio

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.identity.accounts.attempts import LoginLimits
from cohortlens.identity.accounts.login import LoginRequest
from cohortlens.identity.accounts.service import People
from cohortlens.identity.models import InvalidCredentials, LoginRateLimited, TokenInvalid
from cohortlens.identity.sessions.opening import Device
from tests.integration.identity.conftest import KEK, PASSWORD, anonymous, open_identity, registered

EMAIL = "new@shop.example"


async def _register(people, email=EMAIL, *, password=PASSWORD, name="Shop", address="192.0.2.7", **more):
    more = {"accept_terms_version": "2026-11", **more}
    await people.registration.register(
        anonymous(address), display_name=name, email=email, password=password, **more
    )


async def _verify(people, token):
    return await people.registration.verify(anonymous(), token, Device("laptop", "tests"))


async def _token(mailbox, email=EMAIL):
    return (await mailbox.newest(email)).values["token"]


async def test_the_mailed_link_makes_tenant_owner_and_session(people, identity, mailbox, superuser):
    await _register(people, " New@SHOP.example ", name=" Corner Shop ", locale="es")
    assert await superuser.fetchval("SELECT count(*) FROM users") == 0
    mail = await mailbox.newest(EMAIL)
    assert (mail.template, mail.locale, mail.values["name"]) == ("verify_email", "es", "Corner Shop")
    opened = await _verify(people, mail.values["token"])
    principal = await identity.verifier.verify(opened.pair.access_token)
    assert (principal.tenant_id, principal.role) == (opened.pair.tenant_id, "owner")
    assert "otp" not in principal.amr
    assert [one.display_name for one in opened.tenants] == ["Corner Shop"]
    tenant = await superuser.fetchrow("SELECT * FROM tenants WHERE kind = 'CUSTOMER'")
    assert (tenant["display_name"], tenant["terms_version"]) == ("Corner Shop", "2026-11")
    assert tenant["key_wrapped"] is not None
    assert await superuser.fetchval("SELECT email_verified_at FROM users")


async def test_a_link_works_once_also_when_it_is_clicked_sixteen_times_at_once(people, mailbox, superuser):
    await _register(people)
    token = await _token(mailbox)
    results = await asyncio.gather(*(_verify(people, token) for _ in range(16)), return_exceptions=True)
    assert sum(not isinstance(it, Exception) for it in results) == 1
    assert {type(it) for it in results if isinstance(it, Exception)} == {TokenInvalid}
    assert await superuser.fetchval("SELECT count(*) FROM tenants WHERE kind = 'CUSTOMER'") == 1


async def test_a_link_that_is_too_old_or_made_up_makes_nothing(people, mailbox, superuser):
    await _register(people)
    await superuser.execute("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'")
    for token in (await _token(mailbox), "x" * 43, ""):
        with pytest.raises(TokenInvalid):
            await _verify(people, token)
    assert await superuser.fetchval("SELECT count(*) FROM users") == 0


async def test_a_known_address_is_told_by_mail_and_nowhere_else(people, mailbox, superuser, owner):
    before = await superuser.fetch("SELECT * FROM users")
    counted = await superuser.fetchval("SELECT count(*) FROM one_time_tokens")
    await _register(people, owner.email, password="another long secret", name="Impostor")
    assert await superuser.fetch("SELECT * FROM users") == before
    assert (await mailbox.newest(owner.email)).template == "account_exists"
    # The same rows for a new address: one token, one mail.
    await _register(people)
    assert await superuser.fetchval("SELECT count(*) FROM one_time_tokens") == counted + 2


async def test_registering_and_logging_in_does_not_tell_whether_an_address_has_an_account(people, owner):
    answers = []
    for email in (owner.email, EMAIL):
        await _register(people, email, password="the guess of a stranger")
        with pytest.raises(InvalidCredentials) as caught:
            await people.login.log_in(
                anonymous(), LoginRequest(email=email, password="the guess of a stranger")
            )
        answers.append((caught.value.message, caught.value.reason, caught.value.metadata))
    assert answers[0] == answers[1]


async def test_whoever_registered_an_address_first_does_not_know_its_password(people, mailbox):
    await _register(people, password="the password of a squatter", name="Squatter")
    await _register(people, name="Owner")
    opened = await _verify(people, await _token(mailbox))
    assert opened.tenants[0].display_name == "Owner"
    with pytest.raises(InvalidCredentials):
        await people.login.log_in(
            anonymous(), LoginRequest(email=EMAIL, password="the password of a squatter")
        )
    assert await people.login.log_in(anonymous(), LoginRequest(email=EMAIL, password=PASSWORD))


async def test_of_two_links_the_first_one_used_wins(people, mailbox, superuser):
    await _register(people, name="First")
    first = await _token(mailbox)
    await _register(people, name="Second")
    await _verify(people, await _token(mailbox))
    with pytest.raises(TokenInvalid):
        await _verify(people, first)
    assert await superuser.fetchval("SELECT display_name FROM tenants WHERE kind = 'CUSTOMER'") == "Second"


async def test_nothing_readable_of_a_registration_is_stored_before_it_is_proven(people, superuser):
    await _register(people, name="Very Private Shop")
    stored = ""
    for table in ("one_time_tokens", "mails", "outbox", "audit_log"):
        stored += str([tuple(row) for row in await superuser.fetch(f"SELECT * FROM {table}")])
    for secret in (EMAIL, "Very Private Shop", PASSWORD, "argon2"):
        assert secret not in stored


async def test_terms_and_registration_stand_in_the_tenants_audit_log(people, mailbox, superuser):
    owner = await registered(people, mailbox, EMAIL)
    rows = await superuser.fetch(
        "SELECT canonical FROM audit_log WHERE tenant_id = $1 ORDER BY seq", owner.opened.pair.tenant_id
    )
    assert b'"identity.tenant.registered"' in rows[0]["canonical"]
    assert b'"terms_version":"2026-11"' in rows[0]["canonical"]


async def test_strangers_cannot_fill_somebodys_mail_box(database, redis_client, mailbox):
    core = await open_identity(database, redis_client, limits=LoginLimits(at_once=100, mails=3))
    try:
        people = People(database, KEK, None, core)
        for _ in range(5):
            await _register(people)
        assert len(await mailbox.all(EMAIL)) == 3
        await people.passwords.request_reset(anonymous(), EMAIL)
        assert len(await mailbox.all(EMAIL)) == 4
    finally:
        await core.close()


async def test_registering_is_limited_like_logging_in(people):
    for _ in range(5):
        await _register(people)
    with pytest.raises(LoginRateLimited):
        await _register(people)
    await _register(people, "another@shop.example")


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
        (EMAIL, "PASSWORD_BREACHED"),
    ],
)
async def test_bad_passwords_are_refused_with_the_field_and_never_repeated(
    people, superuser, password, reason
):
    with pytest.raises(InvalidArgument) as caught:
        await _register(people, password=password)
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == "password"
    assert password not in caught.value.message
    assert await superuser.fetchval("SELECT count(*) FROM mails") == 0


@pytest.mark.parametrize(
    "email", ["a@b.example\r\nBcc: c@d.example", "a b@c.example", '"a"@b.example', "a@b@c"]
)
async def test_an_address_that_is_not_one_plain_address_is_refused(people, email):
    with pytest.raises(InvalidArgument) as caught:
        await _register(people, email)
    assert caught.value.violations[0].field == "email"


async def test_a_blank_name_is_refused(people):
    with pytest.raises(InvalidArgument) as caught:
        await _register(people, name="  ")
    assert caught.value.violations[0].field == "display_name"
