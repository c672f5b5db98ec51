"""Many customers are checked at once, and changes are told from a version on, none left out."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.checks import ConsentChecks
from cohortlens.consent.watch import CHANGES_AT_ONCE, ConsentWatch, CursorCompacted
from cohortlens.core.errors import InvalidArgument
from cohortlens.core.ids import uuid7
from tests.fakes.models import open_shop
from tests.fixtures.consents import ask, decide, mark

NAMES = [f"external:c{at}" for at in range(40)]


@pytest.fixture
async def shop(database, tenants, tmp_path):
    north, south = tenants
    for tenant in tenants:
        await open_shop(database, tenant, tmp_path / str(tenant.tenant_id))
    return north, south


def places(check):
    """Customers whose bit is set."""
    return [at for at in range(len(check.allowed) * 8) if check.allowed[at // 8] >> at % 8 & 1]


async def test_bits_stand_in_the_order_of_the_question(database, shop):
    north, _ = shop
    await decide(database, north.tenant_id, ["c3", "c17"], "WITHDRAWN")
    await decide(database, north.tenant_id, ["c17", "c5"], "GIVEN", "marketing")
    found = await ConsentChecks(database).check(
        north.context(), NAMES, ["marketing", "nothing_such"], ["training.model"]
    )
    marketing, unknown, training = found.checks
    assert places(marketing) == [5, 17]
    assert (places(unknown), unknown.allowed_count) == ([], 0)
    assert places(training) == sorted(set(range(40)) - {3, 17})
    assert (training.purpose, training.activity, training.allowed_count) == (
        "profiling",
        "training.model",
        38,
    )
    assert len(training.allowed) == 5


async def test_a_customer_of_another_tenant_is_answered_like_one_that_does_not_exist(database, shop):
    north, south = shop
    async with database.tenant_transaction(south.tenant_id) as tx:
        theirs = await tx.scalar(text("SELECT id FROM customers WHERE external_id = 'c1'"))
    found = await ConsentChecks(database).check(
        north.context(), [str(theirs), str(uuid7()), "external:nobody", "external:c1"], [], ["training.model"]
    )
    assert places(found.checks[0]) == [3]


@pytest.mark.parametrize(
    ("customers", "purposes", "activities", "field"),
    [
        ([], ["profiling"], [], "customers"),
        (["external:c1"] * 10_001, ["profiling"], [], "customers"),
        (["external:c1", "c1"], ["profiling"], [], "customers[1]"),
        (["external:c1"], [], [], "purposes"),
        (["external:c1"], ["profiling"] * 16, ["training.model"], "purposes"),
        (["external:c1"], [], ["training.model", "training.dogs"], "activities[1]"),
    ],
)
async def test_a_question_that_cannot_be_answered_names_its_field(
    database, tenants, customers, purposes, activities, field
):
    with pytest.raises(InvalidArgument) as caught:
        await ConsentChecks(database).check(tenants[0].context(), customers, purposes, activities)
    assert [one.field for one in caught.value.violations] == [field]


async def collect(stream, enough):
    """Changes as they come, until ``enough`` says so of all of them."""
    found = []
    async for message in stream:
        found += message.changes
        if enough(found):
            return found, message.version
    raise AssertionError(f"the stream ended with {len(found)} changes")


async def test_the_stream_tells_everybody_s_state_and_then_each_change(database, shop):
    north, _ = shop
    await decide(database, north.tenant_id, ["c1", "c2"], "GIVEN", "marketing")
    watch = ConsentWatch(database, poll_s=0.01)
    ctx = north.context()
    stream = watch.follow(ctx, 0)
    first, version = await collect(stream, lambda found: len(found) == 2)
    assert [(one.purpose, one.allowed) for one in first] == [("marketing", True)] * 2
    await decide(database, north.tenant_id, ["c1"], "WITHDRAWN", "marketing")
    (change,), later = await collect(stream, len)
    assert (change.allowed, change.version) == (False, later)
    assert later > version
    (again,), _ = await collect(watch.follow(ctx, version), len)
    assert again == change


async def test_the_stream_tells_of_a_restriction_for_every_purpose(database, shop):
    north, _ = shop
    tenant = north.tenant_id
    await decide(database, tenant, ["c1"], "GIVEN", "marketing")
    version = (await ConsentChecks(database).check(north.context(), NAMES, ["marketing"], [])).version
    async with database.tenant_transaction(tenant) as tx:
        await tx.execute(
            text("UPDATE consent_identities SET restricted_at = now() WHERE tenant_id = app.tid()")
        )
        await AuditTrail(tx).append(north.context(), "consent.identity.restricted", resource="identities/1")
    stream = ConsentWatch(database, poll_s=0.01).follow(north.context(), version)
    found, _ = await collect(stream, lambda found: len(found) >= 4)
    assert {(one.purpose, one.allowed) for one in found} == {
        (purpose, False) for purpose in ("profiling", "marketing", "data_sharing", "rewards")
    }


async def test_a_cursor_behind_which_a_purpose_changed_has_to_begin_anew(database, shop):
    north, _ = shop
    await decide(database, north.tenant_id, ["c1"], "GIVEN", "marketing")
    version = (await ConsentChecks(database).check(north.context(), NAMES, ["marketing"], [])).version
    async with database.tenant_transaction(north.tenant_id) as tx:
        await tx.execute(
            text(
                "UPDATE purpose_heads SET changed = :later WHERE tenant_id = app.tid() AND key = 'marketing'"
            ),
            {"later": version + 1},
        )
    watch = ConsentWatch(database, poll_s=0.01)
    for cursor in (version, version + 100):
        with pytest.raises(CursorCompacted) as caught:
            await anext(watch.follow(north.context(), cursor))
        assert caught.value.metadata == {"from_version": str(cursor)}


async def test_a_new_version_of_a_purpose_moves_the_version_of_the_consents(database, shop):
    north, _ = shop
    async with database.tenant_transaction(north.tenant_id) as tx:
        await tx.execute(
            text(
                "INSERT INTO purposes SELECT tenant_id, key, 2, title, description, dpv_purpose, lawful_basis, "
                "mechanism, data_categories, recipients, retention_days, validity_days, false, 1, activities, "
                "created_by FROM purposes WHERE tenant_id = app.tid() AND key = 'marketing'"
            )
        )
        await tx.execute(
            text("UPDATE purpose_heads SET version = 2 WHERE tenant_id = app.tid() AND key = 'marketing'")
        )
        await AuditTrail(tx).append(north.context(), "consent.purpose.updated", resource="purposes/marketing")
    async with database.tenant_transaction(north.tenant_id) as tx:
        head = await tx.scalar(text("SELECT seq FROM audit_heads WHERE tenant_id = app.tid()"))
        assert await tx.scalar(text("SELECT app.consent_version()")) == head


async def test_an_act_of_more_than_one_message_is_told_whole_before_its_version_is(
    database, tenants, tmp_path
):
    north = tenants[0]
    await open_shop(database, north, tmp_path, customers=CHANGES_AT_ONCE // 2 + 50)
    names = [f"c{at}" for at in range(CHANGES_AT_ONCE // 2 + 50)]
    async with database.tenant_transaction(north.tenant_id):
        pass
    await decide(database, north.tenant_id, names, "GIVEN", "marketing")
    await decide(database, north.tenant_id, names, "GIVEN", "rewards")
    async with database.tenant_transaction(north.tenant_id) as tx:
        await tx.execute(text("UPDATE user_consents SET version = 7 WHERE tenant_id = app.tid()"))
    messages = []
    async for message in ConsentWatch(database, poll_s=0.01).follow(north.context(), 0):
        messages.append(message)
        if sum(len(one.changes) for one in messages) == 2 * len(names):
            break
    assert [(len(one.changes), one.version) for one in messages] == [(1000, 0), (100, 7)]


async def test_a_quiet_stream_gives_a_sign_of_life_and_ends_with_its_deadline(database, shop):
    north, _ = shop
    ctx = north.context()
    short = type(ctx)(ctx.request_id, ctx.principal, time.monotonic() + 0.3)
    found = [one async for one in ConsentWatch(database, poll_s=0.02, quiet_s=0.1).follow(short, 0)]
    assert found
    assert all(not one.changes for one in found)


async def test_a_withdrawal_is_known_to_a_check_that_starts_behind_its_commit(database, shop):
    north, _ = shop
    checks = ConsentChecks(database)
    await ask(database, north.tenant_id, "OPT_IN")
    for at in range(10):
        name = f"c{at}"
        await decide(database, north.tenant_id, [name], "GIVEN")
        given, _ = await asyncio.gather(
            checks.check(north.context(), NAMES, ["profiling"], []), asyncio.sleep(0)
        )
        assert at in places(given.checks[0])
        await decide(database, north.tenant_id, [name], "WITHDRAWN")
        assert at not in places((await checks.check(north.context(), NAMES, ["profiling"], [])).checks[0])
    await decide(database, north.tenant_id, ["c20"], "GIVEN")
    await mark(database, north.tenant_id, ["c20"], "objected_at")
    assert places((await checks.check(north.context(), NAMES, ["profiling"], [])).checks[0]) == []
