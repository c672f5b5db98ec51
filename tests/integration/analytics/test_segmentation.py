"""A run assigns every customer, resumes where it stopped, and is published as a whole."""

from __future__ import annotations

import pytest

from cohortlens.analytics.models import ResourceMissing, RunNotPublished, Subjects, WorkState
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Wanted, claim
from cohortlens.registry.models import NoActiveModel
from tests.fakes.inference import workers_away


async def test_a_run_publishes_segments_whose_sizes_and_spend_cover_all_customers(world):
    ctx = world.north.context()
    run = await world.segmentation.start(ctx)
    assert run.state is WorkState.PENDING
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    ended, segments = await world.reads.segments(ctx, None)
    assert (ended.run_id, ended.state, ended.current) == (run.run_id, WorkState.SUCCEEDED, True)
    assert (ended.customers, ended.progress_ratio, ended.currency) == (40, 1.0, "USD")
    by_key = {one.segment_key: one for one in segments}
    # The stand-in model splits at three repeat purchase-days; customer i buys on i % 5 + 1 days, for i.25 each.
    loyal = [index for index in range(40) if index % 5 >= 3]
    spend = {index: (index * 100 + 25) * (index % 5 + 1) for index in range(40)}
    assert (by_key["s2"].size, by_key["s1"].size) == (len(loyal), 40 - len(loyal))
    assert by_key["s2"].spend_minor == sum(spend[index] for index in loyal)
    assert sum(one.spend_minor for one in segments) == sum(spend.values())
    assert sum(one.share_ratio for one in segments) == pytest.approx(1)
    assert sum(one.spend_share_ratio for one in segments) == pytest.approx(1)
    assert by_key["s2"].mean_purchase_days == pytest.approx(4.5)
    assert by_key["s2"].mean_spend_per_day == pytest.approx(
        by_key["s2"].spend_minor / 100 / sum(index % 5 + 1 for index in loyal)
    )
    assert segments == sorted(segments, key=lambda one: -one.spend_minor)


async def test_starting_a_run_leaves_an_event_for_the_jobs(world):
    run = await world.segmentation.start(world.north.context())
    events = await claim(world.db, "tester", [Wanted("segmentation.requested", 10)])
    assert [event.payload for event in events] == [{"run_id": str(run.run_id)}]


async def test_a_run_that_was_cut_off_goes_on_behind_its_last_chunk(world, superuser):
    tenant = world.north.tenant_id
    run = await world.segmentation.start(world.north.context())
    world.client.faults = [None, workers_away("segmentation")]
    with pytest.raises(Unavailable):
        await world.segmentation.run(tenant, run.run_id)
    half = await world.reads.run(world.north.context(), run.run_id)
    assert (half.state, half.customers) == (WorkState.RUNNING, 16)
    assert await superuser.fetchval("SELECT count(*) FROM segments") == 16
    with pytest.raises(RunNotPublished):
        await world.reads.segments(world.north.context(), None)
    world.client.sent.clear()
    await world.segmentation.run(tenant, run.run_id)
    assert sum(len(sent.features) for sent in world.client.sent) == 24
    assert await superuser.fetchval("SELECT count(DISTINCT customer_id) FROM segments") == 40


async def test_a_repeated_run_changes_nothing(world, superuser):
    tenant = world.north.tenant_id
    run = await world.segmentation.start(world.north.context())
    await world.segmentation.run(tenant, run.run_id)
    ended = await world.reads.run(world.north.context(), run.run_id)
    await world.segmentation.run(tenant, run.run_id)
    assert await world.reads.run(world.north.context(), run.run_id) == ended
    assert await superuser.fetchval("SELECT count(*) FROM segments") == 40


