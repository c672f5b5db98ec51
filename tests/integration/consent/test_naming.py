"""Names of persons: with decisions, without any, and those whom the tenant does not have."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from cohortlens.consent.credentials import Credentials
from cohortlens.consent.models import ActType, ConsentRowMissing
from cohortlens.consent.naming import identity_of
from cohortlens.consent.rewards import Rewards
from cohortlens.core.ids import uuid7
from cohortlens.core.tenant_keys import TenantKeys
from tests.fakes.web3 import FakeLedger, FakeWeb3
from tests.integration.consent.crew import KEK, crew_of


async def stored_customer(db, tenant):
    async with db.tenant_transaction(tenant.tenant_id) as tx:
        return await tx.scalar(
            text(
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " VALUES (app.tid(), app.uuid7(), 'ann', now()) RETURNING id"
            )
        )


async def asked(db, tenant, name):
    async with db.tenant_transaction(tenant.tenant_id) as tx:
        return await identity_of(tx, tenant.tenant_id, TenantKeys(KEK), name)


async def test_a_customer_without_a_decision_has_no_rewards_and_no_credentials_yet(runtime, tenants):
    customer, web3 = await stored_customer(runtime, tenants[0]), FakeWeb3()
    rewards = Rewards(runtime, TenantKeys(KEK), FakeLedger(web3))
    credentials = Credentials(runtime, TenantKeys(KEK), web3)
    ctx = tenants[0].context()
    for name in (str(customer), "external:ann"):
        assert await rewards.get_wallet_balance(ctx, name) == ([], 0)
        assert await rewards.page(ctx, name, None, 10) == []
        assert await credentials.page(ctx, name, "", "", None, 10) == []


async def test_a_person_who_decided_is_found_by_either_name_and_without_purchases_too(runtime, tenants):
    crew = await crew_of(runtime, tenants[0])
    customer = await stored_customer(runtime, tenants[0])
    ann = (await crew.act(ActType.GIVEN)).identity.id
    bob = (await crew.act(ActType.GIVEN, "external:bob")).identity.id
    for name in (str(customer), "external:ann"):
        assert await asked(runtime, tenants[0], name) == ann
    assert await asked(runtime, tenants[0], "external:bob") == bob


async def test_whom_the_tenant_does_not_have_is_not_found_by_any_name(runtime, tenants):
    other = await stored_customer(runtime, tenants[1])
    for name in (str(other), str(uuid7()), "external:ann", "external:nobody"):
        with pytest.raises(ConsentRowMissing):
            await asked(runtime, tenants[0], name)
