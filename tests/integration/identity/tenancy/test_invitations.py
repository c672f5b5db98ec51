"""Invitations: mailed once, replaced, withdrawn, accepted by the person they were mailed to."""

from __future__ import annotations

import asyncio

import pytest

from cohortlens.core.errors import AlreadyExists, InvalidArgument, NotFound
from cohortlens.core.ids import uuid7
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.models import TokenInvalid
from cohortlens.identity.tenancy.operator import Operator
from cohortlens.identity.tenancy.roles import RoleRequired
from tests.fixtures import crew
from tests.integration.identity.conftest import KEK, PASSWORD, anonymous

ADA = "ada@person.example"


@pytest.fixture
def service(database, identity, tmp_path):
    return crew.tenancy(database, identity, KEK, tmp_path)


@pytest.fixture
def invitations(runtime, identity, tmp_path):
    return crew.tenancy(runtime, identity, KEK, tmp_path).invitations


@pytest.fixture
async def team(database):
    return await crew.crew(database)


async def _accept(invitations, token, **more):
    options = {"password": "", "terms_version": "", "device_name": "laptop", "user_agent": "tests", **more}
    return await invitations.accept(anonymous(), token, **options)


async def _token(mailbox, to=ADA):
    mail = await mailbox.newest(to)
    assert mail.template == "invitation"
    return mail.values["token"]


async def test_a_new_person_chooses_a_password_and_has_a_session(
    service, invitations, team, mailbox, identity, superuser
):
    made = await invitations.invite(team["admin"].context(), " ADA@Person.example ", "analyst")
    assert (made.email, made.role, made.invited_by) == (ADA, "analyst", team["admin"].user_id)
    done = await _accept(invitations, await _token(mailbox), password=PASSWORD)
    principal = await identity.verifier.verify(done.tokens.access_token)
    assert (principal.tenant_id, principal.id, principal.role) == (
        team["admin"].tenant_id,
        done.user_id,
        "analyst",
    )
    member = await service.users.get(team["admin"].context(), done.user_id)
    assert (member.email, member.invited_by) == (ADA, team["admin"].user_id)
    assert await crew.actions(superuser, team["admin"].tenant_id) == [
        ("identity.user.invited", "OK"),
        ("identity.invitation.accepted", "OK"),
    ]


async def test_one_who_has_an_account_joins_without_a_password_and_gets_no_session(
    invitations, team, mailbox, database, superuser
):
    other = await crew.crew(database, "elsewhere")
    known = other["viewer"]
    before = await superuser.fetchval("SELECT password_hash FROM users WHERE id = $1", known.user_id)
    await invitations.invite(team["owner"].context(), known.email, "admin")
    token = await _token(mailbox, known.email)
    with pytest.raises(InvalidArgument) as caught:
        await _accept(invitations, token, password="somebody else's secret")
    assert caught.value.violations[0].field == "password"
    done = await _accept(invitations, token)
    assert (done.user_id, done.role, done.tokens) == (known.user_id, "admin", None)
    after = await superuser.fetchval("SELECT password_hash FROM users WHERE id = $1", known.user_id)
    assert after == before


async def test_an_account_whose_address_nobody_proved_gets_a_password_by_its_invitation(
    invitations, team, mailbox, superuser
):
    # Whoever took the address before its owner came must not get in with the password they chose.
    await superuser.execute(
        "INSERT INTO users (id, email, password_hash) VALUES ($1, $2, 'of-a-squatter')", uuid7(), ADA
    )
    await invitations.invite(team["owner"].context(), ADA, "viewer")
    token = await _token(mailbox)
    with pytest.raises(InvalidArgument):
        await _accept(invitations, token)
    assert (await _accept(invitations, token, password=PASSWORD)).tokens is not None
    row = await superuser.fetchrow("SELECT * FROM users WHERE email = $1", ADA)
    assert row["email_verified_at"] is not None
    assert row["password_hash"] != "of-a-squatter"


async def test_the_address_lies_sealed_and_no_audit_row_names_it(invitations, team, superuser):
    await invitations.invite(team["owner"].context(), ADA, "viewer")
    stored = [*(await superuser.fetchrow("SELECT * FROM invitations")).values()]
    stored += [row["canonical"] for row in await superuser.fetch("SELECT canonical FROM audit_log")]
    assert not [one for one in stored if b"ada@" in (one if isinstance(one, bytes) else str(one).encode())]
    assert [one.email for one in await invitations.page(team["viewer"].context(), None, 10)] == [ADA]


async def test_a_repeated_invitation_replaces_the_one_before(invitations, team, mailbox):
    ctx = team["owner"].context()
    await invitations.invite(ctx, ADA, "viewer")
    old = await _token(mailbox)
    second = await invitations.invite(ctx, ADA.upper(), "admin")
    new = await _token(mailbox)
    assert [one.invitation_id for one in await invitations.page(ctx, None, 10)] == [second.invitation_id]
    with pytest.raises(TokenInvalid):
        await _accept(invitations, old, password=PASSWORD)
    assert (await _accept(invitations, new, password=PASSWORD)).role == "admin"


async def test_eight_invitations_of_one_address_at_once_leave_one_that_works(
    invitations, team, mailbox, superuser
):
    ctx = team["owner"].context()
    await asyncio.gather(*(invitations.invite(ctx, ADA, "viewer") for _ in range(8)))
    assert await superuser.fetchval("SELECT count(*) FROM invitations") == 1
    tokens = [mail.values["token"] for mail in await mailbox.all(ADA)]
    results = await asyncio.gather(
        *(_accept(invitations, token, password=PASSWORD) for token in tokens), return_exceptions=True
    )
    assert sum(not isinstance(one, Exception) for one in results) == 1, results