async def test_a_newer_run_takes_the_place_of_the_published_one_and_both_stay_readable(world):
    ctx, tenant = world.north.context(), world.north.tenant_id
    runs = []
    for _ in range(2):
        runs.append(await world.segmentation.start(ctx))
        await world.segmentation.run(tenant, runs[-1].run_id)
    assert (await world.reads.segments(ctx, None))[0].run_id == runs[1].run_id
    older, segments = await world.reads.segments(ctx, runs[0].run_id)
    assert not older.current
    assert sum(one.size for one in segments) == 40


async def test_members_page_through_a_segment_exactly_once(world):
    ctx = world.north.context()
    run = await world.segmentation.start(ctx)
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    seen, after = [], None
    while True:
        _, page = await world.reads.members(ctx, "s2", None, after, 5)
        if not page:
            break
        seen += page
        after = page[-1].customer_id
    assert sorted(one.external_id for one in seen) == sorted(f"c{i}" for i in range(40) if i % 5 >= 3)
    assert {(one.name, one.model_version) for one in seen} == {("Loyal", 1)}
    with pytest.raises(ResourceMissing):
        await world.reads.members(ctx, "s9", None, None, 5)


async def test_names_of_segments_are_told_for_customers_of_the_published_run(world):
    ctx = world.north.context()
    rows = await world.features.features_by_name(ctx, ["external:c4", "external:c5"])
    assert await world.reads.segment_names(ctx, rows.customer_ids) == {}
    run = await world.segmentation.start(ctx)
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    names = await world.reads.segment_names(ctx, rows.customer_ids)
    assert [names[one] for one in rows.customer_ids] == ["Loyal", "New"]


async def test_single_customers_and_vectors_get_the_segment_that_a_run_gives_them(world):
    ctx = world.north.context()
    rows = await world.features.features_by_name(ctx, ["external:c4", "external:c5"])
    by_id = await world.segmentation.segment(ctx, Subjects(customers=("external:c4", "external:c5")))
    by_vector = await world.segmentation.segment(
        ctx, Subjects(vectors=tuple(tuple(vector) for vector in rows.matrix.tolist()))
    )
    assert [(one.segment_key, one.name) for one in by_id] == [("s2", "Loyal"), ("s1", "New")]
    assert [one.snapshot_id for one in by_id] == [one.snapshot_id for one in by_vector]
    assert [one.segment_key for one in by_vector] == ["s2", "s1"]


async def test_a_run_whose_attempts_are_used_up_says_why_and_the_published_one_stays(world):
    ctx, tenant = world.north.context(), world.north.tenant_id
    published = await world.segmentation.start(ctx)
    await world.segmentation.run(tenant, published.run_id)
    failed = await world.segmentation.start(ctx)
    await world.segmentation.fail(tenant, failed.run_id)
    ended = await world.reads.run(ctx, failed.run_id)
    assert (ended.state, ended.error_reason) == (WorkState.FAILED, "INTERNAL")
    assert (await world.reads.segments(ctx, None))[0].run_id == published.run_id
    with pytest.raises(RunNotPublished):
        await world.reads.segments(ctx, failed.run_id)


async def test_another_tenant_sees_no_run_and_no_segment(world):
    ctx = world.south.context()
    run = await world.segmentation.start(world.north.context())
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    for identifier in (run.run_id, uuid7()):
        with pytest.raises(ResourceMissing):
            await world.reads.run(ctx, identifier)
        with pytest.raises(ResourceMissing):
            await world.reads.segments(ctx, identifier)
    with pytest.raises(RunNotPublished):
        await world.reads.segments(ctx, None)
    with pytest.raises(NoActiveModel):
        await world.segmentation.start(ctx)
    # A job with the wrong tenant finds nothing to do.
    await world.segmentation.run(world.south.tenant_id, run.run_id)


async def test_a_customer_that_is_erased_leaves_the_published_segments(world, superuser):
    ctx = world.north.context()
    run = await world.segmentation.start(ctx)
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    await superuser.execute("DELETE FROM customers WHERE external_id = 'c4'")
    _, members = await world.reads.members(ctx, "s2", None, None, 100)
    assert "c4" not in {one.external_id for one in members}
