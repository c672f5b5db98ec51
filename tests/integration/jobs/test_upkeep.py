"""Upkeep by the clock: partitions of every table the catalogue knows, alarms, and what is deleted in time."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

from cohortlens.core import findings, outbox
from cohortlens.core.errors import Unavailable
from cohortlens.core.outbox import Outbox, Wanted
from cohortlens.jobs.partitions import ensure_partitions, months_ahead, partitioned, watch_partitions
from cohortlens.jobs.watch import OutboxWatch, watch_mail
from tests.fakes.mailer import FakeMailer

PARTED = """
CREATE TABLE parted (tenant_id uuid NOT NULL, created_at timestamptz NOT NULL, PRIMARY KEY (tenant_id, created_at))
  PARTITION BY RANGE (created_at);
SELECT app.protect('parted');
"""


@pytest.fixture
async def owner(postgres_urls):
    connection = await asyncpg.connect(postgres_urls.admin)
    yield connection
    await connection.execute("DROP TABLE IF EXISTS parted")
    await connection.close()


def _logged(caplog, event):
    return [record for record in caplog.records if record.getMessage() == event]


async def test_a_table_nobody_listed_gets_this_month_and_three_more(database, owner):
    await owner.execute(PARTED)
    assert "public.parted" in await partitioned(database)
    assert (await months_ahead(database))["public.parted"] == 0
    await ensure_partitions(database)
    assert set((await months_ahead(database)).values()) == {3}
    assert await owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'parted'::regclass") == 4
    assert await ensure_partitions(database) == 0


async def test_a_hole_ends_the_count_and_is_mended(database, owner):
    await owner.execute(PARTED)
    await ensure_partitions(database)
    second = await owner.fetchval(
        "SELECT 'parted' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months', "
        '\'"_y"YYYY"m"MM\')'
    )
    await owner.execute(f"DROP TABLE {second}")
    assert (await months_ahead(database))["public.parted"] == 1
    assert await ensure_partitions(database) == 1
    assert (await months_ahead(database))["public.parted"] == 3


@pytest.mark.parametrize(
    ("last", "first"),
    [
        (datetime(2027, 4, 30, 23, 59, 59, 999999, tzinfo=UTC), datetime(2027, 5, 1, tzinfo=UTC)),
        (datetime(2027, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
async def test_the_turn_of_a_month_and_of_a_year_parts_its_two_microseconds(
    owner, superuser, tenants, last, first
):
    await owner.execute(PARTED)
    # Made in the last microsecond of the month, so that the writes of the next find their place.
    assert await owner.fetchval("SELECT app.ensure_partitions_from('parted', 3, $1)", last) == 4
    for moment in (last, first):
        await superuser.execute("INSERT INTO parted VALUES ($1, $2)", tenants[0].tenant_id, moment)
    found = await superuser.fetch("SELECT tableoid::regclass::text AS name FROM parted ORDER BY created_at")
    assert [row["name"] for row in found] == [f"parted_{moment:y%Ym%m}" for moment in (last, first)]


async def test_a_table_that_is_locked_keeps_no_other_from_its_partitions(database, owner, postgres_urls):
    await owner.execute(PARTED.replace("parted", "aparted"))
    await owner.execute(PARTED)
    other = await asyncpg.connect(postgres_urls.admin)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE aparted IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Exception, match="try again"):
                await ensure_partitions(database)
            assert (
                await owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'parted'::regclass")
                == 4
            )
    finally:
        await other.close()
        await owner.execute("DROP TABLE aparted")


async def test_too_few_months_ahead_raise_the_alarm_and_reach_the_gateway(
    database, owner, redis_client, caplog
):
    await owner.execute(PARTED)
    assert await watch_partitions(database, redis_client) == 1
    assert (await findings.read(redis_client, "partitions"))["behind"] == ["public.parted"]
    assert _logged(caplog, "partitions_behind")
    await ensure_partitions(database)
    assert await watch_partitions(database, redis_client) == 0
    assert (await findings.read(redis_client, "partitions"))["behind"] == []


async def test_a_dead_event_raises_one_alarm_and_reaches_gateway_and_metrics(
    services, database, tenants, redis_client, caplog
):
    from cohortlens.core.telemetry import metrics_text

    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        await Outbox(tx).record("a.happened", "a", {})
        await Outbox(tx).record("a.happened", "a", {})
    [event] = await outbox.claim(database, "w", [Wanted("a.happened", 1)])
    await outbox.fail(database, event, "no", final=True)
    watch = OutboxWatch()
    for _ in range(2):
        assert await watch.run(services) == 1
    found = await findings.read(redis_client, "outbox")
    assert (found["open"], found["dead"]) == (1, 1)
    assert len(_logged(caplog, "outbox_dead")) == 1
    assert b'outbox_dead{topic="a.happened"} 1' in metrics_text()


async def test_an_event_that_is_open_too_long_is_late(services, database, tenants, superuser, redis_client):
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        await Outbox(tx).record("a.happened", "a", {})
    await superuser.execute("UPDATE outbox SET created_at = created_at - interval '11 minutes'")
    await OutboxWatch().run(services)
    assert (await findings.read(redis_client, "outbox"))["late"] == ["a.happened"]


async def test_a_mail_server_that_is_away_is_told_once_and_when_it_is_back(redis_client, caplog):
    class Delivery:
        mailer = FakeMailer()

        async def ping(self):
            await self.mailer.ping()

    delivery = Delivery()
    delivery.mailer.fault = Unavailable("down", reason="MAIL_UNAVAILABLE")
    for _ in range(2):
        assert await watch_mail(delivery, redis_client) == 0
    assert await findings.read(redis_client, "smtp") == {"up": False}
    assert len(_logged(caplog, "mail_server_down")) == 1
    delivery.mailer.fault = None
    assert await watch_mail(delivery, redis_client) == 1
    assert await findings.read(redis_client, "smtp") == {"up": True}


async def test_a_key_without_its_row_is_found_again(database, tenants, superuser):
    from cohortlens.core.outbox_operation import repair

    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        first = await Outbox(tx).record("a.happened", "a", {})
        await Outbox(tx).record("a.happened", "a", {})
    await superuser.execute("DELETE FROM outbox_keys")
    assert await outbox.claim(database, "w", [Wanted("a.happened", 5)]) == []
    assert (await repair(database), await repair(database)) == (1, 0)
    assert [one.id for one in await outbox.claim(database, "w", [Wanted("a.happened", 5)])] == [first]


async def test_sessions_are_deleted_a_month_after_their_last_possible_moment(services, tenants, superuser):
    from cohortlens.jobs.maintenance import TASKS

    await superuser.executemany(
        "INSERT INTO sessions (tenant_id, id, user_id, refresh_key_enc, absolute_expires_at) "
        "VALUES ($1, gen_random_uuid(), $2, '', now() - make_interval(days => $3))",
        [(tenants[0].tenant_id, tenants[0].user_id, days) for days in (31, 29, -1)],
    )
    [task] = [one for one in TASKS if one.name == "purge_sessions"]
    before = await superuser.fetchval("SELECT count(*) FROM sessions")
    assert await task.run(services) == 1
    assert await superuser.fetchval("SELECT count(*) FROM sessions") == before - 1
