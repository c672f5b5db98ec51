"""One-time tokens: once, in time, for one use, and never stored as they are."""

from __future__ import annotations

import asyncio

import pytest

from cohortlens.core.ids import uuid7
from cohortlens.identity.one_time import OneTimeTokens


async def _issue(database, tenant, use="reset_password", life_s=60.0, **options):
    subject = uuid7()
    async with database.tenant_transaction(tenant.tenant_id) as tx:
        token = await OneTimeTokens(tx).issue(use, tenant.tenant_id, subject, life_s, {"k": "v"}, **options)
    return token, subject


async def _consume(database, token, use="reset_password"):
    async with database.transaction() as tx:
        return await OneTimeTokens(tx).consume(token, use)


async def test_a_token_gives_its_tenant_subject_and_data_once(database, tenants):
    token, subject = await _issue(database, tenants[0])
    async with database.transaction() as tx:
        assert (await OneTimeTokens(tx).find(token, "reset_password")).subject_id == subject
    used = await _consume(database, token)
    assert (used.tenant_id, used.subject_id, used.data) == (tenants[0].tenant_id, subject, {"k": "v"})
    assert await _consume(database, token) is None
    async with database.transaction() as tx:
        assert await OneTimeTokens(tx).find(token, "reset_password") is None


async def test_of_sixteen_clicks_at_once_one_succeeds(database, tenants):
    token, _ = await _issue(database, tenants[0])
    results = await asyncio.gather(*(_consume(database, token) for _ in range(16)))
    assert sum(result is not None for result in results) == 1


async def test_a_consumption_that_is_rolled_back_leaves_the_token_good(database, tenants):
    token, _ = await _issue(database, tenants[0])

    async def fail_after_use():
        async with database.transaction() as tx:
            assert await OneTimeTokens(tx).consume(token, "reset_password")
            raise LookupError

    with pytest.raises(LookupError):
        await fail_after_use()
    assert await _consume(database, token)


@pytest.mark.parametrize("broken", ["", "x" * 43, "x" * 42, "é" * 43, "a" * 5000])
async def test_texts_that_are_no_tokens_give_nothing(database, broken):
    assert await _consume(database, broken) is None


async def test_a_token_of_another_use_or_past_its_time_gives_nothing(database, tenants):
    token, _ = await _issue(database, tenants[0], use="invitation")
    assert await _consume(database, token) is None
    ended, _ = await _issue(database, tenants[0], life_s=-1.0)
    assert await _consume(database, ended) is None


async def test_tries_are_counted_until_none_is_left(database, tenants):
    token, _ = await _issue(database, tenants[0], use="second_factor", tries=2)

    async def attempt():
        async with database.transaction() as tx:
            return await OneTimeTokens(tx).attempt(token, "second_factor")

    results = await asyncio.gather(*(attempt() for _ in range(8)))
    assert sum(result is not None for result in results) == 2
    async with database.transaction() as tx:
        assert await OneTimeTokens(tx).find(token, "second_factor") is None


async def test_discarding_ends_the_open_tokens_of_one_subject_only(database, tenants):
    first, subject = await _issue(database, tenants[0])
    other, _ = await _issue(database, tenants[0])
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        assert await OneTimeTokens(tx).discard("reset_password", tenants[0].tenant_id, subject) == 1
    assert await _consume(database, first) is None
    assert await _consume(database, other)


async def test_only_the_hash_is_stored_and_ended_tokens_are_purged(database, tenants, superuser):
    token, _ = await _issue(database, tenants[0])
    ended, _ = await _issue(database, tenants[0], life_s=-100.0)
    stored = str([tuple(row) for row in await superuser.fetch("SELECT * FROM one_time_tokens")])
    assert token not in stored
    assert ended not in stored
    async with database.transaction() as tx:
        assert await OneTimeTokens(tx).purge(keep_s=50) == 1
    assert await superuser.fetchval("SELECT count(*) FROM one_time_tokens") == 1
