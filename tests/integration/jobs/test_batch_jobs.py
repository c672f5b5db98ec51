"""Batches worked on by jobs processes that are killed on the way."""

import asyncio
import signal
import sys

from cohortlens.analytics.batches.models import BATCH_REQUESTED
from cohortlens.analytics.batches.service import BatchesService
from cohortlens.analytics.models import Task, WorkState
from cohortlens.jobs.handlers import HANDLERS
from cohortlens.jobs.runner import Runner
from cohortlens.registry.service import RegistryService
from tests.fakes.models import install, open_shop, prediction_manifest
from tests.integration.jobs import batch_process

CUSTOMERS = 3000
LEASE_S = 1.0


async def test_a_batch_whose_jobs_process_is_killed_twice_scores_every_customer_once(
    database, tenants, redis_client, redis_url, postgres_urls, superuser, tmp_path, eventually
):
    tenant = tenants[0]
    registry, artifacts = RegistryService(database), tmp_path / "artifacts"
    await open_shop(database, tenant, tmp_path / "spool", customers=CUSTOMERS)
    await install(registry, database, tenant.tenant_id, prediction_manifest())
    batches = BatchesService(database, registry, artifacts)
    batch = await batches.start(tenant.context(), Task.SPEND, 90, all_customers=True, input_id=None)

    async def look():
        return await batches.get(tenant.context(), batch.batch_id)

    for share in (0.2, 0.5):
        process = await asyncio.create_subprocess_exec(
            sys.executable, batch_process.__file__, postgres_urls.jobs, redis_url, str(artifacts),
            str(LEASE_S), "0.1",
        )  # fmt: skip
        try:
            await eventually(lambda s=share: _reached(look, s), f"{share:.0%} of the rows are done")
        finally:
            process.kill()
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGKILL

    cut = await look()
    assert cut.state is WorkState.RUNNING
    assert 0 < cut.rows_done < CUSTOMERS
    services = batch_process.services_of(database, redis_client, artifacts)
    stop = asyncio.Event()
    runner = asyncio.create_task(
        Runner(services, batch_process.handlers_of(LEASE_S), "last", tasks=()).run(stop)
    )
    try:
        await eventually(lambda: _reached(look, 1.0), "another process ends the batch after the lease")
    finally:
        stop.set()
        await asyncio.wait_for(runner, 30)
    done = await look()
    assert (done.state, done.rows, done.rows_done, done.rows_skipped) == (
        WorkState.SUCCEEDED, CUSTOMERS, CUSTOMERS, 0,
    )  # fmt: skip
    times = await superuser.fetch(
        "SELECT times, count(*) AS customers FROM (SELECT c.id, count(p.id) AS times FROM customers c "
        "LEFT JOIN predictions p ON p.customer_id = c.id GROUP BY c.id) counted GROUP BY times"
    )
    assert [(row["times"], row["customers"]) for row in times] == [(1, CUSTOMERS)]
    assert await superuser.fetchval("SELECT attempts FROM outbox WHERE topic = 'batch.requested'") >= 3


async def _reached(look, share):
    found = await look()
    return found.progress_ratio >= share


def test_a_claim_of_a_batch_is_short_and_one_tenant_never_holds_every_place():
    handler = HANDLERS[BATCH_REQUESTED]
    assert handler.lease_s is not None
    assert handler.lease_s <= 10
    assert handler.concurrency > 1
