"""The limit on users: members and open invitations together, by whatever way they come."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from cohortlens.billing.models import Override
from cohortlens.core.db import Database
from cohortlens.core.errors import ResourceExhausted
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.tenancy.operator import Operator
from tests.fixtures import crew
from tests.fixtures.tenants import grant, register
from tests.integration.identity.conftest import KEK, PASSWORD, anonymous, identity, mailbox

__all__ = ["identity", "mailbox"]  # fixtures


@pytest.fixture
async def shop(runtime):
    """A tenant of plan basic, which has room for two users: its owner and one more."""
    made = await register(runtime, "shop", "basic")
    await TenantKeys(KEK).make_missing(runtime)
    return crew.Person(made.tenant_id, made.user_id, "owner", made.email)


@pytest.fixture
def invitations(runtime, identity, tmp_path):
    return crew.tenancy(runtime, identity, KEK, tmp_path).invitations


async def counted(superuser, tenant_id) -> int:
    return await superuser.fetchval("SELECT users FROM tenant_usage WHERE tenant_id = $1", tenant_id)


async def test_an_invitation_takes_a_place_and_one_too_many_is_refused(shop, invitations, superuser):
    assert await counted(superuser, shop.tenant_id) == 1
    await invitations.invite(shop.context(), "ada@person.example", "viewer")
    assert await counted(superuser, shop.tenant_id) == 2
    with pytest.raises(ResourceExhausted) as refused:
        await invitations.invite(shop.context(), "bob@person.example", "viewer")
    assert refused.value.reason == "USER_QUOTA_EXCEEDED"
    assert refused.value.metadata == {"limit": "2", "used": "2", "adding": "1", "upgrade_to": "professional"}
    assert refused.value.quota[0].quota_id == "max_users"
    # The same person again is no further one.
    await invitations.invite(shop.context(), "ada@person.example", "analyst")
    assert await counted(superuser, shop.tenant_id) == 2


async def test_one_who_accepts_takes_the_place_of_the_invitation(shop, invitations, mailbox, superuser):
    await invitations.invite(shop.context(), "ada@person.example", "viewer")
    token = (await mailbox.newest("ada@person.example")).values["token"]
    await invitations.accept(
        anonymous(), token, password=PASSWORD, terms_version="", device_name="", user_agent=""
    )
    assert await counted(superuser, shop.tenant_id) == 2
    with pytest.raises(ResourceExhausted):
        await invitations.invite(shop.context(), "bob@person.example", "viewer")


async def test_an_invitation_whose_time_is_over_frees_its_place_and_takes_one_when_sent_again(
    shop, invitations, superuser
):
    await invitations.invite(shop.context(), "ada@person.example", "viewer")
    await superuser.execute("UPDATE invitations SET expires_at = clock_timestamp() - interval '1 second'")
    await invitations.invite(shop.context(), "bob@person.example", "viewer")
    assert await counted(superuser, shop.tenant_id) == 2
    with pytest.raises(ResourceExhausted):
        await invitations.invite(shop.context(), "ada@person.example", "viewer")


async def test_a_statement_that_prolongs_an_invitation_meets_the_limit(shop, invitations, superuser, runtime):
    await invitations.invite(shop.context(), "ada@person.example", "viewer")
    await superuser.execute("UPDATE invitations SET expires_at = clock_timestamp() - interval '1 second'")
    await invitations.invite(shop.context(), "bob@person.example", "viewer")
    with pytest.raises(ResourceExhausted):
        await _prolong(runtime, shop.tenant_id)
    assert await counted(superuser, shop.tenant_id) == 2


async def _prolong(db, tenant_id) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(text("UPDATE invitations SET expires_at = clock_timestamp() + interval '1 day'"))


async def test_the_operator_and_functions_of_the_schema_meet_the_limit_too(shop, database, superuser):
    await crew.join(database, shop.tenant_id, "viewer")
    with pytest.raises(ResourceExhausted):
        await crew.join(database, shop.tenant_id, "viewer")
    assert await counted(superuser, shop.tenant_id) == 2
    tenant_id, _ = await Operator(database, TenantKeys(KEK)).create_tenant("Corner", "ana@person.example")
    assert await counted(superuser, tenant_id) == 1


async def test_the_staff_of_the_platform_have_no_limit(database, superuser):
    operator = Operator(database, TenantKeys(KEK))
    await TenantKeys(KEK).make_missing(database)
    for number in range(4):
        await operator.invite_staff(f"staff-{number}@person.example")
    assert await superuser.fetchval("SELECT max(users) FROM tenant_usage") == 4


async def test_a_removed_user_frees_a_place_also_after_a_downgrade(shop, runtime, database, superuser):
    await grant(runtime, shop.tenant_id, Override("a pilot of ours", "enterprise"))
    people = [await crew.join(database, shop.tenant_id, "viewer") for _ in range(4)]
    await grant(runtime, shop.tenant_id, None)
    assert await superuser.fetchval(
        "SELECT over_limit_since FROM entitlements WHERE tenant_id = $1", shop.tenant_id
    )
    for person, left in zip(people[:3], (4, 3, 2), strict=True):
        await _remove(database, shop.tenant_id, person.user_id)
        assert await counted(superuser, shop.tenant_id) == left
        with pytest.raises(ResourceExhausted):
            await crew.join(database, shop.tenant_id, "viewer")


async def _remove(db, tenant_id, user_id) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(text("SELECT app.member_remove(:user)"), {"user": user_id})


async def test_32_invitations_at_once_leave_no_more_than_there_is_room_for(
    runtime, identity, tmp_path, postgres_urls, superuser
):
    made = await register(runtime, "team", "basic")
    await grant(runtime, made.tenant_id, Override("a pilot of ours", "professional"))
    await TenantKeys(KEK).make_missing(runtime)
    owner = crew.Person(made.tenant_id, made.user_id, "owner", made.email)
    db = Database(postgres_urls.runtime, 32)
    service = crew.tenancy(db, identity, KEK, tmp_path).invitations

    async def invite(number: int) -> bool:
        try:
            await service.invite(owner.context(), f"person-{number}@person.example", "viewer")
        except ResourceExhausted:
            return False
        return True

    try:
        sent = await asyncio.gather(*(invite(number) for number in range(32)))
    finally:
        await db.close()
    assert sum(sent) == 9
    assert await counted(superuser, made.tenant_id) == 10
    assert await superuser.fetchval("SELECT count(*) FROM invitations") == 9
