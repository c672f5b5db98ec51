"""Users of a tenant: lists, roles that nobody raises beyond their own, the last owner, removal."""

from __future__ import annotations

import asyncio

import pytest

from cohortlens.core.errors import CohortLensError, InvalidArgument, NotFound
from cohortlens.core.ids import uuid7
from cohortlens.identity.models import ApiKeyInvalid, TokenExpired, TokenRevoked
from cohortlens.identity.programs.service import Programs
from cohortlens.identity.tenancy.roles import EtagMismatch, LastOwner, RoleRequired
from tests.fixtures import crew
from tests.fixtures.waiting import eventually
from tests.integration.identity.conftest import KEK, another_session

RANKS = ("viewer", "analyst", "admin", "owner")


@pytest.fixture
def users(runtime, identity, tmp_path):
    return crew.tenancy(runtime, identity, KEK, tmp_path).users


@pytest.fixture
async def people_of(database):
    return await crew.crew(database)


async def test_users_are_listed_in_the_order_of_joining_page_by_page(users, people_of):
    ctx, seen, after = people_of["viewer"].context(), [], None
    while page := await users.page(ctx, "", after, 2):
        seen += page
        after = (page[-1].joined_at, page[-1].user_id)
    assert [one.role for one in seen] == ["owner", "admin", "analyst", "viewer"]
    assert [one.email for one in seen] == [people_of[one.role].email for one in seen]
    assert [one.role for one in await users.page(ctx, "admin", None, 10)] == ["admin"]


async def test_users_of_another_tenant_are_as_missing_ones(users, people_of, tenants):
    ctx, faults = people_of["owner"].context(), []
    for target in (tenants[0].user_id, uuid7()):
        for call in (
            users.get(ctx, target),
            users.update(ctx, target, "viewer", [], ""),
            users.delete(ctx, target, "", None),
        ):
            with pytest.raises(NotFound) as caught:
                await call
            faults.append((caught.value.message, caught.value.reason, caught.value.metadata))
    assert len(set(map(repr, faults))) == 1
    assert len(await users.page(ctx, "", None, 10)) == 4


@pytest.mark.parametrize("own", RANKS)
async def test_nobody_gives_or_takes_a_role_above_their_own(users, people_of, database, superuser, own):
    for old in RANKS:
        for new in RANKS:
            if old == new:
                continue
            target = await crew.join(database, people_of[own].tenant_id, old)
            allowed = max(RANKS.index(old), RANKS.index(new)) <= RANKS.index(own)
            change = users.update(people_of[own].context(), target.user_id, new, ["role"], "")
            if allowed:
                assert (await change).role == new
            else:
                with pytest.raises(RoleRequired):
                    await change
                found = await users.get(people_of[own].context(), target.user_id)
                assert found.role == old
    outcomes = {outcome for _, outcome in await crew.actions(superuser, people_of[own].tenant_id)}
    assert ("OK" in outcomes, "DENIED" in outcomes) == (own != "viewer", own != "owner")


async def test_the_role_of_a_stale_token_does_not_count(users, people_of, database):
    viewer, target = people_of["viewer"], people_of["analyst"]
    with pytest.raises(RoleRequired):
        await users.update(viewer.context(role="owner"), target.user_id, "admin", [], "")
    with pytest.raises(RoleRequired):
        await users.delete(viewer.context(role="owner"), target.user_id, "", None)


async def test_a_user_above_the_callers_role_is_not_removed(users, people_of):
    with pytest.raises(RoleRequired):
        await users.delete(people_of["admin"].context(), people_of["owner"].user_id, "", None)


async def test_the_last_owner_stays_and_is_told_what_to_do(users, people_of, superuser):
    owner = people_of["owner"]
    for call in (
        users.update(owner.context(), owner.user_id, "admin", [], ""),
        users.delete(owner.context(), owner.user_id, "", None),
    ):
        with pytest.raises(LastOwner, match="make somebody else an owner first"):
            await call
    assert (await crew.actions(superuser, owner.tenant_id)) == [
        ("identity.user.updated", "DENIED"),
        ("identity.user.removed", "DENIED"),
    ]


