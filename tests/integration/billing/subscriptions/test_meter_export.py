"""Usage told to the provider: each hour once, whatever breaks off in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cohortlens.billing.payments.models import PaymentProviderUnavailable
from cohortlens.billing.subscriptions.meter_export import MeterExport
from cohortlens.core.errors import Internal

HOUR = timedelta(hours=1)
TOP = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.at = TOP + timedelta(minutes=30)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def export(database, provider, clock):
    return MeterExport(database, provider, {"api_calls": "cohortlens_api_calls"}, clock)


@pytest.fixture
def used(superuser, tenants):
    async def units(count: int, ago: int, method: str = "Predict") -> None:
        await superuser.execute(
            "INSERT INTO usage_hours (tenant_id, meter, hour, principal, method, period_start, units, calls)"
            " VALUES ($1, 'api_calls', $2, 'user:1', $4, date_trunc('month', $2::timestamptz), $3, 1)"
            " ON CONFLICT (tenant_id, meter, hour, principal, method, period_start)"
            " DO UPDATE SET units = usage_hours.units + $3",
            tenants[0].tenant_id,
            TOP - ago * HOUR,
            count,
            method,
        )

    return units


@pytest.fixture
async def customer(pays, superuser):
    """The first tenant, a customer of the provider for a day."""
    customer_id = await pays()
    await superuser.execute("UPDATE billing_profiles SET created_at = $1", TOP - 24 * HOUR)
    return customer_id


async def test_an_hour_is_one_event_with_its_units(export, used, customer, provider, tenants):
    await used(5, 2)
    await used(7, 2, "Segment")
    await used(1, 1)

    assert await export.run() == 2
    assert await export.run() == 0
    first, second = provider.meter_events
    assert (first.name, first.customer_id, first.value) == ("cohortlens_api_calls", customer, 12)
    assert first.identifier == f"{tenants[0].tenant_id}:api_calls:{TOP - 2 * HOUR:%Y-%m-%dT%H}:1"
    assert first.at == TOP - HOUR - timedelta(seconds=1)
    assert second.value == 1


async def test_what_becomes_known_later_is_told_as_the_rest(export, used, customer, provider):
    await used(5, 2)
    await export.run()
    await used(3, 2)
    assert await export.run() == 1
    assert [(one.value, one.identifier[-2:]) for one in provider.meter_events] == [(5, ":1"), (3, ":2")]


async def test_an_hour_that_runs_is_not_told_yet(export, used, customer, clock, provider):
    await used(5, 0)
    assert await export.run() == 0
    clock.at = TOP + HOUR + timedelta(minutes=9)
    assert await export.run() == 0, "its events may still be on their way"
    clock.at = TOP + HOUR + timedelta(minutes=10)
    assert await export.run() == 1


async def test_usage_from_before_the_tenant_was_a_customer_is_not_told(export, used, customer, provider):
    await used(5, 30)
    assert await export.run() == 0


async def test_a_tenant_without_a_customer_is_not_told(export, used, provider):
    await used(5, 2)
    assert await export.run() == 0


async def test_a_lost_answer_is_sent_again_under_the_same_identifier(export, used, customer, provider, clock):
    await used(5, 2)
    provider.fails_after["send_meter_event"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await export.run()
    clock.at += timedelta(hours=22)
    assert await export.run() == 1
    assert len({one.identifier for one in provider.meter_events}) == 1


async def test_a_lost_answer_is_not_sent_again_when_the_provider_has_forgotten_it(
    export, used, customer, provider, clock, superuser
):
    await used(5, 2)
    provider.fails_after["send_meter_event"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await export.run()
    await superuser.execute("UPDATE meter_exports SET first_tried_at = $1", clock.at - timedelta(hours=25))

    assert await export.run() == 0
    assert len(provider.meter_events) == 1
    assert await superuser.fetchval("SELECT state FROM meter_exports") == "LAPSED"
    await used(1, 2)
    assert await export.run() == 1, "what was used since is told all the same"
    assert provider.meter_events[-1].value == 1


async def test_a_refusal_is_tried_again_however_long_it_lasts(export, used, customer, provider, superuser):
    await used(5, 2)

    async def refuse(event, *, key):
        raise Internal("no such meter")

    sends, provider.send_meter_event = provider.send_meter_event, refuse
    with pytest.raises(Internal):
        await export.run()
    assert await superuser.fetchval("SELECT first_tried_at FROM meter_exports") is None
    provider.send_meter_event = sends
    assert await export.run() == 1


async def test_two_processes_send_one_event_at_a_time(export, used, customer, provider, database, clock):
    for ago in range(1, 6):
        await used(ago, ago)
    running = 0
    sends = provider.send_meter_event

    async def watched(event, *, key):
        nonlocal running
        running += 1
        assert running == 1, "two calls at once for one customer and meter"
        await asyncio.sleep(0.02)
        await sends(event, key=key)
        running -= 1

    provider.send_meter_event = watched
    other = MeterExport(database, provider, {"api_calls": "cohortlens_api_calls"}, clock)
    await asyncio.gather(export.run(), other.run())
    assert sorted(one.value for one in provider.meter_events) == [1, 2, 3, 4, 5]


async def test_hours_that_the_provider_no_longer_takes_are_left_out(
    export, used, customer, provider, superuser
):
    await superuser.execute("UPDATE billing_profiles SET created_at = $1", TOP - timedelta(days=60))
    await used(5, 36 * 24)
    await used(2, 33 * 24)
    assert await export.run() == 1
    assert provider.meter_events[0].value == 2
