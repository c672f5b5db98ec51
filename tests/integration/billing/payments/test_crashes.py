"""``kill -9`` after each step between the inbox and the applied event: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cohortlens.core.clock import now
from tests.fakes.scripted_provider import event
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).resolve().parents[4]
BILLED = (now() - timedelta(hours=1)).isoformat()
POINTS = ["billing.claimed", "billing.fetched", "billing.applying", "billing.applied"]


async def start(urls, point: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.inbox_process",
        urls.jobs,
        point,
        BILLED,
        cwd=ROOT,
        env=dict(os.environ),
    )


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.fixture
async def healthy(postgres_urls):
    """Two workers side by side that nothing happens to."""
    workers = [await start(postgres_urls, "") for _ in range(2)]
    yield workers
    for worker in workers:
        await stop(worker)


async def test_a_kill_after_any_step_loses_nothing_and_repeats_nothing(
    superuser, shop, postgres_urls, deliver, seen, events, mails, healthy
):
    for worker in healthy:
        worker.send_signal(signal.SIGSTOP)
    told = []
    for number, point in enumerate(POINTS):
        name = f"evt_{number}"
        await deliver(event(name, "invoice.payment_failed", "in_9"))
        doomed = await start(postgres_urls, point)
        assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL, point
        row = (await events())[name]
        # Only a commit that was complete may have ended it.
        assert row["state"] == ("DONE" if point == "billing.applied" else "PENDING"), point
        for worker in healthy:
            worker.send_signal(signal.SIGCONT)

        async def is_done(name: str = name) -> bool:
            return (await events())[name]["state"] == "DONE"

        await eventually(is_done, 15.0, f"{name} is followed after {point}")
        for worker in healthy:
            worker.send_signal(signal.SIGSTOP)
        told.append("billing_payment_failed")
        assert await mails() == told, point
    found = await seen()
    assert (found["subscription"]["status"], found["plan"]) == ("PAST_DUE", "professional")
    changes = await superuser.fetchval(
        "SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND action = 'billing.subscription.changed'",
        shop.tenant_id,
    )
    assert changes == 1
    for worker in healthy:
        worker.send_signal(signal.SIGCONT)


async def test_several_workers_follow_a_flood_of_events_of_a_few_customers_once_each(
    superuser, shop, postgres_urls, deliver, events, mails, healthy
):
    await deliver(*(event(f"evt_{number}", "invoice.payment_failed", "in_9") for number in range(40)))

    async def all_done() -> bool:
        return {row["state"] for row in (await events()).values()} == {"DONE"}

    await eventually(all_done, 20.0, "all are followed")
    assert len(await mails()) == 40
    marks = await superuser.fetchval(
        "SELECT count(*) FROM billing_marks WHERE tenant_id = $1 AND kind = 'NOTICE'", shop.tenant_id
    )
    assert marks == 40
