"""What an operator does with the outbox: look, try again, give up; and the figures that are watched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import Database
from cohortlens.core.ids import plain_uuid

_MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class SeenEvent:
    """An event as an operator sees it.

    Attributes:
        id: Identifier.
        tenant_id: Tenant whose transaction recorded it.
        topic: What happened.
        key: Events of one key run one after another.
        state: ``WAITING RUNNING RETRYING DEAD DISCARDED DONE``.
        attempts: How often it was tried.
        behind: Events of its key that wait after it.
        last_error: What went wrong last; empty when nothing did.
        worker: Process that holds it; empty when none does.
        created_at: When it was recorded.
        due_at: When it is tried next; none unless it is the first of its key.
        dead_at: When it was given up.
        payload: Identifiers.
    """

    id: UUID
    tenant_id: UUID
    topic: str
    key: str
    state: str
    attempts: int
    behind: int
    last_error: str
    worker: str
    created_at: datetime
    due_at: datetime | None
    dead_at: datetime | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """One topic.

    Attributes:
        topic: Its name.
        open: Events that wait or run.
        dead: Events that were given up and not discarded.
        oldest_s: Seconds since the oldest open one was recorded; 0 when none is open.
    """

    topic: str
    open: int
    dead: int
    oldest_s: float


Note: TypeAlias = Callable[[AsyncConnection, SeenEvent], Awaitable[None]]


async def seen(db: Database, state: str, topic: str, limit: int) -> list[SeenEvent]:
    """Events in the order of their places.

    Args:
        db: Database as the role of jobs.
        state: ``DEAD``, ``OPEN``, or one of the states that are open.
        topic: Only this one; all when empty.
        limit: Most events to give.
    """
    return await _listed(db, state, topic or None, None, limit)


async def find(db: Database, event_id: UUID) -> SeenEvent | None:
    """One event in whatever state, None when there is none of this id."""
    found = await _listed(db, "OPEN", None, event_id, 1)
    return found[0] if found else None


async def retry(db: Database, event_ids: Sequence[UUID], note: Note | None = None) -> list[UUID]:
    """Bring dead events back, each before all that wait in its key; open ones are due at once.

    Args:
        db: Database as the role of jobs.
        event_ids: Which.
        note: Called in the transaction of each change, as its last act.

    Returns:
        Those that changed.
    """
    return await _each(db, "app.outbox_retry", event_ids, note)


async def retry_dead(db: Database, topic: str = "", note: Note | None = None) -> list[UUID]:
    """Bring all dead events back, or those of a topic; answers which."""
    done: list[UUID] = []
    while batch := await seen(db, "DEAD", topic, _MOST_AT_ONCE):
        changed = await retry(db, [event.id for event in batch], note)
        done += changed
        if not changed:
            break
    return done


async def discard(db: Database, event_ids: Sequence[UUID], note: Note | None = None) -> list[UUID]:
    """Give events up for good; answers which. One that runs right now is left as it is."""
    return await _each(db, "app.outbox_discard", event_ids, note)


async def figures(db: Database) -> list[Figures]:
    """Topics that have open or dead events."""
    async with db.transaction() as tx:
        rows = await tx.execute(text("SELECT * FROM app.outbox_figures() ORDER BY topic"))
        return [Figures(row.topic, row.open, row.dead, float(row.oldest_s)) for row in rows]


async def repair(db: Database) -> int:
    """Make the missing rows of keys that have open events, as after a partial restore; answers how many."""
    async with db.transaction() as tx:
        return int(await tx.scalar(text("SELECT app.outbox_repair()")) or 0)


async def _each(db: Database, function: str, event_ids: Sequence[UUID], note: Note | None) -> list[UUID]:
    done = []
    for event_id in event_ids:
        event = await find(db, event_id)
        if event is None:
            continue
        async with db.tenant_transaction(event.tenant_id) as tx:
            values = {"tenant": event.tenant_id, "event": event_id}
            is_done = await tx.scalar(text(f"SELECT {function}(:tenant, :event)"), values)
            if is_done and note is not None:
                await note(tx, event)
        if is_done:
            done.append(event_id)
    return done


async def _listed(
    db: Database, state: str, topic: str | None, event_id: UUID | None, limit: int
) -> list[SeenEvent]:
    query = text("SELECT * FROM app.outbox_list(:state, CAST(:topic AS text), CAST(:event AS uuid), :most)")
    async with db.transaction() as tx:
        rows = await tx.execute(query, {"state": state, "topic": topic, "event": event_id, "most": limit})
        return [
            SeenEvent(
                id=plain_uuid(row.id),
                tenant_id=plain_uuid(row.tenant_id),
                topic=row.topic,
                key=row.key,
                state=row.state,
                attempts=row.attempts,
                behind=row.behind,
                last_error=row.last_error or "",
                worker=row.worker or "",
                created_at=row.created_at,
                due_at=row.due_at,
                dead_at=row.dead_at,
                payload=row.payload,
            )
            for row in rows
        ]
