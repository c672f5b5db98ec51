"""The authorisation server over real PostgreSQL: races, times, tenants, audit rows."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from cohortlens.core.context import PrincipalKind
from cohortlens.core.errors import NotFound, PermissionDenied, Unauthenticated
from cohortlens.identity.oauth.models import AuthorizationRefused, InvalidGrant
from cohortlens.identity.oauth.service import OAuth
from tests.fixtures.tenants import register
from tests.integration.identity.conftest import ISSUER
from tests.integration.identity.oauth.consenting import acting, asked, code_of, exchange, made


@pytest.fixture
async def tenant(database):
    return await register(database, "oauth")


async def test_of_many_who_use_a_code_at_once_none_keeps_a_session(oauth, identity, tenant):
    client = await made(oauth, tenant)
    code = await code_of(oauth, acting(tenant), client)
    outcomes = await asyncio.gather(
        *(exchange(oauth, client, code) for _ in range(20)), return_exceptions=True
    )
    won = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert all(isinstance(one, InvalidGrant) for one in outcomes if isinstance(one, BaseException))
    with pytest.raises(Unauthenticated):
        await identity.verifier.verify(won[0].access_token, strict=True)


async def test_a_code_is_over_after_its_minute(oauth, tenant, superuser):
    client = await made(oauth, tenant)
    code = await code_of(oauth, acting(tenant), client)
    life = await superuser.fetchval(
        "SELECT extract(epoch FROM expires_at - created_at)::float FROM oauth_codes"
    )
    assert life == pytest.approx(60, abs=0.1)
    await superuser.execute("UPDATE oauth_codes SET expires_at = clock_timestamp()")
    with pytest.raises(InvalidGrant):
        await exchange(oauth, client, code)


async def test_codes_and_secrets_are_stored_as_digests_only(oauth, tenant, superuser):
    client = await made(oauth, tenant)
    code = await code_of(oauth, acting(tenant), client)
    stored = await superuser.fetchval("SELECT row_to_json(o)::text FROM oauth_codes o")
    assert code not in stored
    assert hashlib.sha256(code.encode()).hexdigest() in stored


async def test_a_client_of_one_tenant_is_not_for_users_of_another(oauth, tenant, database):
    other = await register(database, "other")
    client = await made(oauth, tenant)
    found, choices = await oauth.authorization.review(acting(other), asked(client))
    assert (found.client.publisher, choices) == ("oauth", [])
    with pytest.raises(NotFound):
        await code_of(oauth, acting(other), client)


async def test_a_client_for_any_tenant_acts_where_the_user_chose_and_ends_everywhere(
    oauth, identity, tenant, database
):
    other = await register(database, "other")
    client = await made(oauth, tenant, any_tenant=True)
    tokens = await exchange(oauth, client, await code_of(oauth, acting(other), client, other.tenant_id))
    principal = await identity.verifier.verify(tokens.access_token)
    assert (principal.tenant_id, principal.scopes) == (other.tenant_id, {"customers.read"})
    assert (principal.kind, principal.client_id) == (PrincipalKind.USER, str(client.id))
    with pytest.raises(NotFound):
        await code_of(oauth, acting(other), client, tenant.tenant_id)
    await oauth.clients.delete(acting(tenant), client.id)
    with pytest.raises(Unauthenticated):
        await identity.verifier.verify(tokens.access_token, strict=True)


async def test_another_tenants_client_is_missing(oauth, tenant, database):
    other = await register(database, "other")
    client = await made(oauth, tenant)
    for work in (
        lambda key: oauth.clients.delete(acting(other), key),
        lambda key: oauth.clients.rotate_secret(acting(other), key, 0),
    ):
        answers = []
        for key in (client.id, UUID(int=1)):
            with pytest.raises(NotFound) as refused:
                await work(key)
            answers.append((refused.value.message, refused.value.metadata))
        assert answers[0] == answers[1]
    assert await oauth.clients.page(acting(other), None, 10) == []
    assert len(await oauth.clients.page(acting(tenant), None, 10)) == 1


@pytest.mark.parametrize("kind", ["application", "program"])
async def test_only_a_person_registers_reviews_and_decides(oauth, tenant, kind):
    client = await made(oauth, tenant)
    ctx = acting(tenant)
    changes = {"client_id": str(client.id)}
    if kind == "program":
        changes = {"kind": PrincipalKind.SERVICE_ACCOUNT}
    ctx = replace(ctx, principal=replace(ctx.caller, **changes))
    for work in (
        lambda: oauth.authorization.review(ctx, asked(client)),
        lambda: code_of(oauth, ctx, client),
        lambda: oauth.clients.delete(ctx, client.id),
        lambda: oauth.clients.rotate_secret(ctx, client.id, 0),
    ):
        with pytest.raises(PermissionDenied):
            await work()


async def test_a_suspended_tenants_clients_are_unknown(oauth, tenant, superuser):
    client = await made(oauth, tenant)
    await superuser.execute("UPDATE tenants SET status = 'SUSPENDED' WHERE id = $1", tenant.tenant_id)
    with pytest.raises(AuthorizationRefused):
        await oauth.authorization.check(asked(client))


async def test_what_happens_is_in_the_audit_log_without_the_code(oauth, tenant, superuser):
    client = await made(oauth, tenant)
    code = await code_of(oauth, acting(tenant), client)
    await exchange(oauth, client, code)
    with pytest.raises(InvalidGrant):
        await exchange(oauth, client, code)
    await oauth.clients.delete(acting(tenant), client.id)
    rows = await superuser.fetch(
        "SELECT convert_from(canonical, 'UTF8') AS row FROM audit_log WHERE tenant_id = $1 ORDER BY seq",
        tenant.tenant_id,
    )
    told = " ".join(one["row"] for one in rows)
    assert code not in told
    for action in (
        "identity.oauth_client.created",
        "identity.oauth_consent.granted",
        "identity.session.opened",
        "identity.oauth_code.refused",
        "identity.oauth_client.deleted",
    ):
        assert told.count(action) == 1


async def test_what_has_ended_is_tidied_away(oauth, identity, tenant, database, superuser):
    jobs = OAuth(database, identity, None, ISSUER)
    client = await made(oauth, tenant)
    await code_of(oauth, acting(tenant), client)
    assert await jobs.tidy() == 0
    await superuser.execute("UPDATE oauth_codes SET expires_at = clock_timestamp() - interval '2 days'")
    assert await jobs.tidy() == 1
    async with database.tenant_transaction(tenant.tenant_id) as tx:
        assert await tx.scalar(text("SELECT count(*) FROM oauth_codes")) == 0
