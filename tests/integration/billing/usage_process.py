"""A process that stores a batch of usage events, keeps it in its spool, writes another one, and is killed."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cohortlens.billing.usage import events as usage_events
from cohortlens.billing.usage.models import API_CALLS, UsageEvent
from cohortlens.billing.usage.spool import Spool
from cohortlens.core.db import Database


async def main(database_url: str, folder: str, tenant: str) -> None:
    period = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    one = UsageEvent(
        UUID(tenant), API_CALLS, period, time.time_ns() // 1000, "/M", "user:a", 1, 1, "OK", "request-1"
    )
    db, spool = Database(database_url, 1), Spool.create(Path(folder))
    spool.append([one] * 10)
    batch, _ = spool.next()
    async with db.transaction() as tx:
        await usage_events._append(tx, batch, list(batch.events))
    spool.append([one] * 7)
    sys.stdout.write("on disk\n")
    sys.stdout.flush()
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(*sys.stdin.readline().split()))
