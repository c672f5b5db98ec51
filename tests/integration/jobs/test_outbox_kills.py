"""Producers and jobs are killed with -9 at random moments: each event has its effect, in the order of its key."""

from __future__ import annotations

from load.bench.outbox_gateways import soak_gateways
from load.bench.outbox_soak import soak


async def test_no_event_is_lost_or_overtaken_while_producers_and_jobs_are_killed(
    database, postgres_urls, redis_url
):
    found = await soak(
        postgres_urls.superuser,
        postgres_urls.jobs,
        redis_url,
        400,
        processes=(2, 2),
        pause_s=(0.5, 1.5),
        kills=2,
    )
    assert found.committed >= 400
    assert found.producers_killed + found.jobs_killed >= 2
    assert (found.lost, found.overtaken, found.unfinished) == (0, 0, 0)
    assert found.effects == found.committed


async def test_no_event_of_an_answered_call_is_lost_or_overtaken_while_gateways_and_jobs_are_killed(
    database, postgres_urls, redis_url
):
    found = await soak_gateways(
        postgres_urls.superuser,
        postgres_urls.runtime,
        postgres_urls.jobs,
        redis_url,
        200,
        processes=(2, 2),
        pause_s=(0.5, 1.5),
        kills=2,
    )
    assert found.answered >= 200
    assert min(found.gateways_killed, found.jobs_killed) >= 1
    assert (found.vanished, found.lost, found.overtaken, found.unfinished) == (0, 0, 0, 0)
    assert found.handled == found.committed >= found.answered
