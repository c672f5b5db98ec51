"""Usage on PostgreSQL: events stored once, hours and totals, what a tenant is told, notices, charges of work."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from cohortlens.billing.usage.charges import Work, WorkCharges
from cohortlens.billing.usage.events import UsageEvents, replay
from cohortlens.billing.usage.leases import LeaseRows
from cohortlens.billing.usage.models import API_CALLS, PeriodInvalid, QuotaExceeded, UsageEvent
from cohortlens.billing.usage.reading import UsageReading
from cohortlens.billing.usage.spool import Spool
from cohortlens.billing.usage.upkeep import UsageUpkeep
from cohortlens.core.db import Database
from cohortlens.core.ids import uuid7
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Keyring, Sealer
from tests.fixtures.usage import reserved, set_limit
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
METHOD = "/cohortlens.v1.AnalyticsService/Predict"
PERIOD = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def event(tenant_id, number=1, **changed) -> UsageEvent:
    made = UsageEvent(
        tenant_id,
        API_CALLS,
        PERIOD,
        time.time_ns() // 1000,
        METHOD,
        "user:a",
        1,
        1,
        "OK",
        f"request-{number}",
    )
    return made._replace(**changed)


@pytest.fixture
def upkeep(database):
    return UsageUpkeep(database, Sealer(Keyring.parse("a" * 43 + "=", ""), MAIL_PURPOSE))


@pytest.fixture
async def events(runtime, tmp_path):
    opened = UsageEvents(runtime, tmp_path / "usage")
    opened.start()
    yield opened
    await opened.close()


async def stored(superuser) -> int:
    return await superuser.fetchval("SELECT coalesce(sum(calls), 0) FROM usage_events")


async def test_events_of_several_tenants_are_stored_within_a_second_and_added_up_once(
    superuser, tenants, events, upkeep, runtime
):
    north, south = tenants
    for number in range(30):
        events.note(event(north.tenant_id, number, principal=f"user:{number % 2}", units=2))
    events.note(event(south.tenant_id))
    await eventually(lambda: _is(stored(superuser), 31), seconds=2)
    reading = UsageReading(runtime)
    # Also before a job has added them up.
    assert [one.used for one in await reading.meters(north.context(), "")] == [60]
    assert await upkeep.fold() > 0
    assert await upkeep.fold() == 0
    assert [one.used for one in await reading.meters(north.context(), "")] == [60]
    rows = await reading.rows(north.context(), "", "hour", None, 10)
    assert {(one.place.principal, one.place.method, one.units, one.calls) for one in rows} == {
        ("user:0", METHOD, 30, 15),
        ("user:1", METHOD, 30, 15),
    }
    assert [one.units for one in await reading.rows(south.context(), "", "day", None, 10)] == [1]


async def test_hours_are_listed_newest_first_and_page_by_page(superuser, tenants, runtime):
    tenant = tenants[0]
    await superuser.executemany(
        "INSERT INTO usage_hours VALUES ($1, 'api_calls', $2, $3, $4, $5, 1, 1)",
        [
            (
                tenant.tenant_id,
                PERIOD.replace(day=1 + at // 4, hour=at % 2),
                f"user:{at % 3}",
                f"/M{at}",
                PERIOD,
            )
            for at in range(12)
        ],
    )
    reading, found, behind = UsageReading(runtime), [], None
    while rows := await reading.rows(tenant.context(), f"{PERIOD:%Y-%m}", "hour", behind, 5):
        found += [one.place for one in rows]
        behind = found[-1]
    assert len(found) == len(set(found)) == 12
    assert found == sorted(found, key=lambda one: (-one.start.timestamp(), one.principal, one.method))
    days = await reading.rows(tenant.context(), "", "day", None, 100)
    assert {one.place.start.hour for one in days} == {0}


@pytest.mark.parametrize("period", ["2026", "2026-13", "2026-1", "november", "2026-11-01", "0001-01"])
async def test_a_period_that_is_no_month_is_refused_by_its_name(tenants, runtime, period):
    with pytest.raises(PeriodInvalid) as refused:
        await UsageReading(runtime).meters(tenants[0].context(), period)
    assert [one.field for one in refused.value.violations] == ["period"]


async def test_a_month_without_usage_has_nothing_used_and_its_own_bounds(tenants, runtime):
    (one,) = await UsageReading(runtime).meters(tenants[0].context(), "2026-02")
    assert (one.used, one.reserved) == (0, 0)
    assert one.period_start == datetime(2026, 2, 1, tzinfo=UTC)
    assert one.period_end == datetime(2026, 3, 1, tzinfo=UTC)


async def test_events_wait_on_disk_while_the_database_is_away(superuser, tenants, events, runtime):
    events._db = Database("postgresql://nobody@127.0.0.1:1/none", 1)
    events.note(event(tenants[0].tenant_id))
    await eventually(lambda: events._spool.has_unread, seconds=5)
    assert await stored(superuser) == 0
    events._db = runtime
    await eventually(lambda: _is(stored(superuser), 1), seconds=5)
    assert not events._spool.has_unread


async def test_what_a_killed_process_had_on_disk_is_stored_by_another_without_doubles(
    superuser, tenants, postgres_urls, runtime, tmp_path
):
    tenant = tenants[0].tenant_id
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.billing.usage_process"),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    process.stdin.write(f"{postgres_urls.runtime} {tmp_path} {tenant}\n".encode())
    # It has stored a first batch and cannot forget it; a second one is on the disk only.
    assert (await process.stdout.readline()).strip() == b"on disk"
    process.kill()
    await process.communicate()
    assert await stored(superuser) == 10
    assert await replay(runtime, tmp_path) == 7
    assert await stored(superuser) == 17
    assert list(tmp_path.glob("*.usage")) == []


async def test_a_spool_that_a_living_process_writes_is_left_alone(tenants, runtime, tmp_path):
    spool = Spool.create(tmp_path)
    spool.append([event(tenants[0].tenant_id)])
    assert await replay(runtime, tmp_path) == 0
    spool.close()
    assert await replay(runtime, tmp_path) == 1


async def test_an_event_whose_clock_was_wrong_is_stored_in_this_month(superuser, tenants, events):
    far = int(datetime(2031, 5, 5, tzinfo=UTC).timestamp() * 1_000_000)
    events.note(event(tenants[0].tenant_id, at_us=far))
    events.note(event(tenants[0].tenant_id, at_us=1))
    await eventually(lambda: _is(stored(superuser), 2), seconds=5)
    assert await superuser.fetchval("SELECT max(created_at) <= now() FROM usage_events")


async def test_alike_events_of_one_second_become_one_and_keep_their_sums(superuser, tenants, events):
    second = time.time_ns() // 1_000_000_000 * 1_000_000
    for number in range(40):
        outcome = "OK" if number % 4 else "OVERLOADED"
        at_us = second + number % 2 * 1_000_000 + number
        events.note(event(tenants[0].tenant_id, number, at_us=at_us, outcome=outcome, units=2))
    events.note(event(tenants[1].tenant_id, 99, at_us=second))
    await eventually(lambda: _is(stored(superuser), 41), seconds=5)
    rows = await superuser.fetch(
        "SELECT outcome, request_id, sum(units) AS units, sum(calls) AS calls, count(*) AS rows "
        "FROM usage_events GROUP BY tenant_id, outcome, request_id ORDER BY calls"
    )
    assert [tuple(row) for row in rows] == [
        ("OK", "request-99", 1, 1, 1),
        ("OVERLOADED", "", 20, 10, 1),
        ("OK", "", 60, 30, 2),
    ]


async def test_events_of_an_erased_tenant_hold_up_nobody(superuser, tenants, events):
    events.note(event(uuid7()))
    events.note(event(tenants[0].tenant_id))
    await eventually(lambda: _is(stored(superuser), 1), seconds=5)


async def test_the_runtime_role_can_neither_change_usage_nor_add_it_up(tenants, runtime):
    for statement in (
        "DELETE FROM usage_events",
        "UPDATE usage_hours SET units = 0",
        "DELETE FROM quota_leases",
        "SELECT app.usage_fold(1)",
        "SELECT app.quota_forfeit(0)",
    ):
        with pytest.raises(Exception, match="permission denied"):
            async with runtime.tenant_transaction(tenants[0].tenant_id) as tx:
                await tx.execute(text(statement))


async def test_owners_are_told_once_at_four_fifths_and_once_when_all_is_used(
    superuser, tenants, upkeep, runtime
):
    tenant = tenants[0].tenant_id
    await set_limit(superuser, tenant, 100)

    async def use(units: int) -> None:
        async with runtime.tenant_transaction(tenant) as tx:
            await LeaseRows(tx, API_CALLS, "p").grant(uuid7(), units)

    mails = "SELECT template FROM mails WHERE tenant_id = $1 ORDER BY created_at"
    await use(79)
    assert await upkeep.notify() == 0
    await use(1)
    assert [await upkeep.notify(), await upkeep.notify()] == [1, 0]
    assert [row[0] for row in await superuser.fetch(mails, tenant)] == ["quota_near"]
    await use(20)
    assert [await upkeep.notify(), await upkeep.notify()] == [1, 0]
    assert [row[0] for row in await superuser.fetch(mails, tenant)] == ["quota_near", "quota_reached"]


async def test_a_sum_that_does_not_hold_is_found(superuser, tenants, upkeep, runtime):
    tenant = tenants[0].tenant_id
    async with runtime.tenant_transaction(tenant) as tx:
        await LeaseRows(tx, API_CALLS, "p").grant(uuid7(), 5)
    assert await upkeep.check() == 0
    await superuser.execute("UPDATE api_usage SET reserved = reserved + 1")
    assert await upkeep.check() == 1


async def test_work_is_charged_once_however_often_it_is_begun_and_given_back_once(
    superuser, tenants, runtime
):
    tenant = tenants[0].tenant_id
    await set_limit(superuser, tenant, 10)
    charges, work = WorkCharges(runtime, "jobs"), Work(uuid7(), 0, 401)
    await asyncio.gather(*(charges.charge(tenant, work) for _ in range(8)), return_exceptions=True)
    await charges.charge(tenant, work)
    assert await reserved(superuser, tenant) == 5
    with pytest.raises(QuotaExceeded):
        await charges.charge(tenant, Work(work.owner, 1, 600))
    for _ in range(2):
        await charges.give_back(tenant, [work, Work(work.owner, 1, 600)])
    assert await reserved(superuser, tenant) == 0


async def _is(answer, expected) -> bool:
    return await answer == expected
