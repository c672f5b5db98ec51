"""A jobs process for batches, so that a test can kill it: arguments are database, Redis, artifacts, lease, pause.

The scorer is the stand-in, with a pause before each slice; everything else is the real thing.
"""

import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from cohortlens.analytics.batches.models import BATCH_REQUESTED
from cohortlens.analytics.batches.work import BatchWork
from cohortlens.billing.usage.charges import WorkCharges
from cohortlens.core.db import Database
from cohortlens.core.paging import PageTokens
from cohortlens.core.redis import RedisClient, redis_client
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.frozen import FeatureFreezer
from cohortlens.customers.lookup import FeatureLookup
from cohortlens.customers.service import CustomersService
from cohortlens.jobs.handlers import HANDLERS
from cohortlens.jobs.runner import Runner
from cohortlens.registry.service import RegistryService
from tests.fakes.batches import FakeBatchScorer

SLICE_ROWS = 200


@dataclass
class BatchJobServices:
    db: Database
    redis: RedisClient
    analytics: SimpleNamespace


class SlowScorer(FakeBatchScorer):
    """Takes its time, so that a kill meets a batch in the middle."""

    pause_s = 0.0

    async def score_slices(self, order):
        async for one in super().score_slices(order):
            await asyncio.sleep(self.pause_s)
            yield one


def services_of(db, redis, artifacts, pause_s=0.0):
    """What the handlers of batches use."""
    lookup = FeatureLookup(
        db, CustomersService(db, artifacts / "spool", PageTokens(b"k" * 32), TenantKeys(b"k" * 32))
    )
    scorer = SlowScorer(artifacts)
    scorer.pause_s = pause_s
    work = BatchWork(
        db,
        RegistryService(db),
        FeatureFreezer(db, lookup),
        scorer,
        WorkCharges(db, "jobs"),
        artifacts,
        slice_rows=SLICE_ROWS,
    )
    return BatchJobServices(db, redis, SimpleNamespace(batch_work=work))


def handlers_of(lease_s):
    """The real handler of batches, with a lease that a test can wait for."""
    return {BATCH_REQUESTED: replace(HANDLERS[BATCH_REQUESTED], lease_s=lease_s)}


async def main(database_url, redis_url, artifacts, lease_s, pause_s):
    services = services_of(
        Database(database_url, 4), redis_client(redis_url), Path(artifacts), float(pause_s)
    )
    name = f"batch-process-{id(services)}"
    await Runner(services, handlers_of(float(lease_s)), name, tasks=()).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
