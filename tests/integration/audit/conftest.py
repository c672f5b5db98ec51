"""A tenant's chain and how to read it past every guard."""

from __future__ import annotations

import pytest

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail

SOMEONE = Actor("user", "01930000-0000-7000-8000-000000000001", request_id="r-1", address="192.0.2.77")


@pytest.fixture
def append(database):
    """Append ``count`` rows to a tenant's chain, each in its own transaction; answers the last place."""

    async def append(tenant_id, count=1, action="customers.customer.updated", **details):
        seq = 0
        for number in range(count):
            async with database.tenant_transaction(tenant_id) as tx:
                seq = await AuditTrail(tx).append(
                    SOMEONE, action, resource=f"customers/{number}", details={"number": number, **details}
                )
        return seq

    return append