async def test_two_clicks_on_one_link_are_one_success(invitations, team, mailbox):
    await invitations.invite(team["owner"].context(), ADA, "viewer")
    token = await _token(mailbox)
    results = await asyncio.gather(
        *(_accept(invitations, token, password=PASSWORD) for _ in range(4)), return_exceptions=True
    )
    faults = [one for one in results if isinstance(one, Exception)]
    assert len(faults) == 3
    assert all(isinstance(one, TokenInvalid) for one in faults), faults


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaa", ADA])
async def test_a_bad_password_leaves_the_link_working(invitations, team, mailbox, password):
    await invitations.invite(team["owner"].context(), ADA, "viewer")
    token = await _token(mailbox)
    with pytest.raises(InvalidArgument) as caught:
        await _accept(invitations, token, password=password)
    assert caught.value.violations[0].field == "password"
    assert (await _accept(invitations, token, password=PASSWORD)).tokens


async def test_nobody_invites_above_their_own_role_or_withdraws_above_it(invitations, team, superuser):
    ctx = team["admin"].context()
    with pytest.raises(RoleRequired):
        await invitations.invite(ctx, ADA, "owner")
    made = await invitations.invite(team["owner"].context(), ADA, "owner")
    with pytest.raises(RoleRequired):
        await invitations.revoke(ctx, made.invitation_id)
    assert ("identity.user.invited", "DENIED") in await crew.actions(superuser, ctx.tenant_id)


async def test_a_withdrawn_invitation_does_not_work_and_those_of_others_are_as_missing(
    invitations, team, mailbox, database
):
    made = await invitations.invite(team["admin"].context(), ADA, "viewer")
    stranger, faults = (await crew.crew(database, "other"))["owner"], []
    for target in (made.invitation_id, uuid7()):
        with pytest.raises(NotFound) as caught:
            await invitations.revoke(stranger.context(), target)
        faults.append((caught.value.message, caught.value.metadata))
    assert faults[0] == faults[1]
    await invitations.revoke(team["admin"].context(), made.invitation_id)
    with pytest.raises(TokenInvalid):
        await _accept(invitations, await _token(mailbox), password=PASSWORD)


async def test_a_user_of_the_tenant_is_not_invited_again(invitations, team, superuser):
    with pytest.raises(AlreadyExists):
        await invitations.invite(team["owner"].context(), team["viewer"].email, "admin")
    assert await superuser.fetchval("SELECT count(*) FROM mails") == 0


async def test_invitations_go_with_the_one_who_made_them(service, invitations, team, mailbox):
    ctx = team["owner"].context()
    await invitations.invite(team["admin"].context(), ADA, "admin")
    await invitations.invite(team["admin"].context(), "bob@person.example", "viewer")
    await service.users.update(ctx, team["admin"].user_id, "analyst", [], "")
    assert [one.role for one in await invitations.page(ctx, None, 10)] == ["viewer"]
    await service.users.delete(ctx, team["admin"].user_id, "", None)
    for address in (ADA, "bob@person.example"):
        with pytest.raises(TokenInvalid):
            await _accept(invitations, await _token(mailbox, address), password=PASSWORD)


async def test_an_invitation_ends_after_seven_days(service, invitations, team, mailbox, superuser):
    ctx = team["owner"].context()
    made = await invitations.invite(ctx, ADA, "viewer")
    assert (made.expires_at - made.created_at).total_seconds() == pytest.approx(7 * 86400, abs=5)
    await superuser.execute("UPDATE invitations SET expires_at = clock_timestamp() - interval '1 second'")
    assert await invitations.page(ctx, None, 10) == []
    with pytest.raises(TokenInvalid):
        await _accept(invitations, await _token(mailbox), password=PASSWORD)
    assert await service.invitations.purge() == 1


@pytest.mark.parametrize("token", ["", "x" * 43, "é" * 43, "x" * 128])
async def test_what_is_no_token_is_refused(invitations, team, token):
    with pytest.raises(TokenInvalid):
        await _accept(invitations, token, password=PASSWORD)


async def test_the_operator_makes_a_tenant_whose_first_owner_accepts_the_terms(
    service, invitations, database, superuser, identity
):
    operator = Operator(database, TenantKeys(KEK))
    tenant_id, token = await operator.create_tenant(" Corner Shop ", ADA)
    assert [(one.display_name, one.users) for one in await operator.tenants()] == [("Corner Shop", 0)]
    offer = await invitations.offer(token)
    assert (offer.needs_password, offer.needs_terms, offer.invitation.role) == (True, True, "owner")
    with pytest.raises(InvalidArgument) as caught:
        await _accept(invitations, token, password=PASSWORD)
    assert caught.value.violations[0].field == "accept_terms_version"
    done = await _accept(invitations, token, password=PASSWORD, terms_version="2026-11")
    assert (await identity.verifier.verify(done.tokens.access_token)).role == "owner"
    row = await superuser.fetchrow("SELECT * FROM tenants WHERE id = $1", tenant_id)
    assert (row["terms_version"], row["status"]) == ("2026-11", "ACTIVE")


async def test_staff_join_the_platform_by_a_link_and_leave_by_the_operator(
    invitations, database, identity, another_process
):
    operator = Operator(database, TenantKeys(KEK))
    done = await _accept(invitations, await operator.invite_staff(ADA), password=PASSWORD)
    principal = await another_process.verifier.verify(done.tokens.access_token)
    assert (principal.role, principal.amr) == ("platform", ("pwd",))
    assert [one.email for one in await operator.staff()] == [ADA]
    with pytest.raises(AlreadyExists):
        await operator.invite_staff(ADA)
    assert await operator.dismiss(ADA.upper())
    assert not await operator.dismiss(ADA)
    await crew.refused_within(another_process, done.tokens.access_token)
