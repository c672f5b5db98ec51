"""The stream of changes: what customers may be used for, from a version on.

Read from the states themselves, so a state that changed twice between two reads is told once, as it is now.
Versions are places in the tenant's audit chain and rise in the order of commits: none can appear later behind
a version that was told already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Code, CohortLensError
from cohortlens.core.ids import plain_uuid
from cohortlens.customers.usability import consent_version

POLL_S = 0.5
"""Seconds between two looks at the tables."""

QUIET_S = 15.0
"""Seconds after which a stream without changes says that it is there."""

CHANGES_AT_ONCE = 1_000
"""Changes of one message."""

_CHANGES = """
SELECT changed.version, changed.identity_id, i.customer_id, changed.purpose_key,
       i.erased_at IS NULL AND app.is_usable(h.mechanism, h.min_version, u.state, u.purpose_version,
                                             u.expires_at, i.restricted_at, i.objected_at) AS allowed
  FROM (SELECT found.identity_id, found.purpose_key, max(found.version) AS version FROM (
          SELECT u.identity_id, u.purpose_key, u.version FROM user_consents u
           WHERE u.tenant_id = app.tid() AND u.version > :version
          UNION ALL
          SELECT i.id, h.key, i.version
            FROM consent_identities i JOIN purpose_heads h ON h.tenant_id = i.tenant_id
           WHERE i.tenant_id = app.tid() AND i.version > :version) found
         GROUP BY 1, 2) changed
  JOIN consent_identities i ON i.tenant_id = app.tid() AND i.id = changed.identity_id
  JOIN purpose_heads h ON h.tenant_id = app.tid() AND h.key = changed.purpose_key
  LEFT JOIN user_consents u
    ON u.tenant_id = app.tid() AND u.identity_id = i.id AND u.purpose_key = h.key
 ORDER BY changed.version FETCH FIRST :limit ROWS WITH TIES
"""
_PURPOSES = "SELECT coalesce(max(changed), 0) FROM purpose_heads WHERE tenant_id = app.tid()"


class CursorCompacted(CohortLensError):
    """The changes behind a version cannot be told one by one any more."""

    code = Code.OUT_OF_RANGE
    reason = "CURSOR_COMPACTED"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"the changes from version {version} on cannot be told one by one; start from version 0",
            metadata={"from_version": str(version)},
        )


@dataclass(frozen=True)
class ConsentChange:
    """What holds now for one person and purpose.

    Attributes:
        version: Version of the change.
        identity_id: The person.
        customer_id: The customer; None for a person who is not imported yet or was erased.
        purpose: The purpose.
        allowed: Whether the person may be used for it.
    """

    version: int
    identity_id: UUID
    customer_id: UUID | None
    purpose: str
    allowed: bool


@dataclass(frozen=True)
class ConsentChanges:
    """One message of the stream.

    Attributes:
        changes: In the order of their versions; empty in a sign of life.
        version: Where to go on behind this message.
    """

    changes: tuple[ConsentChange, ...]
    version: int


class ConsentWatch:
    """Follows the consents of a tenant.

    Args:
        db: The database.
        poll_s: Seconds between two looks.
        quiet_s: Seconds after which it gives a sign of life.
    """

    def __init__(self, db: Database, *, poll_s: float = POLL_S, quiet_s: float = QUIET_S) -> None:
        self._db = db
        self._poll_s = poll_s
        self._quiet_s = quiet_s

    async def follow(self, ctx: RequestContext, from_version: int) -> AsyncIterator[ConsentChanges]:
        """Changes behind a version, as they happen, until the deadline of the call.

        Args:
            ctx: The request.
            from_version: Version behind which to begin, as an earlier message or ``BatchCheckConsent`` told
                it; 0 for the state of everybody.

        Raises:
            CursorCompacted: A purpose got a new version since, which can change what everybody allows; or
                the version lies ahead of the tenant's consents, as after a restore.
        """
        version, told = from_version, time.monotonic()
        while time.monotonic() < ctx.deadline:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                found, version_now = await _read(tx, version)
            for message in _messages(found, version):
                yield message
                version, told = message.version, time.monotonic()
            if not found:
                version = version or version_now
                if time.monotonic() - told >= self._quiet_s:
                    yield ConsentChanges((), version)
                    told = time.monotonic()
                await asyncio.sleep(min(self._poll_s, max(0.0, ctx.deadline - time.monotonic())))


async def _read(tx: AsyncConnection, version: int) -> tuple[list[ConsentChange], int]:
    now = await consent_version(tx)
    if version and (version > now or int(await tx.scalar(text(_PURPOSES)) or 0) > version):
        raise CursorCompacted(version)
    rows = await tx.execute(text(_CHANGES), {"version": version, "limit": CHANGES_AT_ONCE})
    found = [
        ConsentChange(
            row.version,
            plain_uuid(row.identity_id),
            None if row.customer_id is None else plain_uuid(row.customer_id),
            row.purpose_key,
            bool(row.allowed),
        )
        for row in rows
    ]
    return found, now


def _messages(found: list[ConsentChange], version: int) -> list[ConsentChanges]:
    """Messages of at most so many changes; one that ends within a version names the version before it."""
    made = []
    for at in range(0, len(found), CHANGES_AT_ONCE):
        part = found[at : at + CHANGES_AT_ONCE]
        following = found[at + len(part)] if at + len(part) < len(found) else None
        whole = part[-1].version
        if following is not None and following.version == whole:
            whole = max((one.version for one in part if one.version < whole), default=version)
        version = max(version, whole)
        made.append(ConsentChanges(tuple(part), version))
    return made
