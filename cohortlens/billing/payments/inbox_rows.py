"""Statements about the inbox of the payment provider's events and about who works on which customer."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.payments.notifications import ProviderEvent
from cohortlens.core.ids import TenantId, plain_uuid

LEASE_S = 60.0
MAX_ATTEMPTS = 12
_FIRST_S, _LONGEST_S = 5.0, 3600.0
_OUTAGE_ATTEMPTS = 6
"""Attempts that an outage of the provider counts at most: however long it lasts, no event dies of it."""
_TOGETHER = 100
_ERROR_CHARACTERS = 1000


@dataclass(frozen=True)
class InboxEvent:
    """An event under work.

    Attributes:
        id: Identifier.
        type: Such as ``invoice.paid``.
        object_id: What it is about.
        refs: Identifiers that lead further.
        attempts: How often it was claimed, this time included.
    """

    id: str
    type: str
    object_id: str
    refs: Mapping[str, str]
    attempts: int


@dataclass(frozen=True)
class Claim:
    """A customer whose due events are one worker's for a while.

    Attributes:
        livemode: Whether it is about real money.
        customer_id: The customer; empty for one event that names none.
        tenant_id: Who it pays for; None while nobody is known.
        fetch_no: Number of the fetch that follows; a larger one began later. 0 without a customer.
        worker: Who has it.
        events: What was claimed.
    """

    livemode: bool
    customer_id: str
    tenant_id: TenantId | None
    fetch_no: int
    worker: str
    events: tuple[InboxEvent, ...]


_STORE = text(
    "SELECT app.billing_event_store(:id, :type, :livemode, :version, :customer, :object,"
    " CAST(:payload AS jsonb), :happened_at, :ignored)"
)
_OLDEST = text("""
SELECT e.event_id, e.customer_id FROM stripe_events e
  LEFT JOIN stripe_syncs s ON s.livemode = e.livemode AND s.customer_id = e.customer_id
   AND e.customer_id <> ''
 WHERE e.state = 'PENDING' AND e.livemode = :livemode AND e.next_try_at <= now()
   AND (s.until IS NULL OR s.until < clock_timestamp())
 ORDER BY e.next_try_at, e.event_id LIMIT 1 FOR UPDATE OF e SKIP LOCKED
""")
_TAKE_CUSTOMER = text("""
INSERT INTO stripe_syncs AS s (livemode, customer_id, owner, until, fetch_no)
VALUES (:livemode, :customer, :worker, clock_timestamp() + make_interval(secs => :lease), 1)
ON CONFLICT (livemode, customer_id) DO UPDATE
   SET owner = EXCLUDED.owner, until = EXCLUDED.until, fetch_no = s.fetch_no + 1
 WHERE s.until < clock_timestamp()
RETURNING fetch_no
""")
_TAKE_EVENTS = text("""
WITH mine AS (
  SELECT event_id FROM stripe_events
   WHERE state = 'PENDING' AND livemode = :livemode AND next_try_at <= now()
     AND (event_id = :event OR (customer_id = :customer AND :customer <> ''))
   ORDER BY received_at, event_id LIMIT :most FOR UPDATE SKIP LOCKED)
UPDATE stripe_events e
   SET attempts = e.attempts + 1, next_try_at = clock_timestamp() + make_interval(secs => :lease)
  FROM mine WHERE e.event_id = mine.event_id
RETURNING e.event_id, e.type, e.object_id, e.payload, e.attempts, e.received_at
""")
_HELD = text("""
SELECT event_id FROM stripe_events WHERE event_id = ANY (:ids) AND state = 'PENDING'
 ORDER BY event_id FOR UPDATE
""")
_STILL_MINE = text("""
SELECT EXISTS (SELECT FROM stripe_syncs WHERE livemode = :livemode AND customer_id = :customer
                  AND owner = :worker AND fetch_no = :fetch_no FOR UPDATE)
""")
_FREE = text("""
UPDATE stripe_syncs SET owner = '', until = '-infinity',
       synced_at = CASE WHEN :is_done THEN clock_timestamp() ELSE synced_at END
 WHERE livemode = :livemode AND customer_id = :customer AND owner = :worker AND fetch_no = :fetch_no
""")
_END = text("""
UPDATE stripe_events SET state = :state, ended_at = clock_timestamp(), last_error = :error
 WHERE event_id = ANY (:ids) AND state = 'PENDING'
""")
_LATER = text("""
UPDATE stripe_events SET last_error = :error, attempts = :attempts,
       next_try_at = clock_timestamp() + make_interval(secs => :delay)
 WHERE event_id = :id AND state = 'PENDING' AND attempts = :claimed
""")
_NAME_CUSTOMER = text("""
UPDATE stripe_events SET customer_id = :customer, attempts = 0, next_try_at = clock_timestamp()
 WHERE event_id = :id AND state = 'PENDING'
