"""Keys of tenants on a real database: what they seal opens in its own place only, and never after erasure."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, NotFound
from cohortlens.core.sealing import Keyring, SealBroken
from cohortlens.core.tenant_keys import KEPT_S, TenantKeyDestroyed, TenantKeys

KEK, NEW = bytes(range(32)), bytes(range(1, 33))
COLUMN = "invitations.email_enc"


@pytest.fixture
def keys():
    return TenantKeys(KEK)


async def sealed_by(keys, database, tenant, context=b"row", column=COLUMN):
    async with database.transaction() as tx:
        return (await keys.sealer(tx, tenant, column)).seal(b"secret", context)


async def opened_by(keys, database, tenant, sealed, context=b"row", column=COLUMN):
    async with database.transaction() as tx:
        return (await keys.sealer(tx, tenant, column)).open(sealed, context)


async def test_a_tenant_from_before_there_were_keys_gets_one_and_keeps_it(keys, database, tenants, superuser):
    await superuser.execute("UPDATE tenants SET key_wrapped = NULL")
    assert await keys.make_missing(database) == await superuser.fetchval("SELECT count(*) FROM tenants") >= 3
    stored = await superuser.fetch("SELECT id, key_wrapped FROM tenants ORDER BY id")
    assert all(row["key_wrapped"] for row in stored)
    assert await keys.make_missing(database) == 0
    async with database.transaction() as tx:
        await keys.make(tx, tenants[0].tenant_id)
    assert await superuser.fetch("SELECT id, key_wrapped FROM tenants ORDER BY id") == stored


@pytest.mark.parametrize("place", ["another tenant", "another column", "another row", "an altered value"])
async def test_a_value_opens_in_its_own_place_only(keys, database, tenants, place):
    here, other = tenants[0].tenant_id, tenants[1].tenant_id
    sealed = await sealed_by(keys, database, here)
    assert await opened_by(keys, database, here, sealed) == b"secret"
    moved = {
        "another tenant": {"tenant": other},
        "another column": {"column": "invitations.name_enc"},
        "another row": {"context": b"row2"},
        "an altered value": {"sealed": sealed[:-1] + bytes([sealed[-1] ^ 1])},
    }[place]
    with pytest.raises(SealBroken):
        await opened_by(keys, database, **({"tenant": here, "sealed": sealed} | moved))


async def test_a_wrapped_key_moved_to_another_tenant_does_not_open(keys, database, tenants, superuser):
    here, other = tenants[0].tenant_id, tenants[1].tenant_id
    await sealed_by(keys, database, here)
    await sealed_by(keys, database, other)
    await superuser.execute(
        "UPDATE tenants SET key_wrapped = (SELECT key_wrapped FROM tenants WHERE id = $1) WHERE id = $2",
        here,
        other,
    )
    with pytest.raises(FailedPrecondition) as caught:
        await sealed_by(TenantKeys(KEK), database, other)
    assert caught.value.reason == "KEK_MISMATCH"


async def test_a_key_of_a_transaction_that_failed_is_forgotten(keys, database, tenants, superuser):
    tenant = tenants[0].tenant_id
    await superuser.execute("UPDATE tenants SET key_wrapped = NULL WHERE id = $1", tenant)

    async def undone():
        async with database.tenant_transaction(tenant) as tx:
            lost.append((await keys.sealer(tx, tenant, COLUMN)).seal(b"x", b"row"))
            raise RuntimeError("undo")

    lost = []
    with pytest.raises(RuntimeError, match="undo"):
        await undone()
    sealed = await sealed_by(keys, database, tenant)
    assert await opened_by(TenantKeys(KEK), database, tenant, sealed) == b"secret"
    with pytest.raises(SealBroken):
        await opened_by(keys, database, tenant, lost[0])


async def test_processes_that_meet_a_tenant_without_a_key_at_once_agree_on_one(
    database, tenants, postgres_urls, superuser
):
    tenant = tenants[0].tenant_id
    await superuser.execute("UPDATE tenants SET key_wrapped = NULL WHERE id = $1", tenant)
    db = Database(postgres_urls.jobs, 8)
    try:
        sealed = await asyncio.gather(*(sealed_by(TenantKeys(KEK), db, tenant) for _ in range(8)))
    finally:
        await db.close()
    reader = TenantKeys(KEK)
    assert [await opened_by(reader, database, tenant, one) for one in sealed] == [b"secret"] * 8


async def test_a_destroyed_key_opens_nothing_and_comes_never_back(database, tenants, superuser):
    moment = [0.0]
    keys, other_process = TenantKeys(KEK), TenantKeys(KEK, clock=lambda: moment[0])
    tenant, neighbour = tenants[0].tenant_id, tenants[1].tenant_id
    sealed = await sealed_by(keys, database, tenant)
    kept = await sealed_by(keys, database, neighbour)
    assert await opened_by(other_process, database, tenant, sealed) == b"secret"
    async with database.tenant_transaction(tenant) as tx:
        assert await keys.destroy(tx, tenant)
    async with database.tenant_transaction(tenant) as tx:
        assert not await keys.destroy(tx, tenant)
    with pytest.raises(TenantKeyDestroyed):
        await opened_by(keys, database, tenant, sealed)
    moment[0] = KEPT_S
    with pytest.raises(TenantKeyDestroyed):
        await opened_by(other_process, database, tenant, sealed)
    await keys.make_missing(database)
    with pytest.raises(TenantKeyDestroyed):
        async with database.transaction() as tx:
            await keys.make(tx, tenant)
    assert await opened_by(keys, database, neighbour, kept) == b"secret"
    assert await superuser.fetchval("SELECT key_wrapped FROM tenants WHERE id = $1", tenant) is None


async def test_no_tenant_reaches_the_key_of_another(keys, database, tenants):
    here, other = tenants[0].tenant_id, tenants[1].tenant_id
    with pytest.raises(NotFound):
        async with database.tenant_transaction(here) as tx:
            await keys.sealer(tx, other, COLUMN)
    async with database.tenant_transaction(here) as tx:
        assert not await keys.destroy(tx, other)
    with pytest.raises(NotFound):
        async with database.transaction() as tx:
            await keys.sealer(tx, uuid4(), COLUMN)


async def test_blind_indexes_match_within_a_tenant_and_purpose_and_outlive_a_change_of_the_kek(
    keys, database, tenants
):
    here, other = tenants[0].tenant_id, tenants[1].tenant_id
    rotated = TenantKeys(Keyring(NEW, [KEK]))
    async with database.transaction() as tx:
        index = await keys.blind_index(tx, here, "invitation-email", "ada@shop.example")
        assert index == await rotated.blind_index(tx, here, "invitation-email", "ada@shop.example")
        others = {
            await keys.blind_index(tx, other, "invitation-email", "ada@shop.example"),
            await keys.blind_index(tx, here, "login-email", "ada@shop.example"),
            await keys.blind_index(tx, here, "invitation-email", "bob@shop.example"),
        }
    assert len(others | {index}) == 4
    assert len(index) == 32
