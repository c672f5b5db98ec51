"""Events that are stored with the change that causes them, and handed to jobs at least once.

An event gets its place at the commit of its transaction, so events of one key are handled one after another
in the order of commits, whatever else is open. A claim leases the key: what a dead worker held comes back.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import Database
from cohortlens.core.ids import EventId, TenantId, plain_uuid, uuid7
from cohortlens.core.tracing import CURRENT, TRACEPARENT

LEASE_S = 30.0
MAX_ATTEMPTS = 20
# Claims beyond the attempts, in which a worker says that the event is dead; then the database says so.
_LAST_WORDS = 5
MAX_BACK_OFF_S = 3600.0
_MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True)
class Event:
    """A claimed event.

    Attributes:
        tenant_id: Tenant whose transaction recorded it.
        id: Identifier; handlers drop repeats by it.
        topic: What happened, such as ``import.requested``.
        key: Events of one key never run at the same time.
        payload: Identifiers, no personal data.
        attempts: How often it was claimed, this time included; over 20 when its worker died each time.
        worker_id: Who holds the claim.
        fence: Number of the claim; whoever comes with an older one has lost the event.
        traceparent: Trace of the call that recorded it; empty when nobody collected spans.
    """

    tenant_id: TenantId
    id: EventId
    topic: str
    key: str
    payload: dict[str, Any]
    attempts: int
    worker_id: str
    fence: int
    traceparent: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a worker has room for.

    Attributes:
        topic: Events of this topic.
        limit: Most events to take.
        lease_s: Seconds until they return unless settled, failed or extended.
    """

    topic: str
    limit: int
    lease_s: float = LEASE_S


class Outbox:
    """Records events in the caller's tenant transaction.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def record(self, topic: str, key: str, payload: dict[str, Any]) -> EventId:
        """Store an event; it exists if and only if the transaction commits.

        Args:
            topic: What happened.
            key: Order is kept within a tenant's key.
            payload: JSON object of identifiers.
        """
        event_id = EventId(uuid7())
        await self._tx.execute(
            text(
                "INSERT INTO outbox (id, topic, key, payload) "
                "VALUES (:id, :topic, :key, CAST(:payload AS jsonb))"
            ),
            {"id": event_id, "topic": topic, "key": key, "payload": payload_text(payload)},
        )
        return event_id


def payload_text(payload: dict[str, Any]) -> str:
    """A payload as it is stored: with the trace of the span at hand, so that the work of jobs joins it."""
    parent = CURRENT.get()
    return json.dumps({**payload, TRACEPARENT: parent} if parent else payload)


async def claim(db: Database, worker_id: str, wanted: Sequence[Wanted]) -> list[Event]:
    """Lease the keys that have waited longest and give the first open event of each.

    Args:
        db: Database as the runtime role.
        worker_id: Name of the process, unique among those alive.
        wanted: Topics it handles and how many events of each.
    """
    async with db.transaction() as tx:
        rows = await tx.execute(
            text(
                "SELECT * FROM app.outbox_claim(:worker, CAST(:topics AS text[]), "
                "CAST(:limits AS integer[]), CAST(:leases AS double precision[]), :most)"
            ),
            {
                "worker": worker_id,
                "topics": [one.topic for one in wanted],
                "limits": [one.limit for one in wanted],
                "leases": [one.lease_s for one in wanted],
                "most": MAX_ATTEMPTS + _LAST_WORDS,
            },
        )
        return [
            Event(
                TenantId(plain_uuid(row.tenant_id)),
                EventId(plain_uuid(row.id)),
                row.topic,
                row.key,
                row.payload,
                row.attempts,
                worker_id,
                row.fence,
                # The handler gets the payload as it was recorded.
                row.payload.pop(TRACEPARENT, ""),
            )
            for row in rows
        ]


async def extend(db: Database, event: Event, *, lease_s: float = LEASE_S) -> bool:
    """Hold a claim for ``lease_s`` more seconds from now; False when it was lost: stop the work."""
    return await _call(db, "app.outbox_extend(:tenant, :key, :worker, :fence, :lease)", event, lease=lease_s)


async def settle(db: Database, event: Event) -> bool:
    """Mark a claimed event done; False when the claim was lost and another worker has it."""
    return await _call(db, "app.outbox_settle(:tenant, :key, :worker, :fence)", event)


async def fail(
    db: Database, event: Event, error: str, retry_in_s: float | None = None, *, final: bool = False
) -> bool:
    """Give a claimed event back after a failure.

    Args:
        db: Database as the runtime role.
        event: The claimed event.
        error: What went wrong, for the operator; cut to 2,000 characters.
        retry_in_s: Seconds until it is due again; 2, 4, 8 ... up to an hour (with jitter) when omitted.
        final: Do not try again: the event is dead at once, as it is after 20 attempts.

    Returns:
        False when the claim was lost and another worker has it.
    """
    delay = back_off_s(event.attempts) if retry_in_s is None else retry_in_s
    dead = final or event.attempts >= MAX_ATTEMPTS
    return await _call(
        db,
        "app.outbox_fail(:tenant, :key, :worker, :fence, :error, CAST(:delay AS double precision))",
        event,
        error=error[:_MAX_ERROR_CHARACTERS],
        delay=None if dead else delay,
    )


async def purge(db: Database, keep_s: int = 7 * 86400) -> int:
    """Delete events settled more than ``keep_s`` seconds ago; answers how many. Dead ones stay."""
    async with db.transaction() as tx:
        return int(await tx.scalar(text("SELECT app.outbox_purge(:keep)"), {"keep": keep_s}) or 0)


def back_off_s(attempts: int) -> float:
    """Seconds to wait after a number of attempts: doubling from 2, at most an hour, up to a quarter less."""
    return min(2.0 ** min(attempts, 12), MAX_BACK_OFF_S) * random.uniform(0.75, 1.0)  # noqa: S311


async def _call(db: Database, function: str, event: Event, **values: Any) -> bool:
    arguments = {
        "tenant": event.tenant_id,
        "key": event.key,
        "worker": event.worker_id,
        "fence": event.fence,
        **values,
    }
    async with db.transaction() as tx:
        return bool(await tx.scalar(text(f"SELECT {function}"), arguments))
