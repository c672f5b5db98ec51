"""A tenant's own settings, its deletion, its return, its suspension, and its erasure after thirty days."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import asyncpg
import pytest

from cohortlens.billing.models import Override
from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID, SessionId, UserId, uuid7
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.models import ROLE_SCOPES, TENANT_DELETION, InvalidCredentials, TokenRevoked
from cohortlens.identity.tenancy.erasure import TenantErasure
from cohortlens.identity.tenancy.roles import EtagMismatch, RoleRequired
from tests.fixtures import crew, servers
from tests.fixtures.tenants import grant
from tests.integration.identity.conftest import KEK, PASSWORD, anonymous, another_session, registered

EVIDENCE = {"audit_heads", "audit_log", "audit_checkpoints", "access_log", "access_minutes"}
OWNED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""


@pytest.fixture
def service(database, identity, tmp_path):
    return crew.tenancy(database, identity, KEK, tmp_path)


@pytest.fixture
async def team(database):
    return await crew.crew(database)


def values(**given):
    return {"display_name": "", "settings": {}, "retention_days": 0, "terms_version": "", **given}


def of_session(pair, principal):
    return RequestContext(str(uuid7()), principal, time.monotonic() + 30, "192.0.2.7")


def staff():
    principal = Principal(
        PLATFORM_TENANT_ID,
        UserId(uuid7()),
        SessionId(uuid7()),
        "platform",
        ROLE_SCOPES["platform"],
        amr=("pwd", "otp"),
    )
    return RequestContext(str(uuid7()), principal, time.monotonic() + 30, "192.0.2.7")


async def test_what_the_mask_names_is_changed_and_nothing_else(service, team, superuser):
    ctx, tenants = team["admin"].context(), service.tenants
    first = await tenants.get(ctx)
    sent = values(display_name=" New ", settings={"locale": "es"}, retention_days=90)
    named = await tenants.update(ctx, sent, ["display_name", "retention_days"], first.etag)
    assert (named.display_name, named.settings, named.retention_days) == ("New", {}, 90)
    unmasked = await tenants.update(ctx, values(settings={"locale": "es"}), [], named.etag)
    assert (unmasked.display_name, unmasked.settings) == ("New", {"locale": "es"})
    cleared = await tenants.update(ctx, values(), ["settings", "retention_days"], "")
    assert (cleared.settings, cleared.retention_days) == ({}, 0)
    with pytest.raises(EtagMismatch):
        await tenants.update(ctx, values(display_name="Late"), [], first.etag)
    rows = [bytes(row["canonical"]) for row in await superuser.fetch("SELECT canonical FROM audit_log")]
    assert len(rows) == 3
    assert not [row for row in rows if b"New" in row or b"locale" in row]


@pytest.mark.parametrize(
    ("given", "fields", "field"),
    [
        ({}, ["status"], "update_mask"),
        ({"display_name": "  "}, ["display_name"], "display_name"),
        ({}, ["terms_version"], "terms_version"),
        ({"settings": {"a b": "x"}}, [], "settings"),
        ({"settings": {"a": "x" * 1025}}, [], "settings[a]"),
        ({"settings": {f"k{n}": "" for n in range(65)}}, [], "settings"),
    ],
)
async def test_settings_that_cannot_be_kept_are_refused_by_field(service, team, given, fields, field):
    with pytest.raises(InvalidArgument) as caught:
        await service.tenants.update(team["owner"].context(), values(**given), fields, "")
    assert caught.value.violations[0].field == field


async def test_only_an_owner_accepts_terms_and_their_time_is_kept(service, team):
    with pytest.raises(RoleRequired):
        await service.tenants.update(team["admin"].context(), values(terms_version="2027-01"), [], "")
    before = await service.tenants.get(team["owner"].context())
    after = await service.tenants.update(team["owner"].context(), values(terms_version="2027-01"), [], "")
    assert (before.terms_version, after.terms_version) == ("2026-11", "2027-01")
    assert after.terms_at > before.terms_at


@pytest.fixture
async def boss(people, mailbox, identity):
    """An owner with a password, and a request of theirs."""
    owner = await registered(people, mailbox, "boss@shop.example")
    principal = await identity.verifier.verify(owner.opened.pair.access_token)
    return owner, of_session(owner.opened.pair, principal)


async def test_a_deleted_tenant_is_dead_at_once_and_comes_back_by_its_owner(
    service, boss, identity, another_process, mailbox, database, superuser
):
    owner, ctx = boss
    colleague = await crew.join(database, ctx.tenant_id, "viewer")
    pair = await another_session(identity, ctx.tenant_id, colleague.user_id)
    for token in (pair.access_token, owner.opened.pair.access_token):
        await another_process.verifier.verify(token)
    with pytest.raises(InvalidCredentials):
        await service.tenants.delete(ctx, "a wrong password")
    assert (await service.tenants.get(ctx)).status == "ACTIVE"
    deleted = await service.tenants.delete(ctx, PASSWORD)
    assert deleted.status == "DELETING"
    left = (deleted.erase_at - deleted.created_at).total_seconds()
    # What ends the subscription is stored with the deletion.
    topics = "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND topic = $2"
    assert await superuser.fetchval(topics, ctx.tenant_id, TENANT_DELETION) == 1
    assert left == pytest.approx(30 * 86400, abs=60)
    for token in (pair.access_token, owner.opened.pair.access_token):
        assert isinstance(await crew.refused_within(another_process, token), TokenRevoked)
    for one in (pair, owner.opened.pair):
        with pytest.raises(Unauthenticated):
            await another_process.sessions.renew(one.refresh_token)
    told = await mailbox.newest(owner.email)
    assert (told.template, told.values["date"]) == ("tenant_deleted", f"{deleted.erase_at:%Y-%m-%d}")

    with pytest.raises(InvalidCredentials):
        await service.tenants.undelete(anonymous(), owner.email, "a wrong password", "", None)
    restored = await service.tenants.undelete(anonymous(), owner.email.upper(), PASSWORD, "", ctx.tenant_id)
    assert (restored.status, restored.erase_at) == ("ACTIVE", None)
    # What was ended stays ended; a new log-in works.
    assert isinstance(await crew.refused_within(another_process, pair.access_token), TokenRevoked)
    fresh = await another_session(identity, ctx.tenant_id, colleague.user_id)
    assert (await another_process.verifier.verify(fresh.access_token)).role == "viewer"
    with pytest.raises(FailedPrecondition) as caught:
        await service.tenants.undelete(anonymous(), owner.email, PASSWORD, "", None)
    assert caught.value.reason == "TENANT_NOT_DELETED"
    done = await crew.actions(superuser, ctx.tenant_id)
    assert ("identity.tenant.deleted", "OK") in done
    assert ("identity.tenant.undeleted", "DENIED") in done
    assert ("identity.tenant.undeleted", "OK") in done


async def test_who_is_no_owner_or_unknown_brings_nothing_back(service, boss, people, mailbox, superuser):
    owner, ctx = boss
    await service.tenants.delete(ctx, PASSWORD)
    other = await registered(people, mailbox, "other@shop.example")
    with pytest.raises(FailedPrecondition) as caught:
        await service.tenants.undelete(anonymous("203.0.113.1"), other.email, PASSWORD, "", ctx.tenant_id)
    assert caught.value.reason == "TENANT_NOT_DELETED"
    with pytest.raises(InvalidCredentials):
        await service.tenants.undelete(anonymous("203.0.113.2"), "nobody@shop.example", PASSWORD, "", None)
    await superuser.execute("UPDATE tenants SET erase_at = clock_timestamp() WHERE status = 'DELETING'")
    with pytest.raises(FailedPrecondition):
        await service.tenants.undelete(anonymous("203.0.113.3"), owner.email, PASSWORD, "", None)


async def test_an_owner_with_an_authenticator_needs_its_code_to_bring_the_tenant_back(
    service, boss, people, superuser, database
):
    import pyotp

    owner, ctx = boss
    begun = await people.second_factors.begin(ctx, PASSWORD)
    app = pyotp.TOTP(begun.secret)
    codes = await people.second_factors.confirm(ctx, app.now())
    await service.tenants.delete(ctx, PASSWORD)
    with pytest.raises(Unauthenticated) as caught:
        await service.tenants.undelete(anonymous(), owner.email, PASSWORD, "", None)
    assert caught.value.reason == "MFA_REQUIRED"
    with pytest.raises(InvalidCredentials):
        await service.tenants.undelete(anonymous(), owner.email, PASSWORD, "000000", None)
    restored = await service.tenants.undelete(anonymous(), owner.email, PASSWORD, codes[0], None)
    assert restored.status == "ACTIVE"


async def test_a_suspended_tenant_is_refused_everywhere_and_both_logs_say_why(
    service, team, identity, another_process, superuser
):
    viewer, reason = team["viewer"], "invoice 4711 unpaid since 60 days"
    pair = await another_session(identity, viewer.tenant_id, viewer.user_id)
    before = (await another_process.verifier.verify(pair.access_token)).tenant_id
    done = await service.platform.suspend(staff(), before, reason)
    assert (done.status, done.users) == ("SUSPENDED", 4)
    assert isinstance(await crew.refused_within(another_process, pair.access_token), TokenRevoked)
    with pytest.raises(Unauthenticated):
        await another_process.sessions.renew(pair.refresh_token)
    for tenant in (before, PLATFORM_TENANT_ID):
        row = await superuser.fetchrow(
            "SELECT * FROM audit_log WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1", tenant
        )
        assert row["action"] == "platform.tenant.suspended"
        assert reason.encode() in row["canonical"]
    assert (await service.platform.suspend(staff(), before, reason)).status == "SUSPENDED"
    assert (await service.platform.resume(staff(), before, "invoice 4711 was paid")).status == "ACTIVE"
    fresh = await another_process.sessions.renew(pair.refresh_token)
    assert (await another_process.verifier.verify(fresh.access_token)).tenant_id == before


async def test_the_platform_itself_and_unknown_tenants_cannot_be_suspended(service, team, superuser):
    for tenant in (PLATFORM_TENANT_ID, uuid7()):
        with pytest.raises(NotFound):
            await service.platform.suspend(staff(), tenant, "because I can do it")
    listed = await service.platform.page(staff(), "", None, 100)
    assert [one.tenant_id for one in listed] == [team["owner"].tenant_id]
    assert await service.platform.page(staff(), "SUSPENDED", None, 100) == []
    assert await crew.actions(superuser, PLATFORM_TENANT_ID) == [("platform.tenant.listed", "OK")] * 2


async def test_suspending_and_resuming_at_once_keeps_both_chains_whole(service, team, superuser):
    tenant = team["owner"].tenant_id
    await asyncio.gather(
        *(service.platform.suspend(staff(), tenant, "ten characters at least") for _ in range(6)),
        *(service.platform.resume(staff(), tenant, "ten characters at least") for _ in range(6)),
    )
    own, platform = [await crew.actions(superuser, one) for one in (tenant, PLATFORM_TENANT_ID)]
    assert sorted(own) == sorted(platform)
    assert len(own) == 12


@pytest.fixture
async def scratch(postgres_server):
    """A database of its own, whose constraints may be dropped: a pool and a connection that sees all rows."""
    urls = servers.fresh_database(postgres_server.urls)
    db, past_policies = Database(urls.jobs, 2), await asyncpg.connect(urls.superuser)
    yield db, past_policies
    await past_policies.close()
    await db.close()


async def test_after_thirty_days_nothing_of_the_tenant_is_left_but_its_evidence(scratch, tmp_path):
    database, superuser = scratch
    team, bystander = await crew.crew(database), await crew.crew(database, "bystander")
    tenant_id = team["owner"].tenant_id
    tables = [row["relname"] for row in await superuser.fetch(OWNED)]
    for one in (tenant_id, bystander["owner"].tenant_id):
        await _fill(superuser, tables, one)
    for folder in (f"batches/{tenant_id}/x", f"audit/{tenant_id}/exports/y"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "rows").write_text("personal")
    erasure = TenantErasure(database, TenantKeys(KEK), tmp_path)
    due = "UPDATE tenants SET status = 'DELETING', erase_at = clock_timestamp() + $2::interval WHERE id = $1"
    await superuser.execute(due, tenant_id, timedelta(minutes=1))
    assert await erasure.run() == 0
    with pytest.raises(Exception, match="not to be erased now"):
        await erasure.erase(tenant_id)
    before = await _counts(superuser, tables, bystander["owner"].tenant_id)
    await superuser.execute(due, tenant_id, timedelta())
    assert await erasure.run() == 1
    left = await _counts(superuser, tables, tenant_id)
    assert set(left) == {"audit_heads", "audit_log"}
    row = await superuser.fetchrow("SELECT * FROM tenants WHERE id = $1", tenant_id)
    assert (row["status"], row["display_name"], row["key_wrapped"]) == ("ERASED", "-", None)
    assert row["key_destroyed_at"] is not None
    emails = [one.email for one in team.values()]
    assert await superuser.fetchval("SELECT count(*) FROM users WHERE email = ANY ($1)", emails) == 0
    assert not list(tmp_path.rglob("rows"))
    for one in (tenant_id, PLATFORM_TENANT_ID):
        assert (await crew.actions(superuser, one))[-1] == ("identity.tenant.erased", "OK")
    assert await _counts(superuser, tables, bystander["owner"].tenant_id) == before
    assert await superuser.fetchval("SELECT count(*) FROM users") == 4
    assert await erasure.run() == 0


async def test_an_erasure_that_was_cut_off_goes_on(service, boss, database, superuser, tmp_path, monkeypatch):
    monkeypatch.setattr("cohortlens.identity.tenancy.erasure.BATCH_ROWS", 1)
    _, ctx = boss
    await grant(database, ctx.tenant_id, Override("room for six", "enterprise"))
    for _ in range(5):
        await crew.join(database, ctx.tenant_id, "viewer")
    await service.tenants.delete(ctx, PASSWORD)
    await superuser.execute("UPDATE tenants SET erase_at = clock_timestamp() WHERE id = $1", ctx.tenant_id)
    erasure = TenantErasure(database, TenantKeys(KEK), tmp_path)
    assert await erasure._batch(ctx.tenant_id, 0) == 1
    assert await TenantErasure(database, TenantKeys(KEK), tmp_path).run() == 1
    assert (
        await superuser.fetchval("SELECT count(*) FROM tenant_users WHERE tenant_id = $1", ctx.tenant_id) == 0
    )


async def _counts(superuser, tables, tenant_id):
    """Rows of a tenant in each table that has some."""
    found = {
        table: await superuser.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant_id)
        for table in tables
    }
    return {table: count for table, count in found.items() if count}


async def _fill(superuser, tables, tenant_id):
    """A row of the tenant in each table that takes one: constraints aside, since only its end matters here."""
    await superuser.execute("SET session_replication_role = replica")
    try:
        for table in tables:
            if table in EVIDENCE:
                continue
            columns = await superuser.fetch(
                "SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS kind FROM pg_attribute a "
                "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
                "WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' "
                "AND a.attidentity = '' AND (a.attnotnull AND d.oid IS NULL OR a.attname = 'tenant_id')",
                table,
            )
            names = ", ".join(f'"{row["attname"]}"' for row in columns)
            given = ", ".join(
                f"'{tenant_id}'::uuid" if row["attname"] == "tenant_id" else _sample(row["kind"])
                for row in columns
            )
            checks = await superuser.fetch(
                "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'", table
            )
            async with superuser.transaction():
                for check in checks:
                    await superuser.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{check["conname"]}"')
                await superuser.execute(
                    f"INSERT INTO {table} ({names}) VALUES ({given}) ON CONFLICT DO NOTHING"
                )
    finally:
        await superuser.execute("SET session_replication_role = DEFAULT")


def _sample(kind):
    if kind.endswith("[]"):
        return "'{}'"
    if kind.startswith("timestamp"):
        return "clock_timestamp()"
    if kind.endswith("range"):
        return "'empty'"
    samples = {
        "uuid": "gen_random_uuid()",
        "bytea": "'\\x00'",
        "jsonb": "'{}'",
        "boolean": "false",
        "date": "current_date",
        "xid8": "pg_current_xact_id()",
    }
    return samples.get(kind, "'x'" if kind == "text" else "'0'")
