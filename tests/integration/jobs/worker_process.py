"""A jobs process of its own, so that a test can kill it: arguments are database, Redis, spool folder, lease."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from cohortlens.core.db import Database
from cohortlens.core.paging import PageTokens
from cohortlens.core.redis import RedisClient, redis_client
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import IMPORT_REQUESTED
from cohortlens.customers.service import CustomersService
from cohortlens.jobs.handlers import HANDLERS
from cohortlens.jobs.runner import Runner


@dataclass
class JobServices:
    db: Database
    redis: RedisClient
    customers: CustomersService


async def main(database_url, redis_url, spool, lease_s):
    db = Database(database_url, 4)
    customers = CustomersService(db, Path(spool), PageTokens(b"k" * 32), TenantKeys(b"k" * 32))
    services = JobServices(db, redis_client(redis_url), customers)
    handlers = {IMPORT_REQUESTED: HANDLERS[IMPORT_REQUESTED]}
    await Runner(services, handlers, "worker-process", lease_s=float(lease_s), tasks=()).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
