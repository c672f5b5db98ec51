"""Upkeep by the clock: partitions ahead, forgotten uploads, settled events, models to hold ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import text

from cohortlens.analytics.warmup import remember_active
from cohortlens.core import outbox
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.telemetry import get_logger
from cohortlens.identity import access_changes
from cohortlens.jobs.handlers import Services
from cohortlens.jobs.resealing import reseal_all

PARTITIONED = ("predictions", "segments", "shadow_predictions", "audit_log", "access_log")
MONTHS_AHEAD = 3
_RETRY_S = 60.0
_LOG = get_logger(__name__)


@dataclass(frozen=True)
class Task:
    """Something done at start and then every ``interval_s`` seconds; answers how much it did."""

    name: str
    interval_s: float
    run: Callable[[Services], Awaitable[int]]


async def ensure_partitions(db: Database) -> int:
    """Make the missing monthly partitions of this month and the next three; answers how many."""
    made = 0
    async with db.transaction() as tx:
        for table in PARTITIONED:
            if await tx.scalar(text("SELECT to_regclass(:table)"), {"table": table}) is not None:
                made += await tx.scalar(
                    text("SELECT app.ensure_partitions(CAST(CAST(:table AS text) AS regclass), :months)"),
                    {"table": table, "months": MONTHS_AHEAD},
                )
    return made


async def _partitions(services: Services) -> int:
    return await ensure_partitions(services.db)


async def _sweep(services: Services) -> int:
    return await services.customers.work.sweep()


async def _sweep_batches(services: Services) -> int:
    return await services.analytics.batch_work.sweep()


async def _purge(services: Services) -> int:
    return await outbox.purge(services.db)


async def _remember_models(services: Services) -> int:
    return await remember_active(services.db, services.redis)


async def _make_tenant_keys(services: Services) -> int:
    return await services.tenant_keys.make_missing(services.db)


async def _reseal(services: Services) -> int:
    return await reseal_all(services.db, services.keyring)


async def _keep_signing_keys(services: Services) -> int:
    return await services.identity.core.keys.keep_up()


async def _purge_access_changes(services: Services) -> int:
    async with services.db.transaction() as tx:
        return await access_changes.purge(tx)


async def _tidy_programs(services: Services) -> int:
    return await services.identity.programs.tidy()


async def _seal_chains(services: Services) -> int:
    return await services.audit.checkpoints.seal_all()


async def _seal_months(services: Services) -> int:
    return await services.audit.checkpoints.seal_months()


async def _seal_access(services: Services) -> int:
    return await services.audit.access_sealing.seal_ended()


async def _sweep_exports(services: Services) -> int:
    return await services.audit.exports.sweep()


TASKS = (
    Task("keep_signing_keys", 3_600.0, _keep_signing_keys),
    Task("purge_access_changes", 3_600.0, _purge_access_changes),
    Task("tidy_programs", 3_600.0, _tidy_programs),
    Task("make_tenant_keys", 3_600.0, _make_tenant_keys),
    Task("reseal", 3_600.0, _reseal),
    Task("ensure_partitions", 86_400.0, _partitions),
    Task("seal_access_log", 20.0, _seal_access),
    Task("seal_audit_chains", 3_600.0, _seal_chains),
    Task("seal_audit_months", 3_600.0, _seal_months),
    Task("sweep_audit_exports", 3_600.0, _sweep_exports),
    Task("sweep_spool", 3_600.0, _sweep),
    Task("sweep_batches", 3_600.0, _sweep_batches),
    Task("purge_outbox", 3_600.0, _purge),
    Task("remember_models", 600.0, _remember_models),
)


async def keep_up(services: Services, tasks: tuple[Task, ...] = TASKS) -> None:
    """Run the tasks until cancelled; one that fails is tried again after a minute and holds up no other."""
    await asyncio.gather(*(_repeat(services, task) for task in tasks))


async def _repeat(services: Services, task: Task) -> None:
    while True:
        try:
            done = await task.run(services)
            _LOG.info("upkeep_done", task=task.name, count=done)
            pause = task.interval_s
        except (CohortLensError, OSError) as error:
            _LOG.warning("upkeep_failed", task=task.name, error=str(error))
            pause = min(_RETRY_S, task.interval_s)
        except Exception:
            _LOG.exception("upkeep_failed", task=task.name)
            pause = min(_RETRY_S, task.interval_s)
        await asyncio.sleep(pause)
