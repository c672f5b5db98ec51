"""A new password: by a mailed link or by the old one; whatever else was open is over."""

from __future__ import annotations

import asyncio
import time

import pytest

from cohortlens.core.context import RequestContext
from cohortlens.core.errors import InvalidArgument
from cohortlens.identity.accounts.login import LoginRequest
from cohortlens.identity.models import InvalidCredentials, LoginRateLimited, TokenInvalid, TokenRevoked
from tests.integration.identity.conftest import anonymous

NEW = "a heron on the old weir"


async def _login(people, email, password, address="192.0.2.7"):
    return await people.login.log_in(anonymous(address), LoginRequest(email=email, password=password))


async def _context(identity, opened):
    principal = await identity.verifier.verify(opened.pair.access_token)
    return RequestContext("r", principal, time.monotonic() + 30, "192.0.2.7")


async def _link(people, mailbox, email):
    await people.passwords.request_reset(anonymous(), email)
    return (await mailbox.newest(email)).values["token"]


async def test_a_mailed_link_sets_the_password_and_ends_every_session(people, identity, owner, mailbox):
    other = await _login(people, owner.email, owner.password)
    token = await _link(people, mailbox, owner.email)
    await people.passwords.reset(anonymous(), token, NEW)
    for opened in (owner.opened, other):
        with pytest.raises(TokenRevoked):
            await identity.verifier.verify(opened.pair.access_token)
        with pytest.raises(TokenRevoked):
            await identity.sessions.renew(opened.pair.refresh_token)
    with pytest.raises(InvalidCredentials):
        await _login(people, owner.email, owner.password)
    assert await _login(people, owner.email, NEW)
    assert (await mailbox.newest(owner.email)).template == "password_changed"


async def test_a_link_works_once_and_takes_the_other_links_with_it(people, owner, mailbox):
    first = await _link(people, mailbox, owner.email)
    second = await _link(people, mailbox, owner.email)
    results = await asyncio.gather(
        *(people.passwords.reset(anonymous(), second, f"{NEW} {n}") for n in range(6)), return_exceptions=True
    )
    assert sum(it is None for it in results) == 1
    for token in (first, second, "x" * 43):
        with pytest.raises(TokenInvalid):
            await people.passwords.reset(anonymous(), token, NEW)


async def test_the_link_of_a_registration_of_a_known_address_resets_too(people, owner, mailbox):
    await people.registration.register(
        anonymous(), display_name="x", email=owner.email, password=NEW, accept_terms_version="1"
    )
    token = (await mailbox.newest(owner.email)).values["token"]
    await people.passwords.reset(anonymous(), token, NEW)
    assert await _login(people, owner.email, NEW)


async def test_a_bad_password_leaves_the_link_good(people, owner, mailbox):
    token = await _link(people, mailbox, owner.email)
    with pytest.raises(InvalidArgument) as caught:
        await people.passwords.reset(anonymous(), token, owner.email)
    assert caught.value.reason == "PASSWORD_BREACHED"
    await people.passwords.reset(anonymous(), token, NEW)


async def test_a_link_of_a_disabled_user_or_past_its_time_does_nothing(people, owner, mailbox, superuser):
    token = await _link(people, mailbox, owner.email)
    before = await superuser.fetchval("SELECT password_hash FROM users")
    await superuser.execute("UPDATE users SET status = 'DISABLED'")
    with pytest.raises(TokenInvalid):
        await people.passwords.reset(anonymous(), token, NEW)
    await superuser.execute("UPDATE users SET status = 'ACTIVE'")
    await superuser.execute("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'")
    with pytest.raises(TokenInvalid):
        await people.passwords.reset(anonymous(), token, NEW)
    assert await superuser.fetchval("SELECT password_hash FROM users") == before


async def test_asking_for_a_link_costs_the_same_for_an_unknown_address(
    people, owner, mailbox, superuser, statements
):
    costs = []
    for email in (owner.email, owner.email, "nobody@shop.example"):
        statements.clear()
        assert await people.passwords.request_reset(anonymous(), email) is None
        costs.append(tuple(statements))
    assert costs[1] == costs[2]
    told = await mailbox.newest("nobody@shop.example")
    assert (told.template, told.values) == ("no_account", {})


async def test_a_change_by_the_old_password_keeps_this_session_only(people, identity, owner):
    other = await _login(people, owner.email, owner.password)
    await people.passwords.change(await _context(identity, owner.opened), owner.password, NEW)
    renewed = await identity.sessions.renew(owner.opened.pair.refresh_token)
    assert await identity.verifier.verify(renewed.access_token)
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(other.pair.access_token)
    assert await _login(people, owner.email, NEW)


@pytest.mark.parametrize("old", ["wrong horse battery", ""])
async def test_a_wrong_old_password_changes_nothing_and_is_counted(people, identity, owner, superuser, old):
    context = await _context(identity, owner.opened)
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await people.passwords.change(context, old, NEW)
    with pytest.raises(LoginRateLimited):
        await people.passwords.change(context, owner.password, NEW)
    assert await _login(people, owner.email, owner.password, "203.0.113.1")
    denied = b"identity.password.refused"
    rows = await superuser.fetch("SELECT canonical FROM audit_log")
    assert sum(denied in row["canonical"] for row in rows) == 5


async def test_the_new_password_must_be_another_and_a_good_one(people, identity, owner):
    context = await _context(identity, owner.opened)
    for new, reason in ((owner.password, "FIELD_INVALID"), ("short", "PASSWORD_TOO_SHORT")):
        with pytest.raises(InvalidArgument) as caught:
            await people.passwords.change(context, owner.password, new)
        assert (caught.value.reason, caught.value.violations[0].field) == (reason, "new_password")


async def test_of_two_changes_at_once_one_holds(people, identity, owner):
    context = await _context(identity, owner.opened)
    wanted = [f"{NEW} number {n}" for n in range(2)]
    results = await asyncio.gather(
        *(people.passwords.change(context, owner.password, new) for new in wanted), return_exceptions=True
    )
    assert sorted(type(it).__name__ for it in results) == ["InvalidCredentials", "NoneType"]
    assert await _login(people, owner.email, wanted[results.index(None)])
