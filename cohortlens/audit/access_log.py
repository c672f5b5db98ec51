"""The access log: who looked at which customers, who was refused; stored in batches, off the request path.

A call leaves its entry in a queue of bounded size. While the queue is full, calls whose access must be noted
are not answered: nobody reads unseen because the database is slow.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import Any
from uuid import UUID

import orjson
from prometheus_client import Counter
from sqlalchemy import text

from cohortlens.audit.access import Access
from cohortlens.audit.customer_refs import CUSTOMER_REF, customer_ref
from cohortlens.audit.models import truncated_address
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.core.tenant_keys import TenantKeyDestroyed, TenantKeys

_QUEUE_MAX = 20_000
_BATCH = 1_000
_EVERY_S = 0.5
_RETRY_S = 1.0
_CLOSE_S = 5.0
_APPEND = text("SELECT app.access_append(:ids, :canonicals)")
_DROPPED = Counter("audit_access_dropped_total", "Denied calls left out: queue full", registry=REGISTRY)
_STORED = Counter("audit_access_entries_total", "Entries of the access log stored", registry=REGISTRY)
_LOG = get_logger(__name__)


class AccessLog:
    """The queue of one process and the task that empties it.

    Args:
        db: The database.
        tenant_keys: Give the keys of customers' hashes.
        queue_max: Entries that may wait.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys, queue_max: int = _QUEUE_MAX) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._queue: deque[Access] = deque()
        self._queue_max = queue_max
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether no further access may be granted that must be noted."""
        return len(self._queue) >= self._queue_max

    def note(self, access: Access) -> None:
        """Queue an entry; of refused calls those beyond the queue are counted and left out."""
        if self.is_full and access.outcome != "OK":
            _DROPPED.inc()
            return
        self._queue.append(access)
        if self._task is None:
            self._task = asyncio.create_task(self._store_forever(), name="access-log")
        if len(self._queue) >= _BATCH:
            self._wake.set()

    async def flush(self) -> None:
        """Store what is queued now.

        Raises:
            CohortLensError: The database did not take it; it stays queued.
        """
        while self._queue:
            batch = [self._queue[place] for place in range(min(len(self._queue), _BATCH))]
            by_tenant: dict[TenantId, list[Access]] = defaultdict(list)
            for access in batch:
                by_tenant[access.tenant_id].append(access)
            stored: set[TenantId] = set()
            try:
                for tenant_id, entries in by_tenant.items():
                    await self._store(tenant_id, entries)
                    stored.add(tenant_id)
            finally:
                # What was stored must not be stored again when another tenant's part failed.
                for _ in batch:
                    self._queue.popleft()
                left = [access for access in batch if access.tenant_id not in stored]
                self._queue.extendleft(reversed(left))

    async def close(self) -> None:
        """Store what is queued, for 5 s at most, and end the task."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.flush()
        except (CohortLensError, OSError, TimeoutError) as error:
            _LOG.error("access_log_lost", entries=len(self._queue), error=str(error))

    async def _store_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.flush()
            except (CohortLensError, OSError) as error:
                _LOG.warning("access_log_waits", entries=len(self._queue), error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _store(self, tenant_id: TenantId, entries: list[Access]) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            try:
                secret = await self._tenant_keys.mac_key(tx, tenant_id, CUSTOMER_REF)
            except TenantKeyDestroyed:
                # The tenant was erased meanwhile: nobody's identifiers can be told apart any more.
                secret = None
            ids = [uuid7() for _ in entries]
            canonicals = [canonical(id_, it, secret) for id_, it in zip(ids, entries, strict=True)]
            await tx.execute(_APPEND, {"ids": ids, "canonicals": canonicals})
        _STORED.inc(len(entries))


def canonical(entry_id: UUID, access: Access, secret: bytes | None) -> bytes:
    """The bytes of an entry by RFC 8785; without a secret (an erased tenant has none) no customer."""
    written: dict[str, Any] = {
        "id": str(entry_id),
        "actor": access.actor,
        "on_behalf_of": access.on_behalf_of,
        "action": access.action,
        "method": access.method,
        "resource": access.resource,
        "customer_refs": [customer_ref(secret, one) for one in access.customers] if secret else [],
        "outcome": access.outcome,
        "reason": access.reason,
        "request_id": access.request_id,
        "address": truncated_address(access.address),
        "at_us": access.at_us,
    }
    # What RFC 8785 gives for texts and whole numbers under ASCII names, in a sixtieth of its library's time:
    # every prediction for a customer writes one.
    return orjson.dumps(written, option=orjson.OPT_SORT_KEYS)
