"""Keys of requests over real PostgreSQL: who holds one, what a COMMIT does about it, and who sees it."""

import asyncio

import pytest
from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.errors import CohortLensError
from cohortlens.core.idempotency import KeyScope, KeyTakenOver, effects_of
from cohortlens.core.idempotency_keys import SEALED_COLUMN, Busy, Held, IdempotencyKeys, Other, Stored, purge
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.tenancy.erasure import TenantErasure

METHOD = "/cohortlens.v1.AuthService/CreateApiKey"


@pytest.fixture
def keys(runtime):
    return IdempotencyKeys(runtime, TenantKeys(bytes(range(32))))


@pytest.fixture
def scope(tenants):
    return KeyScope(tenants[0].tenant_id, f"user:{tenants[0].user_id}", METHOD, "nightly")


async def write(db, tenant, action="core.test.done"):
    """Any write of the tenant."""
    async with db.tenant_transaction(tenant) as tx:
        await AuditTrail(tx).append(Actor("system", "test"), action)


async def state_of(superuser):
    return await superuser.fetchval("SELECT state FROM idempotency_keys")


async def let_time_run_out(superuser):
    await superuser.execute("UPDATE idempotency_keys SET locked_until = now() - interval '1 second'")


async def test_one_attempt_holds_a_key_and_its_answer_is_kept_for_the_same_request(keys, scope, superuser):
    held = await keys.take(scope, b"request", 30)
    assert (isinstance(held, Held), held.is_committed, held.claim.attempt) == (True, False, 1)
    assert await keys.take(scope, b"request", 30) == Busy()
    assert await keys.take(scope, b"other", 30) == Other()
    assert await keys.store(held.claim, b"answer with a secret")
    assert await keys.take(scope, b"request", 30) == Stored(b"answer with a secret", b"")
    assert await keys.take(scope, b"other", 30) == Other()
    row = await superuser.fetchrow("SELECT answer_enc, request_bidx FROM idempotency_keys")
    assert b"secret" not in row["answer_enc"]
    assert len(row["request_bidx"]) == 32


async def test_a_transaction_that_writes_marks_the_key_and_one_that_reads_does_not(
    runtime, keys, scope, superuser
):
    claim = (await keys.take(scope, b"", 30)).claim
    with effects_of(claim):
        await runtime.ping()
        async with runtime.tenant_transaction(scope.tenant_id) as tx:
            await tx.execute(text("SELECT count(*) FROM api_keys"))
        assert await state_of(superuser) == "IN_PROGRESS"
        idempotency.made(api_key="k-1")
        await write(runtime, scope.tenant_id)
    assert await state_of(superuser) == "COMMITTED"
    await let_time_run_out(superuser)
    again = await keys.take(scope, b"", 30)
    assert (again.is_committed, again.claim.made, again.claim.id) == (True, {"api_key": "k-1"}, claim.id)


async def test_a_transaction_that_stores_a_refusal_is_no_effect(runtime, keys, scope, superuser):
    claim = (await keys.take(scope, b"", 30)).claim
    with effects_of(claim):
        async with runtime.tenant_transaction(scope.tenant_id) as tx:
            await AuditTrail(tx).append(Actor("system", "test"), "core.test.done", outcome="DENIED")
    assert await state_of(superuser) == "IN_PROGRESS"
    assert await keys.give_back(claim)
    assert await state_of(superuser) is None


async def test_an_attempt_that_was_overtaken_can_commit_nothing(runtime, keys, scope, superuser):
    slow = (await keys.take(scope, b"", 30)).claim
    await let_time_run_out(superuser)
    second = await keys.take(scope, b"", 30)
    assert (second.is_committed, second.claim.attempt) == (False, 2)
    with effects_of(slow), pytest.raises(KeyTakenOver):
        await write(runtime, scope.tenant_id, "core.test.slow")
    assert not await keys.store(slow, b"late")
    assert not await keys.give_back(slow)
    with effects_of(second.claim):
        await write(runtime, scope.tenant_id, "core.test.second")
    actions = await superuser.fetch("SELECT action FROM audit_log WHERE action LIKE 'core.test.%'")
    assert [one["action"] for one in actions] == ["core.test.second"]


async def test_an_attempt_that_failed_behind_its_effect_leaves_the_key_to_the_next(
    runtime, keys, scope, superuser
):
    claim = (await keys.take(scope, b"", 300)).claim
    with effects_of(claim):
        await write(runtime, scope.tenant_id)
    assert not await keys.give_back(claim)
    assert (await keys.take(scope, b"", 30)).is_committed


async def test_a_task_that_a_call_started_works_for_itself(runtime, keys, scope, superuser):
    claim = (await keys.take(scope, b"", 30)).claim
    with effects_of(claim):
        await asyncio.create_task(write(runtime, scope.tenant_id))
        assert await state_of(superuser) == "IN_PROGRESS"
        shared = asyncio.create_task(_for_others(runtime, scope.tenant_id, claim))
        await shared
    assert await state_of(superuser) == "COMMITTED"


async def _for_others(db, tenant, claim):
    async with db.tenant_transaction(tenant) as tx:
        idempotency.works_for(tx, [claim])
        await AuditTrail(tx).append(Actor("system", "test"), "core.test.done")


async def test_keys_of_another_tenant_are_out_of_reach(runtime, keys, scope, tenants, superuser):
    await keys.take(scope, b"", 30)
    async with runtime.tenant_transaction(tenants[1].tenant_id) as tx:
        assert await tx.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0
        changed = await tx.execute(text("UPDATE idempotency_keys SET locked_until = now()"))
        assert changed.rowcount == 0
    theirs = KeyScope(tenants[1].tenant_id, scope.principal, scope.method, scope.key)
    assert isinstance(await keys.take(theirs, b"other", 30), Held)


async def test_expired_keys_of_all_tenants_are_purged_by_jobs(database, keys, scope, tenants, superuser):
    other = KeyScope(tenants[1].tenant_id, scope.principal, scope.method, scope.key)
    kept = KeyScope(scope.tenant_id, scope.principal, scope.method, "kept")
    for one in (scope, other, kept):
        await keys.take(one, b"", 30)
    await let_time_run_out(superuser)
    await superuser.execute("UPDATE idempotency_keys SET expires_at = now() WHERE key <> 'kept'")
    assert await purge(database) == 2
    assert await superuser.fetchval("SELECT key FROM idempotency_keys") == "kept"


async def test_keys_of_an_erased_tenant_are_gone_and_their_answers_cannot_be_opened(
    database, keys, scope, tenants, superuser, tmp_path
):
    tenant_keys = TenantKeys(bytes(range(32)))
    theirs = KeyScope(tenants[1].tenant_id, scope.principal, scope.method, scope.key)
    for one in (scope, theirs):
        assert await keys.store((await keys.take(one, b"", 30)).claim, b"answer with a secret")
    await superuser.execute(
        "UPDATE tenants SET status = 'DELETING', erase_at = clock_timestamp() WHERE id = $1", scope.tenant_id
    )
    assert await TenantErasure(database, tenant_keys, tmp_path).run() == 1
    assert await superuser.fetchval("SELECT array_agg(tenant_id) FROM idempotency_keys") == [theirs.tenant_id]
    async with database.tenant_transaction(scope.tenant_id) as tx:
        with pytest.raises(CohortLensError):
            await TenantKeys(bytes(range(32))).sealer(tx, scope.tenant_id, SEALED_COLUMN)
    assert await keys.take(theirs, b"", 30) == Stored(b"answer with a secret", b"")
