"""What a keyed request costs, over real PostgreSQL: stored with the effect or the answer, and once."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.usage.models import API_CALLS, UsageEvent, told
from cohortlens.core.clock import now
from cohortlens.core.idempotency import Charge, KeyScope, KeyTakenOver, effects_of
from cohortlens.core.idempotency_keys import IdempotencyKeys, Stored
from cohortlens.core.tenant_keys import TenantKeys

METHOD = "/cohortlens.v1.AnalyticsService/Predict"


@pytest.fixture
def keys(runtime):
    return IdempotencyKeys(runtime, TenantKeys(bytes(range(32))))


@pytest.fixture
def scope(tenants):
    return KeyScope(tenants[0].tenant_id, f"user:{tenants[0].user_id}", METHOD, "nightly")


@pytest.fixture
def attempt(keys, scope):
    """Takes the key for an attempt that costs three units, as the step ``quota`` does."""
    returned = []

    async def take(hold_s=30):
        claim = (await keys.take(scope, b"request", hold_s)).claim
        if not claim.is_paid:
            at = now()
            micros = int(at.timestamp() * 1_000_000)
            event = UsageEvent(
                scope.tenant_id, API_CALLS, at, micros, METHOD, scope.principal, 3, 1, "OK", "r"
            )
            claim.charge = Charge(told(event), lambda: returned.append(claim.attempt))
        return claim

    take.returned = returned
    return take


@pytest.fixture
def noted(superuser, tenants):
    async def rows():
        found = await superuser.fetch(
            "SELECT tenant_id, units, calls, outcome, principal, method FROM usage_events"
        )
        assert {one["tenant_id"] for one in found} <= {tenants[0].tenant_id}
        waiting = await superuser.fetchval("SELECT coalesce(sum(units), 0) FROM usage_batches")
        assert waiting == sum(one["units"] for one in found)
        return [(one["units"], one["calls"], one["outcome"]) for one in found]

    return rows


async def write(db, tenant, fault=None):
    async with db.tenant_transaction(tenant) as tx:
        await AuditTrail(tx).append(Actor("system", "test"), "core.test.done")
        if fault is not None:
            raise fault


async def overdue(superuser):
    await superuser.execute("UPDATE idempotency_keys SET locked_until = now() - interval '1 second'")


async def test_the_transaction_of_the_effect_pays_and_nothing_after_it_pays_again(
    runtime, keys, scope, attempt, noted
):
    claim = await attempt()
    with effects_of(claim):
        async with runtime.tenant_transaction(scope.tenant_id) as tx:
            await tx.execute(text("SELECT count(*) FROM api_keys"))
        assert await noted() == []
        await write(runtime, scope.tenant_id)
        assert await noted() == [(3, 1, "OK")]
        await write(runtime, scope.tenant_id)
    assert await keys.store(claim, b"answer")
    assert isinstance(await keys.take(scope, b"request", 30), Stored)
    assert (await noted(), attempt.returned) == ([(3, 1, "OK")], [])


async def test_an_effect_that_is_rolled_back_pays_nothing(runtime, scope, attempt, noted):
    claim = await attempt()
    with effects_of(claim), pytest.raises(ZeroDivisionError):
        await write(runtime, scope.tenant_id, fault=ZeroDivisionError())
    assert await noted() == []


async def test_a_call_without_an_effect_pays_with_its_answer(keys, attempt, noted):
    claim = await attempt()
    claim.charge.fail("RESOURCE_NOT_FOUND", is_ours=False)
    assert await keys.store(claim, b"a final refusal")
    assert (await noted(), attempt.returned) == ([(3, 1, "RESOURCE_NOT_FOUND")], [])


async def test_the_repeat_of_a_killed_attempt_pays_and_what_was_not_stored_is_no_usage(
    keys, attempt, noted, superuser
):
    await attempt()
    await overdue(superuser)
    second = await attempt()
    assert (second.attempt, second.is_paid) == (2, False)
    assert await keys.store(second, b"answer")
    assert await noted() == [(3, 1, "OK")]


async def test_the_repeat_behind_a_lost_answer_costs_nothing(runtime, scope, attempt, noted, superuser):
    with effects_of(await attempt()):
        await write(runtime, scope.tenant_id)
    await overdue(superuser)
    assert (await attempt()).is_paid
    assert await noted() == [(3, 1, "OK")]


async def test_a_caller_who_gives_up_and_comes_again_pays_once(keys, attempt, noted):
    first = await attempt()
    first.charge.fail("CANCELLED", is_ours=False)
    assert not await keys.give_back(first)
    second = await attempt()
    assert (second.is_paid, second.charge) == (True, None)
    assert not await keys.give_back(second)
    third = await attempt()
    assert await keys.store(third, b"answer")
    assert (await noted(), attempt.returned) == ([(3, 1, "CANCELLED")], [])


async def test_a_request_that_is_wrong_pays_and_leaves_its_key_to_another(keys, attempt, noted, superuser):
    wrong = await attempt()
    wrong.charge.fail("FIELD_INVALID", is_ours=False)
    assert await keys.give_back(wrong, is_wrong=True)
    assert await superuser.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert not (await attempt()).is_paid
    assert (await noted(), attempt.returned) == ([(3, 1, "FIELD_INVALID")], [])


async def test_a_fault_of_ours_gives_the_units_back_unless_the_effect_is_there(
    runtime, keys, scope, attempt, noted
):
    claim = await attempt()
    claim.charge.fail("DATABASE_UNAVAILABLE", is_ours=True)
    assert await keys.give_back(claim)
    assert (await noted(), attempt.returned) == ([(0, 1, "DATABASE_UNAVAILABLE")], [1])
    again = await attempt()
    with effects_of(again):
        await write(runtime, scope.tenant_id)
    again.charge.fail("WORKERS_UNAVAILABLE", is_ours=True)
    assert not await keys.give_back(again)
    assert (await noted(), attempt.returned) == ([(0, 1, "DATABASE_UNAVAILABLE"), (3, 1, "OK")], [1])


async def test_an_attempt_that_was_overtaken_gets_its_units_back(
    runtime, keys, scope, attempt, noted, superuser
):
    slow = await attempt()
    await overdue(superuser)
    second = await attempt()
    with effects_of(slow), pytest.raises(KeyTakenOver):
        await write(runtime, scope.tenant_id)
    slow.charge.fail("IDEMPOTENCY_IN_PROGRESS", is_ours=False)
    assert not await keys.give_back(slow)
    assert await keys.store(second, b"answer")
    assert (await noted(), attempt.returned) == ([(3, 1, "OK")], [1])


async def test_one_that_paid_and_was_overtaken_keeps_what_it_paid(
    runtime, keys, scope, attempt, noted, superuser
):
    slow = await attempt()
    with effects_of(slow):
        await write(runtime, scope.tenant_id)
    await overdue(superuser)
    assert (await attempt()).is_paid
    assert not await keys.store(slow, b"late")
    assert (await noted(), attempt.returned) == ([(3, 1, "OK")], [])


async def test_an_expired_key_is_paid_for_anew(keys, attempt, noted, superuser):
    assert await keys.store(await attempt(), b"answer")
    await superuser.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
    later = await attempt()
    assert not later.is_paid
    assert await keys.store(later, b"answer")
    assert await noted() == [(3, 1, "OK"), (3, 1, "OK")]
