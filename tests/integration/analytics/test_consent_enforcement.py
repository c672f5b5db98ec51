"""Whoever does not allow it is left out and counted, whatever asks, from the moment of the decision on."""

from __future__ import annotations

import asyncio

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from cohortlens.analytics.cohorts.models import CohortBy, CohortQuery, Measure, Population
from cohortlens.analytics.cohorts.service import CohortsService, PopulationReader
from cohortlens.analytics.counterfactuals import Goal
from cohortlens.analytics.explanations import How
from cohortlens.analytics.models import Subjects, Task, WorkState
from cohortlens.consent.checks import ConsentChecks
from cohortlens.customers.lookup import FeatureLookup
from cohortlens.customers.usability import Activity, ConsentRequired
from tests.fixtures.batches import look, result_of, start
from tests.fixtures.consents import ask, decide, mark

BOTH = Subjects(customers=("external:c1", "external:c4"))
ONE = Subjects(customers=("external:c4",))
EVERYBODY = 40
MECHANISMS = {
    # mechanism, state of the customer, restricted, objected: may be used
    ("OPT_IN", None, False, False): False,
    ("OPT_IN", "GIVEN", False, False): True,
    ("OPT_IN", "GIVEN", True, False): False,
    ("OPT_IN", "GIVEN", False, True): False,
    ("OPT_IN", "REFUSED", False, False): False,
    ("OPT_IN", "WITHDRAWN", False, False): False,
    ("OPT_IN", "EXPIRED", False, False): False,
    ("OPT_IN", "INVALIDATED", False, False): False,
    ("OPT_OUT", None, False, False): True,
    ("OPT_OUT", "GIVEN", False, False): True,
    ("OPT_OUT", "REFUSED", False, False): False,
    ("OPT_OUT", "WITHDRAWN", False, False): False,
    ("OPT_OUT", "EXPIRED", False, False): True,
    ("OPT_OUT", None, False, True): False,
    ("OPT_OUT", None, True, False): False,
    ("NOTICE", None, False, False): True,
    ("NOTICE", "WITHDRAWN", False, True): True,
    ("NOTICE", None, True, False): False,
}


async def may_use(world, activity="analytics.prediction", name="c4"):
    async with world.db.tenant_transaction(world.north.tenant_id) as tx:
        return await tx.scalar(
            text(
                "SELECT app.may_use(id, :activity) FROM customers "
                "WHERE tenant_id = app.tid() AND external_id = :name"
            ),
            {"activity": activity, "name": name},
        )


async def is_read(world):
    """Whether the short way of a prediction reads the features of c4; it never asks the service behind it."""
    try:
        found = await FeatureLookup(world.db, None).features_by_name(world.north.context(), ["external:c4"])
    except ConsentRequired:
        return False
    return len(found.customer_ids) == 1


@pytest.fixture
def withdraws(world):
    """``await withdraws("c4")`` as that customer would."""

    async def act(*names, state="WITHDRAWN"):
        await decide(world.db, world.north.tenant_id, list(names), state)

    return act


async def test_each_mechanism_answers_as_its_rule_says(world, superuser):
    tenant = world.north.tenant_id
    for (mechanism, state, restricted, objected), allowed in MECHANISMS.items():
        await superuser.execute("DELETE FROM user_consents")
        await ask(world.db, tenant, mechanism)
        await mark(world.db, tenant, ["c4"], "restricted_at", lifted=not restricted)
        await mark(world.db, tenant, ["c4"], "objected_at", lifted=not objected)
        if state:
            await decide(world.db, tenant, ["c4"], state)
        case = mechanism, state, restricted, objected
        assert await may_use(world) is allowed, case
        asked = await ConsentChecks(world.db).check(
            world.north.context(), ["external:c4", "external:nobody"], [], ["analytics.prediction"]
        )
        assert asked.checks[0].allowed_count == allowed, case
        assert await is_read(world) is allowed, case


