"""A seller with 130 customers who share, and a buyer."""

from __future__ import annotations

import pytest


@pytest.fixture
async def market(database, tenants):
    """130 of the seller's customers share; 10 of them are in France."""
    from sqlalchemy import text

    from cohortlens.bootstrap.marketplace import open_marketplace
    from cohortlens.consent.fulfilment.rewarding import Rewarding
    from cohortlens.consent.fulfilment.steps import Means
    from cohortlens.consent.tariffs import Tariff, TariffRows
    from cohortlens.core.clock import now
    from cohortlens.core.sealing import Keyring
    from cohortlens.core.tenant_keys import TenantKeys
    from tests.fakes.web3 import FakeLedger, FakeWeb3
    from tests.fixtures.consents import decide
    from tests.integration.marketplace.crew import CUSTOMERS, DAYS, Market

    seller, buyer = tenants
    web3 = FakeWeb3()
    means = Means(database, TenantKeys(Keyring(b"k" * 32)), web3, FakeLedger(web3), web3)  # type: ignore[arg-type]
    async with database.tenant_transaction(seller.tenant_id) as tx:
        await tx.execute(text(CUSTOMERS), {"count": 130})
        await tx.execute(text(DAYS))
        await tx.execute(
            text(
                "INSERT INTO customer_data (tenant_id, currency, as_of, data_revision) "
                "VALUES (app.tid(), 'EUR', DATE '2026-03-31', 1)"
            )
        )
        await TariffRows(tx).write(Tariff(is_enabled=True, terms_version="on-chain-1"), 0, now())
    names = [f"c{n}" for n in range(1, 131)]
    await decide(database, seller.tenant_id, names, "GIVEN", "data_sharing")
    await decide(database, seller.tenant_id, names, "GIVEN", "rewards")
    return Market(database, seller, buyer, web3, open_marketplace(database, means), Rewarding(means))
