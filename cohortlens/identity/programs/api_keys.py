"""The use cases of API keys: make, list, rotate, revoke, and revoke one that was found in public."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import FailedPrecondition, NotFound
from cohortlens.core.ids import PLATFORM_TENANT_ID, UserId, uuid7
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.models import KeyQuotaExceeded, field_fault
from cohortlens.identity.networks import networks
from cohortlens.identity.programs import api_key_text
from cohortlens.identity.programs.api_key_rows import ApiKey, ApiKeyRows, KeyState, key_state
from cohortlens.identity.programs.api_key_text import KeyText
from cohortlens.identity.programs.scopes import granted

MOST_KEYS = 200
DEFAULT_LIFE = timedelta(days=365)
LONGEST_LIFE = timedelta(days=5 * 366)
LONGEST_OVERLAP_S = 24 * 3600
SHORTEST_OVERLAP_S = 60
"""Longer than rows of keys are remembered, so that an overlap ends when it says."""
_NOBODY = UUID(int=0)
_NO_LOOKUP = "0" * 12


class ApiKeyEnded(FailedPrecondition):
    """A key that has ended or was rotated before has no successor."""

    reason = "API_KEY_ENDED"


@dataclass(frozen=True)
class NewKey:
    """A key that was just made.

    Attributes:
        key: The key as lists show it.
        secret: The whole text of the key; nothing can make it again.
        old_expires_at: When the key it replaces ends; None when it replaces none.
    """

    key: ApiKey
    secret: str = field(repr=False)
    old_expires_at: datetime | None = None


class ApiKeys:
    """Makes and ends API keys.

    Args:
        db: Database as the runtime role.
        revocations: Tells the other processes at once.
        prefix: How keys of this installation begin: ``cl_live_`` or ``cl_test_``.
        clock: Current time.
    """

    def __init__(self, db: Database, revocations: Revocations, prefix: str, clock: Clock = now) -> None:
        self._db = db
        self._revocations = revocations
        self._prefix = prefix
        self._clock = clock

    async def create(
        self,
        ctx: RequestContext,
        *,
        display_name: str,
        scopes: Sequence[str],
        expires_at: datetime | None = None,
        ip_allowlist: Sequence[str] = (),
    ) -> NewKey:
        """Make a key of the caller's tenant.

        Raises:
            InvalidArgument: FIELD_INVALID.
            PermissionDenied: SCOPE_MISSING beyond the caller's own scopes; ROLE_REQUIRED for a program.
            ResourceExhausted: KEY_QUOTA_EXCEEDED.
        """
        maker = ctx.caller.user_id
        given = granted(ctx.caller, scopes)
        allowed = tuple(str(one) for one in networks(ip_allowlist, "ip_allowlist"))
        ends = self._end(expires_at)

        async def work() -> NewKey:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                rows = await _room(tx, ctx)
                text, made = api_key_text.made(self._prefix)
                key = await rows.add(
                    uuid7(),
                    made,
                    display_name=display_name.strip(),
                    scopes=given,
                    ip_allowlist=allowed,
                    expires_at=ends,
                    created_by=maker,
                )
                idempotency.made(api_key=str(key.key_id))
                await AuditTrail(tx).append(
                    ctx, "identity.api_key.created", resource=f"apiKeys/{key.key_id}", details=_told(key)
                )
            return NewKey(key, text)

        if not display_name.strip():
            raise field_fault("display_name", "must say what the key is for")
        return await retried(work)

    async def page(self, ctx: RequestContext, below: UUID | None, limit: int) -> list[ApiKey]:
        """Keys of the tenant older than ``below``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await ApiKeyRows(tx, ctx.tenant_id).page(below, limit)

    async def revoke(self, ctx: RequestContext, key_id: UUID) -> None:
        """End a key; once more does no harm.

        Raises:
            NotFound: No such key in the tenant.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = ApiKeyRows(tx, ctx.tenant_id)
            if not await rows.revoke(key_id, "REVOKED"):
                if await rows.locked(key_id) is None:
                    raise _missing()
                return
            await AuditTrail(tx).append(ctx, "identity.api_key.revoked", resource=f"apiKeys/{key_id}")
        await self._revocations.publish()

    async def rotate(
        self, ctx: RequestContext, key_id: UUID, *, overlap_s: float, expires_at: datetime | None = None
    ) -> NewKey:
        """Make the successor of a key; the old one ends after the overlap.

        Raises:
            InvalidArgument: FIELD_INVALID.
            NotFound: No such key in the tenant.
            FailedPrecondition: API_KEY_ENDED: it was revoked, has expired or was rotated before.
            PermissionDenied: SCOPE_MISSING: the key may do what the caller may not.
        """
        maker = ctx.caller.user_id
        if overlap_s != 0 and not SHORTEST_OVERLAP_S <= overlap_s <= LONGEST_OVERLAP_S:
            raise field_fault("overlap", "must be 0 or between 60 s and 24 h")
        ends = self._end(expires_at)

        async def work() -> NewKey:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                return await self._rotated(tx, ctx, key_id, maker, overlap_s, ends)

        rotated = await retried(work)
        if overlap_s == 0:
            await self._revocations.publish()
        return rotated

    async def revoke_leaked(self, ctx: RequestContext, text: str) -> None:
        """End the key written as ``text``, if there is one; the same work and no answer either way."""
        parts = api_key_text.parsed(text)
        state = await self._leaked(parts)
        tenant_id = state.tenant_id if state is not None else PLATFORM_TENANT_ID
        key_id = state.key_id if state is not None else _NOBODY
        async with self._db.tenant_transaction(tenant_id) as tx:
            ended = await ApiKeyRows(tx, tenant_id).revoke(key_id, "LEAKED")
            if ended:
                finder = Actor("anonymous", "finder", ctx.request_id, ctx.address)
                await AuditTrail(tx).append(finder, "identity.api_key.leaked", resource=f"apiKeys/{key_id}")
        await self._revocations.publish()

    async def _leaked(self, parts: KeyText | None) -> KeyState | None:
        """The key that the finder has whole; None for anything else."""
        async with self._db.transaction() as tx:
            state = await key_state(tx, _NO_LOOKUP if parts is None else parts.lookup)
        if parts is None or state is None:
            return None
        return state if hmac.compare_digest(state.secret_sha256, parts.secret_sha256) else None

    async def _rotated(
        self,
        tx: AsyncConnection,
        ctx: RequestContext,
        key_id: UUID,
        maker: UserId,
        overlap_s: float,
        ends: datetime,
    ) -> NewKey:
        rows = await _room(tx, ctx)
        old = await rows.locked(key_id)
        if old is None:
            raise _missing()
        self._require_living(old)
        scopes = granted(ctx.caller, old.scopes)
        text, made = api_key_text.made(self._prefix)
        new = await rows.add(
            uuid7(),
            made,
            display_name=old.display_name,
            scopes=scopes,
            ip_allowlist=old.ip_allowlist,
            expires_at=ends,
            created_by=maker,
        )
        old_ends = await rows.replace(key_id, new.key_id, overlap_s)
        idempotency.made(api_key=str(new.key_id), old_expire_time=old_ends.isoformat())
        if overlap_s == 0:
            await rows.revoke(key_id, "ROTATED")
        await AuditTrail(tx).append(
            ctx,
            "identity.api_key.rotated",
            resource=f"apiKeys/{key_id}",
            details={**_told(new), "replaced_by": str(new.key_id), "old_ends": old_ends.isoformat()},
        )
        return NewKey(new, text, old_ends)

    def _require_living(self, key: ApiKey) -> None:
        if key.replaced_by is not None:
            raise ApiKeyEnded("this key was rotated before; rotate its successor")
        if key.revoked_at is not None or key.expires_at <= self._clock():
            raise ApiKeyEnded("this key has ended; make a new one")

    def _end(self, asked: datetime | None) -> datetime:
        at = self._clock()
        if asked is None:
            return at + DEFAULT_LIFE
        if not at < asked <= at + LONGEST_LIFE:
            raise field_fault("expire_time", "must be in the future and at most 5 years from now")
        return asked


async def _room(tx: AsyncConnection, ctx: RequestContext) -> ApiKeyRows:
    """The tenant's keys, locked, if there is room for one more."""
    rows = ApiKeyRows(tx, ctx.tenant_id)
    await rows.lock()
    if await rows.live_count() >= MOST_KEYS:
        raise KeyQuotaExceeded(
            f"a tenant has at most {MOST_KEYS} API keys; revoke those that are not used",
            metadata={"limit": str(MOST_KEYS)},
        )
    return rows


def _told(key: ApiKey) -> dict[str, object]:
    return {
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "expires_at": key.expires_at.isoformat(),
        "ip_allowlist": list(key.ip_allowlist),
    }


def _missing() -> NotFound:
    return NotFound("no such API key; ListApiKeys shows those there are")
