"""Runs as resources: never two states of the data in one, listed, cancelled, compared."""

from __future__ import annotations

import pytest

from cohortlens.analytics import segmentation
from cohortlens.analytics.models import ResourceMissing, RunNotPublished, WorkState
from cohortlens.analytics.segment_moves import SegmentMoves
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from tests.fakes.inference import workers_away
from tests.fakes.models import open_shop
from tests.fixtures.consents import decide


async def half_done(world):
    """A run of which 16 of 40 customers are assigned."""
    run = await world.segmentation.start(world.north.context())
    world.client.faults = [None, workers_away("segmentation")]
    with pytest.raises(Unavailable):
        await world.segmentation.run(world.north.tenant_id, run.run_id)
    return run


async def test_a_run_into_which_an_import_comes_begins_anew_and_mixes_no_two_days(world, superuser, tmp_path):
    run = await half_done(world)
    # Ten more customers, of whom those numbered 3 and 4 modulo 5 buy often.
    await open_shop(world.db, world.north, tmp_path / "more", customers=10, prefix="new")
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    ended, segments = await world.reads.segments(world.north.context(), run.run_id)
    assert (ended.state, ended.customers, ended.restarts) == (WorkState.SUCCEEDED, 50, 1)
    assert sum(one.size for one in segments) == 50
    revisions = "SELECT count(DISTINCT data_revision) FROM customer_features"
    assert await superuser.fetchval(revisions) == 1
    assert ended.data_revision == await superuser.fetchval("SELECT min(data_revision) FROM customer_features")


async def test_a_run_gives_up_when_imports_never_leave_it_time(world, monkeypatch, tmp_path):
    monkeypatch.setattr(segmentation, "MOST_RESTARTS", 0)
    run = await half_done(world)
    await open_shop(world.db, world.north, tmp_path / "more", customers=10, prefix="new")
    await world.segmentation.run(world.north.tenant_id, run.run_id)
    ended = await world.reads.run(world.north.context(), run.run_id)
    assert (ended.state, ended.error_reason) == (WorkState.FAILED, "DATA_CHANGING")


async def test_a_cancelled_run_assigns_nobody_and_the_published_one_stays(world, superuser):
    ctx, tenant = world.north.context(), world.north.tenant_id
    published = await world.segmentation.start(ctx)
    await world.segmentation.run(tenant, published.run_id)
    run = await half_done(world)
    cancelled = await world.segmentation.cancel(ctx, run.run_id)
    assert cancelled.state is WorkState.CANCELLED
    assert await world.segmentation.cancel(ctx, run.run_id) == cancelled
    await world.segmentation.run(tenant, run.run_id)
    assert await superuser.fetchval("SELECT count(*) FROM segments WHERE run_id = $1", run.run_id) == 0
    assert (await world.reads.segments(ctx, None))[0].run_id == published.run_id
    actions = await superuser.fetch(
        "SELECT action FROM audit_log WHERE action LIKE '%segmentation.cancelled'"
    )
    assert len(actions) == 1
    # One that has ended stays as it is.
    assert (await world.segmentation.cancel(ctx, published.run_id)).state is WorkState.SUCCEEDED


async def test_runs_are_listed_newest_first_page_by_page(world):
    ctx = world.north.context()
    started = [await world.segmentation.start(ctx) for _ in range(3)]
    first = await world.reads.runs(ctx, None, 2)
    assert [one.run_id for one in first] == [started[2].run_id, started[1].run_id]
    assert [one.run_id for one in await world.reads.runs(ctx, first[-1].run_id, 2)] == [started[0].run_id]
    assert await world.reads.runs(world.south.context(), None, 2) == []


async def test_movements_count_each_customer_once_with_those_who_came_and_went(world, superuser, tmp_path):
    ctx, tenant, moves = world.north.context(), world.north.tenant_id, SegmentMoves(world.db)
    with pytest.raises(RunNotPublished):
        await moves.compare(ctx, None, None)
    base = await world.segmentation.start(ctx)
    await world.segmentation.run(tenant, base.run_id)
    with pytest.raises(RunNotPublished):
        await moves.compare(ctx, None, None)
    # c2 and c7 reach the three repeats of the loyal: column x is the first float of the vector.
    await open_shop(world.db, world.north, tmp_path / "more", customers=15, prefix="new")
    await superuser.execute(
        "UPDATE customer_features f SET vector = overlay(vector PLACING decode('00004040', 'hex') FROM 1 FOR 4) "
        "FROM customers c WHERE c.id = f.customer_id AND c.external_id IN ('c2', 'c7')"
    )
    later = await world.segmentation.start(ctx)
    await world.segmentation.run(tenant, later.run_id)
    await superuser.execute("DELETE FROM segments WHERE run_id = $1 AND external_id = 'c0'", later.run_id)
    found = await moves.compare(ctx, None, None)
    assert (found.base.run_id, found.later.run_id) == (base.run_id, later.run_id)
    cells = {(one.base_key, one.later_key): one.customers for one in found.movements}
    assert cells == {
        ("s1", "s1"): 21,
        ("s2", "s2"): 16,
        ("s1", "s2"): 2,
        ("s1", ""): 1,
        ("", "s1"): 9,
        ("", "s2"): 6,
    }
    assert found.stayed_ratio == pytest.approx(37 / 39)
    assert found.names == {"s1": "New", "s2": "Loyal"}
    same = await moves.compare(ctx, base.run_id, base.run_id)
    assert (same.stayed_ratio, same.adjusted_rand_index) == (1.0, 1.0)
    await decide(world.db, tenant, ["c2"], "WITHDRAWN", "profiling")
    found = await moves.compare(ctx, None, None)
    assert {one.customers for one in found.movements if (one.base_key, one.later_key) == ("s1", "s2")} == {1}
    for base_id, later_id in ((uuid7(), None), (None, uuid7())):
        with pytest.raises(ResourceMissing):
            await moves.compare(ctx, base_id, later_id)
    with pytest.raises(ResourceMissing):
        await moves.compare(world.south.context(), base.run_id, later.run_id)
