"""Drift reports that nobody asks for: by the clock, after imports; what operators see; what is forgotten."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cohortlens.analytics.drift.models import DRIFT_REQUESTED, DriftVerdict
from cohortlens.analytics.drift.repository import DriftRepository
from cohortlens.analytics.drift.service import DriftService
from cohortlens.analytics.drift.watch import DriftWatch
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.contracts.baseline import BASELINE_FILE
from cohortlens.core.errors import CohortLensError
from cohortlens.core.outbox import Wanted, claim
from cohortlens.core.telemetry import REGISTRY
from cohortlens.customers.models import TRANSACTIONS_IMPORTED
from tests.fakes.models import install, prediction_manifest
from tests.fixtures.tenants import grant

DAY_S = 86_400.0


@pytest.fixture
async def watch(world):
    """The world with a watcher, a version that keeps a baseline, and a clock that can be moved."""
    clock = SimpleNamespace(now=datetime.now(UTC))
    manifest = dataclasses.replace(prediction_manifest(loss=0.1), files={BASELINE_FILE: "b" * 64})
    version, _ = await install(world.registry, world.db, world.north.tenant_id, manifest)
    await world.promotions.promote(world.north.context(), "prediction", version, "test")
    entitlements = Entitlements(world.db)
    world.clock, world.version = clock, version
    world.drift = DriftService(world.db, world.registry, clock=lambda: clock.now)
    world.watch = DriftWatch(world.db, world.drift, entitlements, every_s=DAY_S, clock=lambda: clock.now)
    yield world
    await entitlements.close()


async def reports(watch):
    return await watch.drift.page(watch.north.context(), "", None, 50)


async def end(watch, verdict, columns=()):
    """End the newest report with a verdict, as its work would."""
    report = (await reports(watch))[0]
    async with watch.db.tenant_transaction(watch.north.tenant_id) as tx:
        found = dataclasses.replace(report, verdict=verdict, columns=columns)
        await DriftRepository(tx).succeed(found, watch.clock.now)


async def import_of(watch):
    """The import that made the shop, as its event names it."""
    (event,) = await claim(watch.db, "test", [Wanted(TRANSACTIONS_IMPORTED, 5)])
    return event.payload["import_id"]


async def test_each_version_with_a_baseline_is_looked_at_once_a_day(watch):
    assert await watch.watch.run_schedule() == 1
    (report,) = await reports(watch)
    assert (report.model, report.model_version, report.cause.value) == (
        "prediction",
        watch.version,
        "SCHEDULE",
    )
    (event,) = await claim(watch.db, "test", [Wanted(DRIFT_REQUESTED, 5)])
    assert event.payload == {"drift_report_id": str(report.report_id)}
    await end(watch, DriftVerdict.STABLE)
    watch.clock.now += timedelta(seconds=DAY_S - 60)
    assert await watch.watch.run_schedule() == 0
    watch.clock.now += timedelta(seconds=120)
    assert await watch.watch.run_schedule() == 1
    assert len(await reports(watch)) == 2


async def test_no_report_is_made_without_the_feature_or_with_the_clock_off(watch):
    off = DriftWatch(watch.db, watch.drift, watch.watch._entitlements, every_s=0)
    assert await off.run_schedule() == 0
    await grant(watch.db, watch.north.tenant_id, None)
    fresh = Entitlements(watch.db)
    try:
        basic = DriftWatch(watch.db, watch.drift, fresh, every_s=DAY_S)
        assert await basic.run_schedule() == 0
        assert await basic.after_import(watch.north.tenant_id, await import_of(watch)) == 0
    finally:
        await fresh.close()
    assert await reports(watch) == []


async def test_an_import_of_more_than_a_hundredth_of_the_rows_is_looked_at(watch, superuser):
    import_id = await import_of(watch)
    assert await watch.watch.after_import(watch.north.tenant_id, import_id) == 1
    (report,) = await reports(watch)
    assert report.cause.value == "IMPORT"
    await end(watch, DriftVerdict.STABLE)
    await superuser.execute(
        "INSERT INTO imports (tenant_id, id, state, options, file_bytes, file_sha256, rows_accepted,"
        " created_at, ended_at) SELECT tenant_id, gen_random_uuid(), 'SUCCEEDED', options, 1, file_sha256,"
        " rows_accepted * 200, created_at, ended_at FROM imports WHERE id = $1",
        import_id,
    )
    assert await watch.watch.after_import(watch.north.tenant_id, import_id) == 0


async def test_operators_see_the_last_verdict_of_each_active_version(watch):
    def shown(verdict):
        return REGISTRY.get_sample_value("drift_report_verdict", {"model": "prediction", "verdict": verdict})

    await watch.watch.run_schedule()
    await watch.watch.show()
    assert not shown("ACT"), "a report that has not ended says nothing"
    await end(watch, DriftVerdict.ACT)
    assert await watch.watch.show() == 1
    assert shown("ACT") == 1.0
    watch.clock.now += timedelta(days=2)
    await watch.watch.run_schedule()
    await end(watch, DriftVerdict.STABLE)
    assert await watch.watch.show() == 0
    assert (shown("ACT"), shown("STABLE")) == (0.0, 1.0)


async def test_reports_are_forgotten_after_twenty_five_months(watch):
    await watch.watch.run_schedule()
    watch.clock.now += timedelta(days=25 * 31 - 1)
    assert await watch.watch.drop_old() == 0
    watch.clock.now += timedelta(days=2)
    assert await watch.watch.drop_old() == 1
    assert await reports(watch) == []


async def test_the_role_of_requests_starts_reports_but_never_sees_those_of_all_tenants(watch, runtime):
    service = DriftService(runtime, watch.registry)
    started = await service.start(watch.north.context())
    assert (await service.get(watch.north.context(), started.report_id)).model == "prediction"
    for call in ("app.drift_figures()", "app.drift_due(now(), gen_random_uuid(), 1)"):
        with pytest.raises((DBAPIError, CohortLensError)):
            async with runtime.transaction() as tx:
                await tx.execute(text(f"SELECT * FROM {call}"))
