"""What the platform's staff do with signing keys, and what the scheduled job does; each call is audited."""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.audit.trail import AuditTrail
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.identity.access.key_rows import KeyRow
from cohortlens.identity.access.signing_keys import ACCESS_KEYS, SigningKeys

_SHOWN_S = 90 * 86_400


class KeyControl:
    """The use cases of signing keys.

    Args:
        db: Database as the runtime role.
        sets: The keys by set.
        clock: Current time.
    """

    def __init__(self, db: Database, sets: Mapping[str, SigningKeys], clock: Clock = now) -> None:
        self._db = db
        self._sets = sets
        self._clock = clock

    async def recent(self, ctx: RequestContext, key_set: str) -> list[KeyRow]:
        """The keys of a set, of all sets when it is empty, newest first.

        Those that retired more than 90 days ago are left out.
        """
        sets = [self._sets[key_set]] if key_set else list(self._sets.values())
        rows = [row for keys in sets for row in await keys.rows() if self._is_recent(row)]
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            await AuditTrail(tx).append(ctx, "identity.signing_keys.listed", details={"key_set": key_set})
        return sorted(rows, key=lambda row: row.created_at, reverse=True)

    async def rotate(self, ctx: RequestContext, key_set: str, reason: str) -> KeyRow:
        """Let the next key of a set sign; of the access tokens' when it is empty.

        Raises:
            FailedPrecondition: KEY_TOO_YOUNG: the next key was published less than 20 minutes ago.
        """
        return await self._sets[key_set or ACCESS_KEYS].rotate(ctx, reason)

    async def keep_up(self) -> int:
        """Retire and rotate what is due in every set; answers how many keys changed."""
        return sum([await keys.keep_up() for keys in self._sets.values()])

    def _is_recent(self, row: KeyRow) -> bool:
        return row.retire_at is None or (self._clock() - row.retire_at).total_seconds() < _SHOWN_S