async def test_a_consent_ends_with_its_second_and_with_a_version_that_asks_again(world):
    tenant = world.north.tenant_id
    await ask(world.db, tenant, "OPT_IN")
    await decide(world.db, tenant, ["c4"], "GIVEN", expires_in_s=60)
    assert await may_use(world) is True
    await decide(world.db, tenant, ["c4"], "GIVEN", expires_in_s=-1)
    assert await may_use(world) is False
    await decide(world.db, tenant, ["c4"], "GIVEN")
    async with world.db.tenant_transaction(tenant) as tx:
        await tx.execute(text("UPDATE purpose_heads SET min_version = 2 WHERE tenant_id = app.tid()"))
    assert await may_use(world) is False
    await decide(world.db, tenant, ["c4"], "GIVEN", purpose_version=2)
    assert await may_use(world) is True


async def test_an_activity_that_no_purpose_covers_allows_nobody(world):
    async with world.db.tenant_transaction(world.north.tenant_id) as tx:
        await tx.execute(
            text("DELETE FROM purpose_activities WHERE tenant_id = app.tid() AND activity = :one"),
            {"one": "analytics.prediction"},
        )
    assert await may_use(world) is False
    assert await may_use(world, "analytics.segmentation") is True
    with pytest.raises(ConsentRequired) as caught:
        await world.predictions.predict(world.north.context(), Task.SPEND, ONE)
    assert caught.value.metadata == {"purpose": "", "activity": "analytics.prediction"}


async def test_one_customer_who_withdrew_is_refused_and_among_others_left_out(world, withdraws):
    ctx = world.north.context()
    await withdraws("c4")
    asked = {
        Activity.PREDICTION: lambda who: world.predictions.predict(ctx, Task.SPEND, who),
        Activity.SEGMENTATION: lambda who: world.segmentation.segment(ctx, who),
        Activity.EXPLANATION: lambda who: world.explanations.explain(ctx, Task.SPEND, who),
    }
    for activity, call in asked.items():
        with pytest.raises(ConsentRequired) as caught:
            await call(ONE)
        assert caught.value.metadata == {"purpose": "profiling", "activity": activity.value}
        assert "c4" not in caught.value.message
        made = await call(BOTH)
        assert [one.external_id for one in made] == ["c1"]
        assert made.rows.excluded_no_consent == 1
    with pytest.raises(ConsentRequired):
        await world.counterfactuals.find(ctx, Task.SPEND, ONE, 90, Goal(churn_below=0.5))


async def test_the_slow_way_of_reading_features_leaves_out_the_same(world, withdraws):
    await withdraws("c4")
    async with world.db.tenant_transaction(world.north.tenant_id) as tx:
        await tx.execute(
            text("UPDATE customer_features SET schema_hash = :old WHERE tenant_id = app.tid()"),
            {"old": "0" * 64},
        )
    made = await world.predictions.predict(world.north.context(), Task.SPEND, BOTH)
    assert ([one.external_id for one in made], made.rows.excluded_no_consent) == (["c1"], 1)


async def test_who_withdraws_between_the_reading_and_the_storing_is_not_stored(world, withdraws, superuser):
    scored, go_on = asyncio.Event(), asyncio.Event()
    score = world.client.score

    async def slow(*given, **named):
        answer = await score(*given, **named)
        scored.set()
        await go_on.wait()
        return answer

    world.client.score = slow
    call = asyncio.create_task(world.predictions.predict(world.north.context(), Task.SPEND, ONE))
    await scored.wait()
    await withdraws("c4")
    go_on.set()
    with pytest.raises(ConsentRequired):
        await call
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 0


async def test_what_is_stored_of_a_customer_is_not_shown_after_the_withdrawal(world, withdraws):
    ctx = world.north.context()
    made = await world.predictions.predict(ctx, Task.SPEND, BOTH)
    of_c4 = next(one for one in made if one.external_id == "c4")
    run = await world.segmentation.start(ctx)
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    await withdraws("c4")

    with pytest.raises(ConsentRequired):
        await world.predictions.get(ctx, of_c4.prediction_id)
    with pytest.raises(ConsentRequired):
        await world.explanations.explain_stored(ctx, Task.SPEND, of_c4.prediction_id, Subjects(), How())
    page = await world.predictions.page(ctx, customer_id=None, task=None, before=None, limit=10)
    assert [one.external_id for one in page] == ["c1"]
    members = [
        member.external_id
        for key in ("s1", "s2")
        for member in (await world.reads.members(ctx, key, None, None, 100))[1]
    ]
    assert len(members) == EVERYBODY - 1
    assert "c4" not in members
    assert await world.reads.segment_names(ctx, [of_c4.customer_id]) == {}