""")


class InboxRows:
    """The inbox.

    Args:
        tx: A connection inside any transaction; of the role of jobs for all but ``store``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def store(self, event: ProviderEvent, *, ignored: bool = False) -> bool:
        """Keep an event; False when it is there already."""
        values = {
            "id": event.id,
            "type": event.type,
            "livemode": event.livemode,
            "version": event.api_version,
            "customer": event.customer_id,
            "object": event.object_id,
            "payload": json.dumps(dict(event.refs)),
            "happened_at": event.created_at,
            "ignored": ignored,
        }
        return bool(await self._tx.scalar(_STORE, values))

    async def claim(self, worker: str, *, livemode: bool, lease_s: float = LEASE_S) -> Claim | None:
        """Take the oldest due event, and all that are due of its customer; None when there is none.

        Rows are locked events first, then the customer, here and in ``hold``: neither waits for the other
        crosswise.
        """
        oldest = (await self._tx.execute(_OLDEST, {"livemode": livemode})).one_or_none()
        if oldest is None:
            return None
        given = {"livemode": livemode, "customer": oldest.customer_id, "worker": worker, "lease": lease_s}
        fetch_no, tenant_id = 0, None
        if oldest.customer_id:
            fetch_no = await self._tx.scalar(_TAKE_CUSTOMER, given)
            if fetch_no is None:
                return None
            tenant_id = await self._tenant_of(oldest.customer_id, livemode=livemode)
        rows = await self._tx.execute(_TAKE_EVENTS, {**given, "event": oldest.event_id, "most": _TOGETHER})
        ordered = sorted(rows, key=lambda row: (row.received_at, row.event_id))
        return Claim(
            livemode, oldest.customer_id, tenant_id, fetch_no, worker, tuple(_event(row) for row in ordered)
        )

    async def hold(self, claim: Claim) -> bool:
        """Keep a claim from being taken over until the transaction ends; False when it was."""
        await self._tx.execute(_HELD, {"ids": [one.id for one in claim.events]})
        if not claim.customer_id:
            return True
        return bool(await self._tx.scalar(_STILL_MINE, _whose(claim)))

    async def done(self, events: Sequence[InboxEvent]) -> None:
        """Events are followed."""
        await self._end(events, "DONE", "")

    async def dead(self, events: Sequence[InboxEvent], error: str) -> None:
        """Events cannot be followed: an operator must look at them."""
        await self._end(events, "DEAD", error[:_ERROR_CHARACTERS])

    async def later(self, event: InboxEvent, error: str, *, is_outage: bool = False) -> bool:
        """Try an event again after a while; False when that was the last attempt and it is dead now.

        Args:
            event: The event.
            error: What went wrong, for the operator.
            is_outage: The provider was away: no attempt is lost by that.
        """
        if event.attempts >= MAX_ATTEMPTS and not is_outage:
            await self.dead([event], error)
            return False
        attempts = min(event.attempts, _OUTAGE_ATTEMPTS) if is_outage else event.attempts
        values = {
            "id": event.id,
            "error": error[:_ERROR_CHARACTERS],
            "attempts": attempts,
            "claimed": event.attempts,
            "delay": back_off_s(attempts),
        }
        await self._tx.execute(_LATER, values)
        return True

    async def name_customer(self, event: InboxEvent, customer_id: str) -> None:
        """Say whom an event is about; it is due at once, among that customer's."""
        await self._tx.execute(_NAME_CUSTOMER, {"id": event.id, "customer": customer_id})

    async def free(self, claim: Claim, *, is_done: bool) -> None:
        """Let others have the customer."""
        if claim.customer_id:
            await self._tx.execute(_FREE, {**_whose(claim), "is_done": is_done})

    async def purge(self, keep_s: float) -> int:
        """Drop events that ended well longer ago; dead ones stay."""
        done = await self._tx.execute(
            text(
                "DELETE FROM stripe_events WHERE state IN ('DONE', 'IGNORED')"
                " AND ended_at < clock_timestamp() - make_interval(secs => :keep)"
            ),
            {"keep": keep_s},
        )
        return int(done.rowcount)

    async def figures(self) -> tuple[int, int, float]:
        """How many wait, how many are dead, and the age in seconds of the oldest that waits."""
        row = (
            await self._tx.execute(
                text(
                    "SELECT count(*) FILTER (WHERE state = 'PENDING') AS waiting,"
                    " count(*) FILTER (WHERE state = 'DEAD') AS dead,"
                    " coalesce(extract(epoch FROM clock_timestamp()"
                    " - min(received_at) FILTER (WHERE state = 'PENDING')), 0) AS age"
                    " FROM stripe_events WHERE state IN ('PENDING', 'DEAD')"
                )
            )
        ).one()
        return int(row.waiting), int(row.dead), float(row.age)

    async def _tenant_of(self, customer_id: str, *, livemode: bool) -> TenantId | None:
        found = await self._tx.scalar(
            text("SELECT app.billing_tenant_of(:customer, :livemode)"),
            {"customer": customer_id, "livemode": livemode},
        )
        return None if found is None else TenantId(plain_uuid(found))

    async def _end(self, events: Sequence[InboxEvent], state: str, error: str) -> None:
        if events:
            await self._tx.execute(_END, {"ids": [one.id for one in events], "state": state, "error": error})


def back_off_s(attempts: int) -> float:
    """Seconds until the next attempt: 5, 10, 20 ... up to an hour, up to a quarter less."""
    return min(_FIRST_S * 2.0 ** (max(attempts, 1) - 1), _LONGEST_S) * random.uniform(0.75, 1.0)  # noqa: S311


def _whose(claim: Claim) -> dict[str, Any]:
    return {
        "livemode": claim.livemode,
        "customer": claim.customer_id,
        "worker": claim.worker,
        "fetch_no": claim.fetch_no,
    }


def _event(row: Row[Any]) -> InboxEvent:
    return InboxEvent(row.event_id, row.type, row.object_id, row.payload, row.attempts)