async def test_two_owners_who_demote_each_other_at_once_leave_one_a_hundred_times(
    users, people_of, database, superuser
):
    owner = people_of["owner"]
    second = await crew.join(database, owner.tenant_id, "owner")
    outcomes = set()
    for _ in range(100):
        results = await asyncio.gather(
            users.update(owner.context(), second.user_id, "admin", [], ""),
            users.update(second.context(), owner.user_id, "admin", [], ""),
            return_exceptions=True,
        )
        faults = [one for one in results if isinstance(one, Exception)]
        assert len(faults) == 1
        outcomes.add(getattr(faults[0], "reason", repr(faults[0])))
        owners = await superuser.fetch(
            "SELECT user_id FROM tenant_users WHERE tenant_id = $1 AND role = 'owner'", owner.tenant_id
        )
        assert len(owners) == 1
        await superuser.execute(
            "UPDATE tenant_users SET role = 'owner' WHERE user_id = ANY ($1::uuid[])",
            [owner.user_id, second.user_id],
        )
    # The one who comes second is no owner any more.
    assert outcomes == {"ROLE_REQUIRED"}


async def test_two_owners_who_leave_at_once_never_leave_the_tenant_without_one(users, database, superuser):
    for _ in range(20):
        made = await crew.crew(database)
        second = await crew.join(database, made["owner"].tenant_id, "owner")
        both = (made["owner"], second)
        results = await asyncio.gather(
            *(users.delete(one.context(), one.user_id, "", None) for one in both), return_exceptions=True
        )
        assert sum(isinstance(one, LastOwner) for one in results) == 1, results
        assert (
            await superuser.fetchval(
                "SELECT count(*) FROM tenant_users WHERE tenant_id = $1 AND role = 'owner'", second.tenant_id
            )
            == 1
        )


async def test_an_owner_hands_the_tenant_over_and_steps_down(users, people_of):
    owner, heir = people_of["owner"], people_of["admin"]
    assert (await users.update(owner.context(), heir.user_id, "owner", [], "")).role == "owner"
    assert (await users.update(heir.context(role="owner"), owner.user_id, "viewer", [], "")).role == "viewer"


async def test_a_stale_etag_refuses_change_and_removal(users, people_of):
    ctx, target = people_of["owner"].context(), people_of["analyst"].user_id
    read = await users.get(ctx, target)
    changed = await users.update(ctx, target, "viewer", ["role"], read.etag)
    assert changed.etag != read.etag
    for call in (
        users.update(ctx, target, "admin", [], read.etag),
        users.delete(ctx, target, read.etag, None),
    ):
        with pytest.raises(EtagMismatch):
            await call
    assert (await users.update(ctx, target, "", [], changed.etag)).role == "viewer"


@pytest.mark.parametrize(("role", "fields"), [("admin", ["email"]), ("", ["role"]), ("admin", ["role", "x"])])
async def test_a_mask_that_cannot_be_followed_is_refused(users, people_of, role, fields):
    with pytest.raises(InvalidArgument) as caught:
        await users.update(people_of["owner"].context(), people_of["viewer"].user_id, role, fields, "")
    assert caught.value.violations[0].field in {"update_mask", "role"}


async def test_a_new_role_is_in_force_on_another_process_within_two_seconds(
    users, people_of, identity, another_process
):
    viewer = people_of["viewer"]
    pair = await another_session(identity, viewer.tenant_id, viewer.user_id)
    assert (await another_process.verifier.verify(pair.access_token)).role == "viewer"
    await users.update(people_of["owner"].context(), viewer.user_id, "analyst", [], "")
    fault = await crew.refused_within(another_process, pair.access_token)
    assert isinstance(fault, TokenExpired)
    renewed = await another_process.sessions.renew(pair.refresh_token)
    assert (await another_process.verifier.verify(renewed.access_token)).role == "analyst"


