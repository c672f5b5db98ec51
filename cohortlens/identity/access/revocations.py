"""What makes tokens refused that are still valid; answered from memory, under 2 s old.

Every process reads the new rows of ``access_changes`` once a second and keeps those that a living token can
still run into. PostgreSQL is the only source, so a Redis that is down, was emptied or evicts keys lets
nothing through; through Redis processes only hear at once that there is something to read. See ADR 0023.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.feeds import Feed
from cohortlens.core.ids import SessionId, TenantId
from cohortlens.core.redis import RedisClient, end_tasks, key
from cohortlens.identity.access.changes import AccessChanges, changes_since
from cohortlens.identity.access.changes_known import KnownChanges
from cohortlens.identity.models import TokenExpired, TokenRevoked

FRESH_S = 1.8
"""How old the answer to any call may be: what happened two seconds ago must be known, reading included."""
TRUSTED_S = 60.0
"""How old the answer to a read may be while PostgreSQL does not answer."""
_PERIOD_S = 1.0
_IDLE_S = 30.0
_PATIENCE_S = 0.5
_MARGIN_S = 60
_CHANNEL = key("access", "changes")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token or a key was given, as far as a change can take it back.

    Attributes:
        tenant_id: Its tenant.
        subject: Session, API key or service account.
        user_id: Its user; None for a program.
        ver: Version of the user's rights when it was issued; 0 for a program.
        tver: Version of the tenant's state when it was issued.
        token: Identifier of the token itself, where it can be ended alone; None otherwise.
    """

    tenant_id: TenantId
    subject: UUID
    user_id: UUID | None
    ver: int
    tver: int
    token: UUID | None = None


class Revocations:
    """What this process knows of changes of access.

    Args:
        db: Database as the runtime role; a pool of its own keeps a busy one from making the news late.
        redis: Client of Redis.
        life_s: Seconds for which a change matters: the life of an access token and its leeway.

    Attributes:
        fresh_until: Monotonic time until which what is known may be used without asking.
        edition: Raised by each change that becomes known.
        in_use: Set by whoever relies on ``fresh_until``; the reading goes on while somebody does.
    """

    def __init__(self, db: Database, redis: RedisClient, life_s: int) -> None:
        self._db = db
        self._feed = Feed("access_changes", _CHANNEL, self._read, redis)
        self._window_s = life_s + _MARGIN_S
        self._known = KnownChanges()
        self._watermark = "0"
        self._read_at = float("-inf")
        self._avoid_until = float("-inf")
        self._following: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self.fresh_until = float("-inf")
        self.edition = 0
        self.in_use = False

    async def require(self, grant: Grant, *, strict: bool = False) -> None:
        """Refuse what was taken back.

        Args:
            grant: What the token or key was given.
            strict: For writes and administration: never answer from what is older than 2 s.

        Raises:
            TokenExpired: The role changed; a refresh brings the new one.
            TokenRevoked: The session, key or account was ended, or user or tenant changed otherwise.
            Unavailable: PostgreSQL has not answered for too long.
        """
        await self.refreshed(time.monotonic(), strict=strict)
        self.check(grant)

    def check(self, grant: Grant) -> None:
        """As ``require``, from what is known now; for who asks ``fresh_until`` first."""
        known = self._known
        if grant.subject in known.ended or grant.token in known.ended:
            raise TokenRevoked("this session, key, account or token was ended; log in again")
        if known.tver(grant.tenant_id) > grant.tver:
            raise TokenRevoked("the state of the tenant changed; log in again")
        change = known.of_user(grant.tenant_id, grant.user_id) if grant.user_id is not None else None
        if change is None or change.ver <= grant.ver:
            return
        if change.revoked_ver > grant.ver and change.kept != grant.subject:
            raise TokenRevoked("the rights of the user changed; log in again")
        raise TokenExpired("the rights of the user changed; refresh the session")

    async def is_revoked(self, session_id: SessionId, *, strict: bool = False) -> bool:
        """Whether a session was ended within the life of its access tokens; raises Unavailable."""
        await self.refreshed(time.monotonic(), strict=strict)
        return session_id in self._known.ended

    async def is_key_revoked(self, key_id: UUID, *, strict: bool = False) -> bool:
        """Whether an API key or a service account was revoked in the last minutes; raises Unavailable.

        Older revocations are in its row: whoever remembers the row must read it again within 10 minutes.
        """
        return await self.is_revoked(SessionId(key_id), strict=strict)

    async def refreshed(self, now: float, *, strict: bool = False) -> None:
        """Return once what is known is fresh enough; at once when it is.

        Args:
            now: Monotonic time.
            strict: As in ``require``.

        Raises:
            Unavailable: PostgreSQL has not answered for too long.
        """
        self.in_use = True
        if now < self.fresh_until:
            return
        self._follow()
        may_be_old = not strict and now - self._read_at < TRUSTED_S
        if may_be_old and now < self._avoid_until:
            return
        reading = asyncio.shield(self._feed.joined())
        try:
            if may_be_old:
                await asyncio.wait_for(reading, _PATIENCE_S)
            else:
                await reading
        except (CohortLensError, TimeoutError):
            self._avoid_until = time.monotonic() + _PERIOD_S
            if not may_be_old:
                raise _unavailable() from None

    async def publish(self, _changes: AccessChanges | None = None) -> None:
        """Know what was committed and tell the other processes; call after the commit.

        Never fails: whoever does not hear of it reads it a second later.
        """
        await self._feed.publish()

    async def close(self) -> None:
        """End what runs beside the calls; call before the clients are closed."""
        await end_tasks((self._following, self._listening))
        await self._feed.close()

    async def _read(self) -> None:
        began = time.monotonic()
        async with self._db.transaction() as tx:
            watermark, changes = await changes_since(tx, self._watermark, self._window_s)
        if self._known.learn(changes, began, self._window_s):
            self.edition += 1
        self._watermark = watermark
        self._read_at, self.fresh_until = began, began + FRESH_S

    def _follow(self) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._keep_reading())
            self._following.add_done_callback(self._feed.seen)

    async def _keep_reading(self) -> None:
        """Read each second, and when told, for as long as somebody asks."""
        self._listening = asyncio.create_task(self._feed.listen())
        used_at = time.monotonic()
        try:
            while self.in_use or time.monotonic() - used_at < _IDLE_S:
                if self.in_use:
                    self.in_use, used_at = False, time.monotonic()
                await self._feed.turn(_PERIOD_S)
        finally:
            await end_tasks((self._listening,))


def _unavailable() -> Unavailable:
    return Unavailable(
        "whether the session still holds cannot be told; try again",
        reason="DATABASE_UNAVAILABLE",
        retry_delay_s=1.0,
    )