async def test_a_segmentation_counts_whom_it_leaves_out_also_those_who_withdrew_while_it_ran(
    world, withdraws
):
    ctx, tenant = world.north.context(), world.north.tenant_id
    await withdraws("c4", "c5")
    run = await world.segmentation.start(ctx)
    publish = world.segmentation._publish

    async def late(*given):
        await withdraws("c6")
        await publish(*given)

    world.segmentation._publish = late
    await world.segmentation.run(tenant, run.run_id)
    ended, segments = await world.reads.segments(ctx, None)
    assert (ended.customers, ended.excluded_no_consent) == (EVERYBODY - 3, 3)
    assert sum(one.size for one in segments) == EVERYBODY - 3
    assert sum(one.share_ratio for one in segments) == pytest.approx(1)


async def test_a_batch_leaves_out_at_its_start_at_a_slice_and_at_its_end(batches, superuser):
    tenant = batches.north.tenant_id
    await decide(batches.db, tenant, ["c4"], "REFUSED")
    batch = await start(batches)
    finish = batches.work._finish

    async def late(*given):
        await decide(batches.db, tenant, ["c5", "c33"], "WITHDRAWN")
        await finish(*given)

    batches.work._finish = late
    await batches.work.run(tenant, batch.batch_id)
    done = await look(batches, batch)
    assert (done.state, done.rows, done.rows_skipped, done.excluded_no_consent) == (
        WorkState.SUCCEEDED,
        EVERYBODY - 1,
        2,
        3,
    )
    named = {f"c{at}" for at in range(EVERYBODY)} - {"c4", "c5", "c33"}
    assert set((await result_of(batches, batch))["id"].to_pylist()) == named
    assert {row[0] for row in await superuser.fetch("SELECT external_id FROM predictions")} == named


async def test_a_batch_without_anybody_who_allows_it_says_so(batches):
    tenant = batches.north.tenant_id
    await ask(batches.db, tenant, "OPT_IN")
    batch = await start(batches)
    await batches.work.run(tenant, batch.batch_id)
    done = await look(batches, batch)
    assert (done.state, done.error_reason) == (WorkState.FAILED, "CONSENT_REQUIRED")


async def test_a_training_takes_those_who_allow_it_and_notes_how_many_did_not(world, withdraws):
    tenant = world.north.tenant_id
    before = await world.features.training_snapshot(tenant)
    await withdraws("c4", "c9")
    after = await world.features.training_snapshot(tenant)
    # Customer i buys on i % 5 + 1 days.
    assert before.table.num_rows - after.table.num_rows == 10
    assert (before.excluded_no_consent, after.excluded_no_consent) == (0, 2)
    assert after.losses != before.losses
    assert after.consent_version > before.consent_version
    (run,) = await world.training.start(world.north.context(), "prediction", 7)
    work = world.training._work
    stored = await work._with_snapshot(tenant, await _run(world, run.run_id))
    taken = pq.read_table(world.artifacts.path(stored.snapshot_digest))
    assert taken.num_rows == after.table.num_rows
    noted = await _run(world, run.run_id)
    assert (noted.excluded_no_consent, noted.consent_version) == (2, after.consent_version)


async def test_cohorts_are_counted_anew_after_each_decision(world, withdraws):
    ctx = world.north.context()
    cohorts = CohortsService(PopulationReader(world.db))
    query = CohortQuery(Population(by=CohortBy.MONTH), measure=Measure.CUSTOMERS)
    before = await cohorts.query(ctx, query)
    await withdraws("c4")
    after = await cohorts.query(ctx, query)
    assert (before.sizes.sum(), before.data.excluded_no_consent) == (EVERYBODY, 0)
    assert (after.sizes.sum(), after.data.excluded_no_consent) == (EVERYBODY - 1, 1)
    await withdraws("c4", state="GIVEN")
    assert (await cohorts.query(ctx, query)).sizes.sum() == EVERYBODY


async def _run(world, run_id):
    from cohortlens.analytics.training_runs import TrainingRunsRepository

    async with world.db.tenant_transaction(world.north.tenant_id) as tx:
        return await TrainingRunsRepository(tx).get(run_id)
