"""The authenticator app: codes work once, recovery codes stand in, and nothing readable is stored."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from cohortlens.core.context import Principal, PrincipalKind, RequestContext
from cohortlens.core.errors import FailedPrecondition, PermissionDenied
from cohortlens.core.ids import uuid7
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.accounts.attempts import LoginLimits
from cohortlens.identity.accounts.login import LoginRequest
from cohortlens.identity.accounts.second_step import MfaRequired
from cohortlens.identity.accounts.service import People
from cohortlens.identity.models import InvalidCredentials, LoginRateLimited, TokenInvalid, TokenRevoked
from tests.integration.identity.conftest import KEK, anonymous, open_identity

# The instant of the first SHA-1 row of RFC 6238, appendix B, whose secret is the digits 1 to 0 twice.
RFC_TIME = 59.0


class Clock:
    """Unix seconds that a test moves."""

    now = 1_800_000_015.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def people(identity, database, clock):
    return People(database, KEK, TenantKeys(KEK), identity, clock)


async def _context(identity, opened):
    principal = await identity.verifier.verify(opened.pair.access_token)
    return RequestContext("r", principal, time.monotonic() + 30, "192.0.2.7")


async def _login(people, owner, **more):
    wanted = {"email": owner.email, "password": owner.password, **more}
    return await people.login.log_in(anonymous(), LoginRequest(**wanted))


@pytest.fixture
async def context(identity, owner):
    return await _context(identity, owner.opened)


@pytest.fixture
async def app(people, owner, context, clock):
    """The owner's app, switched on, with its recovery codes; the clock stands at the next step."""
    setup = await people.second_factors.begin(context, owner.password)
    app = pyotp.TOTP(setup.secret)
    app.recovery = await people.second_factors.confirm(context, app.at(clock.now))
    clock.now += 30
    return app


async def _asked(people, owner):
    with pytest.raises(MfaRequired) as asked:
        await _login(people, owner)
    assert asked.value.metadata["methods"] == "totp,recovery_code"
    return {"email": "", "password": "", "mfa_token": asked.value.metadata["mfa_token"]}


def test_codes_are_those_of_the_rfc(people):
    secrets_of = people.second_factors._secrets
    user_id = uuid7()

    class User:
        pass

    user = User()
    user.user_id = user_id
    sealed = secrets_of._sealer.seal(b"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", user_id.bytes)
    assert secrets_of.step_of(user, sealed, "287082", RFC_TIME) == 1
    assert secrets_of.step_of(user, sealed, "287083", RFC_TIME) is None


async def test_after_set_up_a_log_in_takes_password_and_code(people, identity, owner, app, clock):
    step = await _asked(people, owner)
    opened = await _login(people, owner, code=app.at(clock.now), **step)
    assert (await identity.verifier.verify(opened.pair.access_token)).amr == ("pwd", "otp")
    clock.now += 30
    both = await _login(people, owner, code=app.at(clock.now))
    assert both.pair.session_id != opened.pair.session_id


async def test_an_app_learns_the_secret_from_the_address_of_the_qr_code(people, owner, context):
    setup = await people.second_factors.begin(context, owner.password)
    parts = urlsplit(setup.uri)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert parse_qs(parts.query)["secret"] == [setup.secret]
    assert parse_qs(parts.query)["issuer"] == ["CohortLens"]


async def test_nothing_is_asked_for_until_the_first_code(people, owner, context):
    await people.second_factors.begin(context, owner.password)
    with pytest.raises(InvalidCredentials):
        await people.second_factors.confirm(context, "000000")
    assert await _login(people, owner)


@pytest.mark.parametrize("steps", [-2, 2])
async def test_codes_outside_one_step_are_refused(people, owner, app, clock, steps):
    with pytest.raises(InvalidCredentials):
        await _login(people, owner, code=app.at(clock.now + 30 * steps))


async def test_a_code_works_once_also_at_once_and_so_does_any_older_one(people, owner, app, clock):
    code = app.at(clock.now)
    steps = [await _asked(people, owner) for _ in range(4)]
    results = await asyncio.gather(
        *(_login(people, owner, code=code, **step) for step in steps), return_exceptions=True
    )
    assert sum(not isinstance(it, Exception) for it in results) == 1
    for used in (code, app.at(clock.now - 30)):
        with pytest.raises(InvalidCredentials):
            await _login(people, owner, code=used, **await _asked(people, owner))


async def test_recovery_codes_work_once_each_as_people_type_them(people, owner, app):
    first, second = app.recovery[:2]
    assert len(set(app.recovery)) == 10
    assert await _login(people, owner, code=first.upper().replace("-", " "))
    with pytest.raises(InvalidCredentials):
        await _login(people, owner, code=first)
    assert await _login(people, owner, code=second, **await _asked(people, owner))


