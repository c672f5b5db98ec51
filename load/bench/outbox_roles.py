"""The processes of ``make soak-outbox`` that are killed: ``python -m load.bench.outbox_roles ROLE ...``.

``producer DATABASE TENANT...`` records events until it is killed; ``jobs DATABASE REDIS`` handles them;
``witness DATABASE REDIS`` takes the events of real gateways and writes down what they are about. A row
of ``soak_counters`` per key, changed in the producer's transaction, numbers the events of the key without the
help of the outbox; the handler writes down what it saw.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from cohortlens.audit.exports import EXPORT_REQUESTED
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.outbox import Event, Outbox
from cohortlens.core.redis import RedisClient, redis_client
from cohortlens.customers.models import IMPORT_REQUESTED
from cohortlens.identity.sessions.keeper import SESSION_REVOKED
from cohortlens.jobs.handlers import Handler
from cohortlens.jobs.runner import Runner

TOPIC = "soak.happened"
KEYS = 16
WITNESSED = {IMPORT_REQUESTED: "import_id", EXPORT_REQUESTED: "export_id", SESSION_REVOKED: "session_id"}
"""What names the subject of an event, by topic: all that a gateway records without workers."""
LEASE_S = 3.0
_HOT_RATIO = 0.3
_ROLLED_BACK_RATIO = 0.1
_SLOW_RATIO = 0.02
_FAILING_RATIO = 0.003
_WRITERS = 4
_COUNT = """
INSERT INTO soak_counters AS c (tenant_id, key, n) VALUES (app.tid(), :key, 1)
ON CONFLICT (tenant_id, key) DO UPDATE SET n = c.n + 1 RETURNING n
"""


class _Halt(Exception):
    """Rolls a transaction back on purpose."""


@dataclass(frozen=True)
class SoakServices:
    """What the runner needs of the services; the handler uses the database only."""

    db: Database
    redis: RedisClient


async def _produce(database_url: str, tenants: list[UUID]) -> None:
    db = Database(database_url, _WRITERS)
    await asyncio.gather(*(_record_for_ever(db, tenants) for _ in range(_WRITERS)))


async def _record_for_ever(db: Database, tenants: list[UUID]) -> None:
    while True:
        try:
            await _record_one(db, random.choice(tenants))
        except _Halt:
            continue
        except CohortLensError:
            await asyncio.sleep(0.2)


async def _record_one(db: Database, tenant: UUID) -> None:
    key = "hot" if random.random() < _HOT_RATIO else f"key-{random.randrange(KEYS)}"
    async with db.tenant_transaction(tenant) as tx:
        n = await tx.scalar(text(_COUNT), {"key": key})
        await Outbox(tx).record(TOPIC, key, {"n": n})
        if random.random() < _SLOW_RATIO:
            await asyncio.sleep(random.uniform(0.0, 0.2))
        if random.random() < _ROLLED_BACK_RATIO:
            raise _Halt


async def handle(services: SoakServices, event: Event) -> None:
    """Write down that the event was seen; its effect exists once, however often it is seen."""
    async with services.db.tenant_transaction(event.tenant_id) as tx:
        await tx.execute(
            text("INSERT INTO soak_effects (event_id) VALUES (:id) ON CONFLICT DO NOTHING"), {"id": event.id}
        )
        await tx.execute(
            text("INSERT INTO soak_handled (tenant_id, key, n, event_id) VALUES (app.tid(), :key, :n, :id)"),
            {"key": event.key, "n": event.payload["n"], "id": event.id},
        )
    # Between the effect and its mark: whoever is killed here makes a duplicate.
    await asyncio.sleep(random.uniform(0.0, 0.01))
    if random.random() < _FAILING_RATIO:
        raise ValueError("fails now and then")


async def witness(services: SoakServices, event: Event) -> None:
    """Write down what an event of a gateway is about; the work that it asks for is not done."""
    async with services.db.tenant_transaction(event.tenant_id) as tx:
        await tx.execute(
            text("INSERT INTO soak_seen (tenant_id, topic, subject) VALUES (app.tid(), :topic, :subject)"),
            {"topic": event.topic, "subject": UUID(event.payload[WITNESSED[event.topic]])},
        )
    await asyncio.sleep(random.uniform(0.0, 0.01))
    if random.random() < _FAILING_RATIO:
        raise ValueError("fails now and then")


async def _work(database_url: str, redis_url: str, run: Any, topics: Iterable[str]) -> None:
    services = SoakServices(Database(database_url, 8), redis_client(redis_url))
    handlers = {topic: Handler(run, concurrency=16, max_attempts=20) for topic in topics}
    runner = Runner(services, handlers, f"soak.{os.getpid()}", lease_s=LEASE_S, tasks=())  # type: ignore[arg-type]
    await runner.run(asyncio.Event())


def main(role: str, *arguments: str) -> None:
    """Run until killed."""
    if role == "producer":
        asyncio.run(_produce(arguments[0], [UUID(tenant) for tenant in arguments[1:]]))
    elif role == "witness":
        asyncio.run(_work(*arguments, witness, WITNESSED))  # type: ignore[call-arg]
    else:
        asyncio.run(_work(*arguments, handle, [TOPIC]))  # type: ignore[call-arg]


if __name__ == "__main__":
    main(*sys.argv[1:])
