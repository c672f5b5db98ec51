"""Transactions, tenants and bad days against a real PostgreSQL."""

from __future__ import annotations

from sqlalchemy import text


async def test_a_tenant_transaction_carries_its_tenant_and_the_connection_forgets_it(database, tenants):
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        assert (await tx.execute(text("SELECT id FROM tenants"))).scalars().all() == [tenants[0].tenant_id]
    async with database.transaction() as tx:
        assert (await tx.execute(text("SELECT id FROM tenants"))).all() == []
        assert await tx.scalar(text("SELECT app.tid()")) is None