async def test_a_removed_user_is_out_everywhere_and_forgotten(
    users, people_of, identity, another_process, superuser
):
    viewer = people_of["viewer"]
    pairs = [await another_session(identity, viewer.tenant_id, viewer.user_id) for _ in range(2)]
    for pair in pairs:
        await another_process.verifier.verify(pair.access_token)
    done = await users.delete(people_of["admin"].context(), viewer.user_id, "", None)
    assert (done.sessions_ended, done.keys_revoked, done.keys_transferred) == (2, 0, 0)
    for pair in pairs:
        fault = await crew.refused_within(another_process, pair.access_token)
        assert isinstance(fault, TokenRevoked)
        with pytest.raises(CohortLensError):
            await another_process.sessions.renew(pair.refresh_token)
    assert await superuser.fetchval("SELECT count(*) FROM users WHERE id = $1", viewer.user_id) == 0


async def test_a_user_of_two_tenants_stays_in_the_other(users, people_of, database, superuser):
    viewer = people_of["viewer"]
    other = await crew.crew(database, "other")
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, user_id, role) VALUES ($1, $2, 'viewer')",
        other["owner"].tenant_id,
        viewer.user_id,
    )
    await users.delete(people_of["owner"].context(), viewer.user_id, "", None)
    assert (await users.get(other["owner"].context(), viewer.user_id)).email == viewer.email
    with pytest.raises(NotFound):
        await users.get(people_of["owner"].context(), viewer.user_id)


@pytest.fixture
async def programs(database, another_process):
    """Keys as another process sees them."""
    made = Programs(database, another_process.revocations, is_live=False)
    yield made
    await made.close()


async def _key(programs, person, scopes=("customers.read",)):
    made = await programs.keys.create(person.context(), display_name="export", scopes=list(scopes))
    await programs.key_verifier.verify(made.secret, "192.0.2.7")
    return made.secret


async def _is_refused(programs, secret):
    try:
        await programs.key_verifier.verify(secret, "192.0.2.7")
    except ApiKeyInvalid:
        return True
    return False


async def test_the_keys_of_a_removed_user_end_with_them(users, people_of, programs):
    secret = await _key(programs, people_of["admin"])
    done = await users.delete(people_of["owner"].context(), people_of["admin"].user_id, "", None)
    assert (done.keys_revoked, done.keys_transferred) == (1, 0)
    await eventually(lambda: _is_refused(programs, secret), 2.0)


async def test_keys_that_somebody_takes_over_go_on(users, people_of, programs):
    secret = await _key(programs, people_of["admin"])
    done = await users.delete(
        people_of["owner"].context(), people_of["admin"].user_id, "", people_of["owner"].user_id
    )
    assert (done.keys_revoked, done.keys_transferred) == (0, 1)
    loop = asyncio.get_running_loop()
    end = loop.time() + 2.0
    while loop.time() < end:
        assert (await programs.key_verifier.verify(secret, "192.0.2.7")).scopes == {"customers.read"}
        await asyncio.sleep(0.1)


async def test_keys_go_only_to_a_user_of_the_tenant_who_could_have_made_them(
    users, people_of, programs, tenants, superuser
):
    await _key(programs, people_of["admin"], ["customers.write"])
    ctx, target, faults = people_of["owner"].context(), people_of["admin"].user_id, []
    with pytest.raises(InvalidArgument, match=r"lacks scopes of these keys: customers\.write"):
        await users.delete(ctx, target, "", people_of["viewer"].user_id)
    with pytest.raises(InvalidArgument):
        await users.delete(ctx, target, "", target)
    for stranger in (tenants[0].user_id, uuid7()):
        with pytest.raises(NotFound) as caught:
            await users.delete(ctx, target, "", stranger)
        faults.append((caught.value.message, caught.value.metadata))
    assert faults[0] == faults[1]
    assert await superuser.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == 1
    assert (await users.get(ctx, target)).role == "admin"
