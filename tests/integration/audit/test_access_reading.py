"""Reading the access log: pages, by time, actor and customer; its leaves prove the seal of their minute."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from cohortlens.audit.access_log import AccessLog
from cohortlens.audit.access_reading import AccessQuery, AccessReading
from cohortlens.audit.access_sealing import AccessSealing
from cohortlens.audit.customer_refs import CUSTOMER_REF, customer_ref
from cohortlens.audit.models import RangeInvalid
from cohortlens.core.tenant_keys import TenantKeys
from tests.integration.audit.test_access_log import end_minute, entry

KEK = b"k" * 32
MINUTE = timedelta(minutes=1)


@pytest.fixture
def keys():
    return TenantKeys(KEK)


@pytest.fixture
async def access(database, keys):
    log = AccessLog(database, keys)
    yield log
    await log.close()


@pytest.fixture
def reading(database, keys):
    return AccessReading(database, keys)


async def whole(reading, tenant, query=None, limit=2):
    """Every page of a list; answers the entries, and how many pages there were."""
    entries, after, pages = [], None, 0
    while True:
        page = await reading.page(tenant.context(), query or AccessQuery(), after, limit)
        assert len(page.entries) <= limit
        entries += page.entries
        pages += 1
        after = page.following
        if after is None:
            return entries, pages


async def test_pages_hold_each_entry_of_the_tenant_once_newest_first(access, reading, tenants):
    north, south = tenants
    for number in range(5):
        access.note(entry(north, [f"external:{number}"]))
    access.note(entry(south, ["external:0"]))
    await access.flush()
    access.note(replace(entry(north), request_id="last"))
    await access.flush()
    entries, pages = await whole(reading, north)
    assert (len({one.entry_id for one in entries}), len(entries), pages) == (6, 6, 3)
    assert entries[0].meaning()["request_id"] == "last"
    assert [(one.at, one.entry_id) for one in entries] == sorted(
        ((one.at, one.entry_id) for one in entries), reverse=True
    )
    assert {one.seal_seq for one in entries} == {0}


async def test_entries_are_found_by_actor_and_customer_and_by_its_reference(
    access, reading, tenants, database, keys
):
    north, south = tenants
    access.note(entry(north, ["external:4", "external:5"]))
    access.note(replace(entry(north, ["external:4"]), actor="api_key:somebody"))
    access.note(entry(north, ["external:6"]))
    access.note(entry(south, ["external:4"]))
    await access.flush()
    named, _ = await whole(reading, north, AccessQuery(customer="external:4"))
    assert len(named) == 2
    by_key, _ = await whole(reading, north, AccessQuery(customer="external:4", actor="api_key:somebody"))
    assert [one.meaning()["actor"] for one in by_key] == ["api_key:somebody"]
    async with database.tenant_transaction(north.tenant_id) as tx:
        secret = await keys.mac_key(tx, north.tenant_id, CUSTOMER_REF)
    by_ref, _ = await whole(reading, north, AccessQuery(customer_ref=customer_ref(secret, "external:6")))
    assert len(by_ref) == 1
    # The reference of one tenant means nothing in another.
    assert await whole(reading, south, AccessQuery(customer_ref=customer_ref(secret, "external:4"))) == (
        [],
        1,
    )
    assert await whole(reading, north, AccessQuery(customer="external:7")) == ([], 1)


async def test_a_search_that_finds_little_goes_on_page_by_page(access, database, keys, tenants):
    for number in range(9):
        access.note(entry(tenants[0], ["external:1" if number == 0 else "external:2"]))
        await access.flush()
    reading = AccessReading(database, keys, looked_at_max=3)
    entries, pages = await whole(reading, tenants[0], AccessQuery(customer="external:1"))
    assert len(entries) == 1
    assert 3 <= pages <= 4


async def test_a_time_range_holds_what_was_stored_in_it(access, reading, tenants, superuser):
    access.note(entry(tenants[0]))
    await access.flush()
    await end_minute(superuser)
    access.note(replace(entry(tenants[0]), request_id="later"))
    await access.flush()
    (later, before), _ = await whole(reading, tenants[0])
    assert later.meaning()["request_id"] == "later"
    assert await whole(reading, tenants[0], AccessQuery(since=later.at)) == ([later], 1)
    assert await whole(reading, tenants[0], AccessQuery(until=later.at)) == ([before], 1)
    assert await whole(reading, tenants[0], AccessQuery(since=later.at, until=later.at)) == ([], 1)
    with pytest.raises(RangeInvalid):
        await whole(reading, tenants[0], AccessQuery(since=later.at, until=before.at))


async def test_the_leaves_of_a_minute_give_the_root_that_seals_it(
    access, reading, tenants, superuser, database, log
):
    north = tenants[0]
    for number in range(6):
        access.note(entry(north, [f"external:{number}"]))
        await access.flush()
    await end_minute(superuser)
    await AccessSealing(database).seal_ended()
    (newest, *_), _ = await whole(reading, north)
    minute = newest.at.replace(second=0, microsecond=0)
    entries, _ = await whole(reading, north, AccessQuery(since=minute, until=minute + MINUTE))
    sealed = await log.get(north.context(), newest.seal_seq)
    details = json.loads(sealed.canonical)["details"]

    def tree(hashes):  # RFC 9162: split at the largest power of two below the length
        if len(hashes) == 1:
            return hashes[0]
        split = 1 << ((len(hashes) - 1).bit_length() - 1)
        return hashlib.sha256(b"\1" + tree(hashes[:split]) + tree(hashes[split:])).digest()

    leaves = [one.canonical for one in sorted(entries, key=lambda one: one.entry_id)]
    root = tree([hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves])
    assert (details["rows"], details["root"]) == (len(entries), root.hex())
