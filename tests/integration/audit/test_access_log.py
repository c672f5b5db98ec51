"""Entries of the access log: stored in batches, sealed per minute, found when changed."""

from __future__ import annotations

import hashlib
import json

import pytest

from cohortlens.audit.access import Access
from cohortlens.audit.access_log import AccessLog
from cohortlens.audit.access_sealing import AccessSealing
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.tenant_keys import TenantKeys


def entry(tenant, customers=(), outcome="OK"):
    return Access(
        tenant.tenant_id,
        f"user:{tenant.user_id}",
        "",
        "customers.customer.read",
        "/cohortlens.v1.CustomersService/GetCustomer",
        "",
        customers,
        outcome,
        "",
        "r-1",
        "2001:db8:1:2::7",
        1_700_000_000_000_000,
    )


@pytest.fixture
async def access(database):
    log = AccessLog(database, TenantKeys(b"k" * 32))
    yield log
    await log.close()


@pytest.fixture
def sealing(database):
    return AccessSealing(database)


async def end_minute(superuser):
    """Let what was written count as a minute ago."""
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE access_log SET created_at = created_at - interval '1 minute'")
    await superuser.execute("UPDATE access_minutes SET minute = minute - interval '1 minute'")
    await superuser.execute("SET session_replication_role = DEFAULT")


async def test_an_entry_names_no_customer_and_equal_customers_have_equal_references(
    access, tenants, superuser
):
    north, south = tenants
    access.note(entry(north, ["external:4", "external:5"]))
    access.note(entry(north, ["external:4"]))
    access.note(entry(south, ["external:4"]))
    await access.flush()
    rows = await superuser.fetch("SELECT tenant_id, canonical FROM access_log ORDER BY id")
    assert all(b"external" not in row["canonical"] for row in rows)
    refs = {}
    for row in rows:
        stored = json.loads(row["canonical"])
        assert stored["address"] == "2001:db8:1::/48"
        refs.setdefault(row["tenant_id"], []).append(stored["customer_refs"])
    # Identifiers of one millisecond have no order.
    first, second = sorted(refs[north.tenant_id], key=len, reverse=True)
    assert first[0] == second[0] != first[1]
    assert refs[south.tenant_id][0][0] != second[0]


async def test_a_minute_is_sealed_once_by_a_root_that_a_second_computation_confirms(
    access, sealing, tenants, superuser, log
):
    north, south = tenants
    for number in range(5):
        access.note(entry(north, [f"external:{number}"]))
    access.note(entry(south))
    await access.flush()
    assert await sealing.seal_ended() == 0
    await end_minute(superuser)
    assert await sealing.seal_ended() == 2
    assert await sealing.seal_ended() == 0
    details = json.loads(
        await superuser.fetchval(
            "SELECT canonical FROM audit_log WHERE action = 'audit.access_log.sealed' AND tenant_id = $1",
            north.tenant_id,
        )
    )["details"]
    leaves = [
        hashlib.sha256(b"\0" + row["canonical"]).digest()
        for row in await superuser.fetch(
            "SELECT canonical FROM access_log WHERE tenant_id = $1 ORDER BY id", north.tenant_id
        )
    ]

    def tree(part):  # RFC 9162: split at the largest power of two below the length
        if len(part) == 1:
            return part[0]
        split = 1 << ((len(part) - 1).bit_length() - 1)
        return hashlib.sha256(b"\1" + tree(part[:split]) + tree(part[split:])).digest()

    assert (details["rows"], details["root"]) == (5, tree(leaves).hex())
    assert (await log.verify(north.context())).fault is None


@pytest.mark.parametrize(
    "falsify",
    [
        "UPDATE access_log SET canonical = canonical || ' '",
        "DELETE FROM access_log WHERE id = (SELECT max(id::text)::uuid FROM access_log)",
    ],
)
async def test_a_sealed_entry_that_was_changed_or_removed_is_found(
    access, sealing, tenants, attacker, superuser, log, falsify
):
    for _ in range(3):
        access.note(entry(tenants[0]))
    await access.flush()
    await end_minute(superuser)
    await sealing.seal_ended()
    seq = await superuser.fetchval(
        "SELECT max(seq) FROM audit_log WHERE tenant_id = $1", tenants[0].tenant_id
    )
    await attacker.execute("SET session_replication_role = replica")
    await attacker.execute(falsify)
    fault = (await log.verify(tenants[0].context())).fault
    assert (fault.seq, fault.kind) == (seq, "CONTENT")


async def test_entries_wait_for_a_lost_database_and_a_full_queue_is_told(tenants):
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none", 1)
    log = AccessLog(nowhere, TenantKeys(b"k" * 32), queue_max=2)
    try:
        log.note(entry(tenants[0]))
        assert not log.is_full
        log.note(entry(tenants[0]))
        assert log.is_full
        log.note(entry(tenants[0], outcome="DENIED"))
        with pytest.raises(CohortLensError):
            await log.flush()
        assert log.is_full
    finally:
        await log.close()
        await nowhere.close()
