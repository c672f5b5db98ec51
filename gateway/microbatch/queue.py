"""Rows that wait, in turn by tenant."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple

from cohortlens.analytics.ports import Features, Scores

if TYPE_CHECKING:
    from gateway.microbatch.lane import Batch


class Key(NamedTuple):
    """What rows must share to travel together."""

    deployment: str
    artifact_digest: str
    schema_hash: str
    target: str
    columns: int


class Part:
    """Consecutive rows of one call, at most a batch of them.

    Attributes:
        key: What they share with the rows of their batch.
        tenant: Whose call it is.
        features: The rows, shape (n, columns), float32.
        rows: n.
        deadline: Monotonic time by which the answer must be there.
        queued_at: Monotonic time of arrival.
        future: Gets the scores, or the fault.
        batch: The batch under way with these rows; None before and after.
        sent_at: Monotonic time at which its batch left; 0 before.
        done_at: Monotonic time at which its answer was there; 0 before.
        traceparent: Trace of its call; empty while nobody collects spans.
    """

    __slots__ = (
        "batch",
        "deadline",
        "done_at",
        "features",
        "future",
        "key",
        "queued_at",
        "rows",
        "sent_at",
        "tenant",
        "traceparent",
    )

    def __init__(
        self,
        key: Key,
        tenant: str,
        features: Features,
        deadline: float,
        queued_at: float,
        future: asyncio.Future[Scores],
    ) -> None:
        self.key = key
        self.tenant = tenant
        self.features = features
        self.rows = len(features)
        self.deadline = deadline
        self.queued_at = queued_at
        self.future = future
        self.batch: Batch | None = None
        self.sent_at = self.done_at = 0.0
        self.traceparent = ""


class Queue:
    """Waiting parts of one deployment: tenant -> key -> parts, tenants and keys in turn.

    Attributes:
        rows: Rows that wait.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._tenants: OrderedDict[str, OrderedDict[Key, deque[Part]]] = OrderedDict()
        self._rows: dict[str, int] = {}

    def put(self, part: Part) -> None:
        """Add rows behind those of their tenant and key."""
        keys = self._tenants.get(part.tenant)
        if keys is None:
            keys = self._tenants[part.tenant] = OrderedDict()
        waiting = keys.get(part.key)
        if waiting is None:
            waiting = keys[part.key] = deque()
        waiting.append(part)
        self.rows += part.rows
        self._rows[part.tenant] = self._rows.get(part.tenant, 0) + part.rows

    def rows_of(self, tenant: str) -> int:
        """Rows of one tenant that wait."""
        return self._rows.get(tenant, 0)

    def share(self, tenant: str, limit: int) -> int:
        """How many of ``limit`` rows a tenant may hold while others wait too."""
        return limit // (len(self._rows) + (tenant not in self._rows))

    def ahead(self, tenant: str, rows: int) -> int:
        """Rows that are sent before the last of ``rows`` more of a tenant, all tenants taking turns."""
        until = self.rows_of(tenant) + rows
        others = sum(min(count, until) for name, count in self._rows.items() if name != tenant)
        return others + until

    def next_rows(self) -> int:
        """Rows of the part whose turn it is; 0 when nothing waits."""
        for keys in self._tenants.values():
            for waiting in keys.values():
                return waiting[0].rows
        return 0

    def take(self, most_rows: int) -> list[Part]:
        """The next batch: the key of the tenant whose turn it is, one part per tenant and round.

        Args:
            most_rows: Rows of all parts together; a part that has more goes alone.
        """
        while self._tenants:
            turn = next(iter(self._tenants))
            key = next(iter(self._tenants[turn]))
            parts = self._gather(key, most_rows)
            if turn in self._tenants:
                self._tenants.move_to_end(turn)
                if key in self._tenants[turn]:
                    self._tenants[turn].move_to_end(key)
            if parts:
                return parts
        return []

    def _gather(self, key: Key, most_rows: int) -> list[Part]:
        parts: list[Part] = []
        rows, now = 0, time.monotonic()
        names = [name for name, keys in self._tenants.items() if key in keys]
        while names:
            left = []
            for tenant in names:
                keys = self._tenants[tenant]
                if rows and rows + keys[key][0].rows > most_rows:
                    continue
                part = self._pop(tenant, keys, key)
                if key in keys:
                    left.append(tenant)
                # What nobody waits for any more is dropped here, before it costs a replica anything.
                if not part.future.done() and part.deadline > now:
                    parts.append(part)
                    rows += part.rows
            names = left
        return parts

    def _pop(self, tenant: str, keys: OrderedDict[Key, deque[Part]], key: Key) -> Part:
        waiting = keys[key]
        part = waiting.popleft()
        self.rows -= part.rows
        self._rows[tenant] -= part.rows
        if not waiting:
            del keys[key]
            if not keys:
                del self._tenants[tenant]
                del self._rows[tenant]
        return part
