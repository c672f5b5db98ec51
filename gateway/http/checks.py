"""What the gateway depends on, as its health paths and probes look at it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cohortlens.core import findings
from cohortlens.core.errors import Unavailable
from cohortlens.core.redis import key
from cohortlens.core.settings import CoreConfig
from cohortlens.migrations import runner
from gateway.http.health import Check, Finding

if TYPE_CHECKING:
    from cohortlens.bootstrap.services import Services

DOWN_AFTER_S = 5.0
RETRY_S = 1.0
SCORING = ("prediction", "segmentation", "explanation")


async def migrated(core: CoreConfig) -> None:
    """Raise Unavailable until the schema is at least as new as the code."""
    try:
        revision = await asyncio.to_thread(runner.current, core.database_url)
    except Exception as error:
        raise Unavailable(
            "PostgreSQL does not answer", reason="DATABASE_UNAVAILABLE", retry_delay_s=RETRY_S
        ) from error
    # Revisions are numbered, so their order is that of their names; a newer schema serves older code.
    if revision is None or revision < runner.head():
        raise Unavailable(
            f"the database is at revision {revision}, the code needs {runner.head()}: run cohortlens migrate",
            reason="DATABASE_NOT_MIGRATED",
            retry_delay_s=RETRY_S,
        )


def http_checks(core: CoreConfig, services: Services) -> list[Check]:
    """What ``/readyz`` and ``/api/v1/health`` look at."""

    async def postgres() -> Finding:
        await services.db.ping()
        return Finding()

    async def migrations() -> Finding:
        await migrated(core)
        return Finding()

    async def redis() -> Finding:
        await services.redis.ping()
        return Finding()

    async def workers() -> Finding:
        replicas = await services.inference.live_replicas()
        return Finding(degraded=not all(replicas.get(one) for one in SCORING), replicas=replicas)

    async def jobs() -> Finding:
        return Finding(degraded=not await services.redis.exists(key("jobs", "heartbeat")))

    # Jobs look once for all processes; what they did not tell for minutes counts as degraded.
    async def outbox() -> Finding:
        found = await findings.read(services.redis, "outbox")
        return Finding(degraded=bool(found.get("dead", 1) or found["late"]))

    async def smtp() -> Finding:
        found = await findings.read(services.redis, "smtp")
        return Finding(degraded=not found.get("up", False))

    async def partitions() -> Finding:
        found = await findings.read(services.redis, "partitions")
        return Finding(degraded=bool(found.get("behind", True)))

    return [
        Check("postgres", postgres, required=True, grace_s=DOWN_AFTER_S),
        Check("migrations", migrations, required=True, grace_s=DOWN_AFTER_S),
        Check("redis", redis),
        Check("workers", workers),
        Check("jobs", jobs),
        Check("outbox", outbox),
        Check("smtp", smtp),
        Check("partitions", partitions),
    ]
