"""Drift reports as jobs make them: who is compared, what is stored and told, what is refused."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from cohortlens.analytics.drift.models import (
    DRIFT_REPORTED,
    DRIFT_REQUESTED,
    BaselineMissing,
    DaysInvalid,
    DriftCause,
    DriftConvention,
    DriftQueueFull,
    DriftVerdict,
)
from cohortlens.analytics.drift.populations import customers_at
from cohortlens.analytics.drift.service import DriftService
from cohortlens.analytics.drift.work import MOST_RESTARTS, DriftWork
from cohortlens.analytics.models import ResourceMissing, WorkState
from cohortlens.contracts.baseline import BASELINE_FILE, Baseline
from cohortlens.contracts.purchase_days import purchase_days
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Wanted, claim
from cohortlens.customers.models import TrainingSnapshot
from cohortlens.customers.usability import losses
from tests.fakes.inference import scores_of, workers_away
from tests.fakes.models import install, prediction_manifest, segmentation_manifest
from tests.fixtures.consents import decide
from tests.fixtures.shops import FIRST_DAY, orders_of

TRAINED_ON = FIRST_DAY + 300
EPOCH = date(1970, 1, 1)


def a_shop(*, factor: float = 1.0, customers: int = 700, days: int = 420):
    """Purchase-days of a shop whose orders cost ``factor`` times as much after the day of the training."""
    orders = orders_of(customers, days, seed=3)
    later = orders["day"] > TRAINED_ON
    amount = np.where(later, orders["amount"] * factor, orders["amount"])
    return purchase_days(orders["customer"], orders["day"], amount, items=orders["items"])


class Snapshots:
    """A ``SnapshotSource`` of a made-up shop."""

    def __init__(self, db, days, last_day):
        self.db, self.days, self.last_day = db, days, last_day

    async def training_snapshot(self, tenant_id):
        table = pa.table(self.days.until(self.last_day).columns())
        async with self.db.tenant_transaction(tenant_id) as tx:
            mark = await losses(tx)
        return TrainingSnapshot(table, EPOCH + timedelta(days=self.last_day), "USD", losses=mark)


def baseline_of(days, names, day=TRAINED_ON):
    features = customers_at(days, day, wants_sequence=False).features
    predictions = {}
    for name in names:
        target, horizon = name.split(":")
        rows = features.copy()
        rows[:, -1] = float(horizon)
        predictions[name] = scores_of(target, rows)["value"]
    return Baseline(features, predictions)


@pytest.fixture
async def watched(world):
    """The world with a shop of 700 customers, and a version of the prediction that keeps a baseline."""
    before = a_shop()
    digest = world.artifacts.put_bytes(baseline_of(before, ["spend:90"]).to_npz())
    manifest = dataclasses.replace(
        prediction_manifest(loss=0.1),
        files={BASELINE_FILE: digest},
        as_of=(EPOCH + timedelta(days=TRAINED_ON)).isoformat(),
    )
    version, _ = await install(world.registry, world.db, world.north.tenant_id, manifest)
    await world.promotions.promote(world.north.context(), "prediction", version, "test")
    source = Snapshots(world.db, before, TRAINED_ON + 14)
    return SimpleNamespace(
        world=world,
        ctx=world.north.context(),
        tenant=world.north.tenant_id,
        version=version,
        source=source,
        service=DriftService(world.db, world.registry),
        work=DriftWork(world.db, source, world.registry, world.client, world.artifacts),
    )


async def made(watched, **asked):
    """A report, requested and done."""
    report = await watched.service.start(watched.ctx, **asked)
    await watched.work.run(watched.tenant, report.report_id)
    return await watched.service.get(watched.ctx, report.report_id)


async def events(watched, topic):
    return [one.payload for one in await claim(watched.world.db, "test", [Wanted(topic, 20)])]


async def test_where_nothing_changed_a_report_is_calm_and_holds_its_columns(watched):
    report = await made(watched)
    assert (report.state, report.progress_ratio, report.error_reason) == (WorkState.SUCCEEDED, 1.0, "")
    assert report.verdict in {DriftVerdict.STABLE, DriftVerdict.CHANGED}
    assert (report.model, report.model_version, report.is_baseline) == ("prediction", watched.version, True)
    assert report.as_of - report.reference_as_of == timedelta(days=14)
    columns = {one.name: one for one in report.columns}
    assert {"age", "rate_30", "mean", "spend:90", "missing.gap_mean"} <= columns.keys()
    assert not {"trend_30", "horizon", "exposure_90"} & columns.keys()
    assert all(one.p_adjusted <= one.p_holm for one in report.columns if one.p_holm is not None)
    assert columns["skus_distinct"].verdict is DriftVerdict.UNKNOWN
    assert columns["skus_distinct"].reason.startswith("ALL_MISSING")


async def test_a_planted_change_asks_to_act_and_names_the_columns(watched):
    watched.source.days, watched.source.last_day = a_shop(factor=4.0), TRAINED_ON + 60
    report = await made(watched)
    assert report.verdict is DriftVerdict.ACT
    worst = [one.name for one in report.columns if one.verdict is DriftVerdict.ACT]
    assert {"s_30", "last"} <= set(worst)
    assert report.columns[0].verdict is DriftVerdict.ACT


async def test_the_end_of_a_report_is_told_once_however_often_its_work_runs(watched):
    report = await watched.service.start(watched.ctx)
    for _ in range(3):
        await watched.work.run(watched.tenant, report.report_id)
    found = await watched.service.get(watched.ctx, report.report_id)
    (told,) = await events(watched, DRIFT_REPORTED)
    assert told == {
        "drift_report_id": str(report.report_id),
        "model": "prediction",
        "model_version": watched.version,
        "verdict": found.verdict.value,
        "cause": "REQUESTED",
        "as_of": found.as_of.isoformat(),
    }


async def withdraw_during(watched, times):
    """Let c1, c2 ... withdraw, one during each of the first comparisons; how often the shop was read."""
    taken = watched.source.training_snapshot
    reads = []

    async def read(tenant_id):
        snapshot = await taken(tenant_id)
        reads.append(snapshot.losses)
        if len(reads) <= times:
            await decide(watched.world.db, tenant_id, [f"c{len(reads)}"], "WITHDRAWN")
        return snapshot

    watched.source.training_snapshot = read
    return reads


async def test_a_report_begins_anew_when_somebody_withdraws_while_it_compares(watched):
    reads = await withdraw_during(watched, 2)
    report = await made(watched)
    assert report.state is WorkState.SUCCEEDED
    assert len(reads) == len(set(reads)) == 3
    assert len(await events(watched, DRIFT_REPORTED)) == 1


async def test_a_report_gives_up_where_withdrawals_always_overtake_it(watched):
    reads = await withdraw_during(watched, 99)
    report = await made(watched)
    assert (report.state, report.error_reason) == (WorkState.FAILED, "DATA_CHANGING")
    assert len(reads) == MOST_RESTARTS
    assert await events(watched, DRIFT_REPORTED) == []


async def test_a_version_without_a_baseline_is_refused_unless_a_day_is_given(watched):
    with pytest.raises(BaselineMissing) as refused:
        await watched.service.start(watched.ctx, "segmentation")
    assert "reference_as_of" in refused.value.message
    day = EPOCH + timedelta(days=TRAINED_ON)
    report = await made(watched, model="segmentation", reference_as_of=day)
    assert report.state is WorkState.SUCCEEDED
    assert {one.name for one in report.columns} == {"age", "since", "x", "mean", "segment"}
    assert (report.is_baseline, report.reference_as_of, report.performance) == (False, day, ())


async def test_a_damaged_baseline_fails_the_report_with_its_reason(watched):
    path = watched.world.artifacts.path(
        (await watched.world.registry.active(watched.tenant, "prediction")).manifest.files[BASELINE_FILE]
    )
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    report = await made(watched)
    assert (report.state, report.error_reason) == (WorkState.FAILED, "ARTIFACT_CORRUPT")
    assert await events(watched, DRIFT_REPORTED) == []


async def test_two_hundred_customers_are_needed_on_either_side(watched):
    watched.source.days = a_shop(customers=150)
    report = await made(watched)
    assert (report.state, report.error_reason) == (WorkState.FAILED, "SAMPLE_TOO_SMALL")
    assert "at least 200" in report.error_message


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"as_of": date(2999, 1, 1)}, "as_of"),
        ({"reference_as_of": date(2999, 1, 1)}, "reference_as_of"),
        ({"reference_as_of": date(2020, 5, 1), "as_of": date(2020, 5, 1)}, "reference_as_of"),
    ],
)
async def test_days_that_cannot_be_compared_are_refused_at_once(watched, asked, field):
    with pytest.raises(DaysInvalid) as refused:
        await watched.service.start(watched.ctx, **asked)
    assert [one.field for one in refused.value.violations] == [field]


async def test_a_day_behind_the_data_fails_the_report(watched):
    report = await made(watched, as_of=EPOCH + timedelta(days=TRAINED_ON + 60))
    assert (report.state, report.error_reason) == (WorkState.FAILED, "AS_OF_IN_FUTURE")


async def test_absent_workers_leave_the_report_to_the_next_attempt(watched):
    report = await watched.service.start(watched.ctx)
    watched.world.client.faults = [workers_away("prediction")]
    with pytest.raises(Unavailable):
        await watched.work.run(watched.tenant, report.report_id)
    waiting = await watched.service.get(watched.ctx, report.report_id)
    assert waiting.state is WorkState.RUNNING
    await watched.work.run(watched.tenant, report.report_id)
    assert (await watched.service.get(watched.ctx, report.report_id)).state is WorkState.SUCCEEDED


async def test_once_a_horizon_has_passed_predicted_and_actual_totals_stand_in_the_report(watched):
    assert (await made(watched)).performance == ()
    watched.source.last_day = TRAINED_ON + 45
    report = await made(watched)
    assert [(one.target, one.horizon_days) for one in report.performance] == [
        ("purchases", 30),
        ("spend", 30),
    ]
    purchases = report.performance[0]
    days = watched.source.days
    first, last = TRAINED_ON + 15, TRAINED_ON + 45
    seen = np.unique(days.customer[days.day <= first])
    inside = (days.day > first) & (days.day <= last) & np.isin(days.customer, seen)
    assert purchases.predicted_on == EPOCH + timedelta(days=first)
    assert (purchases.customers, purchases.actual_total) == (len(seen), np.count_nonzero(inside))
    assert purchases.error_ratio == pytest.approx(purchases.predicted_total / purchases.actual_total - 1)
    assert 0 <= purchases.lower_total < purchases.upper_total


async def test_the_rules_of_evidently_decide_when_asked(watched):
    report = await made(watched, convention=DriftConvention.EVIDENTLY)
    assert report.convention is DriftConvention.EVIDENTLY
    assert {one.verdict for one in report.columns} <= {
        DriftVerdict.STABLE,
        DriftVerdict.ACT,
        DriftVerdict.UNKNOWN,
    }


async def test_reports_are_listed_newest_first_and_never_to_another_tenant(watched):
    first, second = [await watched.service.start(watched.ctx) for _ in range(2)]
    page = await watched.service.page(watched.ctx, "", None, 10)
    assert [one.report_id for one in page] == [second.report_id, first.report_id]
    assert await watched.service.page(watched.ctx, "segmentation", None, 10) == []
    stranger = watched.world.south.context()
    assert await watched.service.page(stranger, "", None, 10) == []
    for identifier in (first.report_id, uuid7()):
        with pytest.raises(ResourceMissing):
            await watched.service.get(stranger, identifier)


async def test_no_more_than_twenty_reports_of_a_tenant_wait(watched):
    for _ in range(20):
        await watched.service.start(watched.ctx)
    with pytest.raises(DriftQueueFull):
        await watched.service.start(watched.ctx)


async def test_a_version_that_was_looked_at_lately_is_not_looked_at_again(watched):
    day = timedelta(days=1)
    assert await watched.service.start_due(watched.tenant, DriftCause.SCHEDULE, day) == 1
    assert await watched.service.start_due(watched.tenant, DriftCause.IMPORT, timedelta(0)) == 0, "one waits"
    (asked,) = await events(watched, DRIFT_REQUESTED)
    page = await watched.service.page(watched.ctx, "", None, 5)
    assert [str(one.report_id) for one in page] == [asked["drift_report_id"]]
    await watched.work.run(watched.tenant, page[0].report_id)
    assert await watched.service.start_due(watched.tenant, DriftCause.SCHEDULE, day) == 0
    assert await watched.service.start_due(watched.tenant, DriftCause.IMPORT, timedelta(0)) == 1


async def test_a_segmentation_is_watched_by_the_shares_of_its_segments(watched):
    world, before = watched.world, watched.source.days
    features = customers_at(before, TRAINED_ON, wants_sequence=False).features
    segments = np.array(["s1", "s2"])[scores_of("", features)["segment"].astype(int)]
    digest = world.artifacts.put_bytes(Baseline(features, {}, segments).to_npz())
    manifest = dataclasses.replace(segmentation_manifest(eta2=0.9), files={BASELINE_FILE: digest})
    version, _ = await install(world.registry, world.db, watched.tenant, manifest)
    await world.promotions.promote(watched.ctx, "segmentation", version, "test")
    report = await made(watched, model="segmentation")
    (shares,) = [one for one in report.columns if one.name == "segment"]
    assert (shares.is_numerical, shares.method) == (False, "chi_square")
    assert report.verdict in {DriftVerdict.STABLE, DriftVerdict.CHANGED}