async def test_a_second_step_has_five_tries_and_ends_with_its_success(people, owner, app, clock):
    step = await _asked(people, owner)
    for n in range(5):
        with pytest.raises(InvalidCredentials):
            await _login(people, owner, code=f"00000{n}", **step)
    with pytest.raises(TokenInvalid):
        await _login(people, owner, code=app.at(clock.now), **step)
    other = await _asked(people, owner)
    await _login(people, owner, code=app.at(clock.now), **other)
    with pytest.raises(TokenInvalid):
        await _login(people, owner, code=app.recovery[0], **other)


async def test_guessers_from_many_places_have_a_hundred_codes_an_hour_and_the_owner_a_recovery_code(
    database, redis_client, owner, app, clock
):
    core = await open_identity(database, redis_client, limits=LoginLimits(codes=3))
    people = People(database, KEK, TenantKeys(KEK), core, clock)
    by_code = LoginRequest(email=owner.email, password=owner.password, code="000000")
    try:
        for n in range(3):
            with pytest.raises(InvalidCredentials):
                await people.login.log_in(anonymous(f"203.0.113.{n}"), by_code)
        with pytest.raises(LoginRateLimited):
            await people.login.log_in(anonymous("203.0.113.9"), replace(by_code, code=app.at(clock.now)))
        assert await people.login.log_in(anonymous(), replace(by_code, code=app.recovery[0]))
    finally:
        await core.close()


async def test_a_right_code_begins_the_count_anew(database, redis_client, owner, app, clock):
    core = await open_identity(database, redis_client, limits=LoginLimits(codes=2))
    people = People(database, KEK, TenantKeys(KEK), core, clock)
    by_code = LoginRequest(email=owner.email, password=owner.password)
    try:
        for _ in range(3):
            with pytest.raises(InvalidCredentials):
                await people.login.log_in(anonymous(), replace(by_code, code="000000"))
            assert await people.login.log_in(anonymous(), replace(by_code, code=app.at(clock.now)))
            clock.now += 30
    finally:
        await core.close()


async def test_a_password_that_changes_between_the_steps_opens_nothing(
    people, identity, owner, app, clock, context
):
    step = await _asked(people, owner)
    renewed = await identity.sessions.renew(owner.opened.pair.refresh_token)
    principal = await identity.verifier.verify(renewed.access_token)
    later = RequestContext("r", principal, time.monotonic() + 30, "192.0.2.7")
    await people.passwords.change(later, owner.password, "a heron on the old weir")
    with pytest.raises(InvalidCredentials):
        await _login(people, owner, code=app.at(clock.now), **step)


async def test_switching_on_and_off_ends_the_other_sessions(people, identity, owner, context, clock):
    other = await _login(people, owner)
    setup = await people.second_factors.begin(context, owner.password)
    app = pyotp.TOTP(setup.secret)
    await people.second_factors.confirm(context, app.at(clock.now))
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(other.pair.access_token)
    clock.now += 30
    third = await _login(people, owner, code=app.at(clock.now))
    clock.now += 30
    await people.second_factors.disable(context, owner.password, app.at(clock.now))
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(third.pair.access_token)
    assert await _login(people, owner)


async def test_switching_off_needs_password_and_code(people, owner, context, app, clock):
    with pytest.raises(InvalidCredentials):
        await people.second_factors.disable(context, "wrong horse battery", app.at(clock.now))
    with pytest.raises(InvalidCredentials):
        await people.second_factors.disable(context, owner.password, "000000")
    await people.second_factors.disable(context, owner.password, app.recovery[3])
    with pytest.raises(FailedPrecondition) as caught:
        await people.second_factors.disable(context, owner.password, app.at(clock.now))
    assert caught.value.reason == "TOTP_NOT_ACTIVE"


async def test_states_that_do_not_fit_are_named(people, owner, context, app):
    with pytest.raises(FailedPrecondition) as active:
        await people.second_factors.begin(context, owner.password)
    with pytest.raises(FailedPrecondition) as begun:
        await people.second_factors.confirm(context, "000000")
    assert (active.value.reason, begun.value.reason) == ("TOTP_ACTIVE", "TOTP_NOT_BEGUN")


async def test_neither_secret_nor_recovery_code_is_stored_as_it_is(app, superuser):
    stored = str([tuple(row) for row in await superuser.fetch("SELECT * FROM users")])
    stored += str([tuple(row) for row in await superuser.fetch("SELECT * FROM recovery_codes")])
    assert app.secret not in stored
    assert not any(code in stored or code.replace("-", "") in stored for code in app.recovery)


async def test_a_program_has_no_second_factor(people, owner):
    key = Principal(
        owner.opened.pair.tenant_id, uuid7(), uuid7(), "service", frozenset(), PrincipalKind.API_KEY
    )
    context = RequestContext("r", key, time.monotonic() + 30, "192.0.2.7")
    with pytest.raises(PermissionDenied) as caught:
        await people.second_factors.begin(context, owner.password)
    assert caught.value.reason == "ROLE_REQUIRED"
