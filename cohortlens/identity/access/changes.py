"""Changes that must make tokens refused which are still valid: written with the change that causes them.

A row of ``access_changes`` stands in the transaction of the change itself, so neither can be without the
other. ``Revocations`` of every process reads the rows; see ADR 0023. Roles, memberships, sessions and the
status of tenants and users are noted by triggers too, whatever statement changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import SessionId, TenantId, UserId, plain_uuid


class UserChange(StrEnum):
    """What changed for a user; a new role asks for a refresh, everything else for a new log-in."""

    ROLE = "ROLE"
    REMOVED = "REMOVED"
    PASSWORD = "PASSWORD"  # noqa: S105 - a cause, not a password
    TOTP = "TOTP"
    DISABLED = "DISABLED"


class TenantChange(StrEnum):
    """What changed for a tenant."""

    SUSPENDED = "SUSPENDED"
    RESUMED = "RESUMED"
    DELETING = "DELETING"
    RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class Change:
    """A change as processes read it.

    Attributes:
        tenant_id: Tenant it belongs to.
        kind: ENDED, USER or TENANT.
        subject: ENDED: session, API key, service account or token; else the user or tenant.
        ver: New version of user or tenant; 0 for ENDED.
        cause: Why.
        kept: Session that goes on after a refresh.
        age_s: Seconds since it was written.
    """

    tenant_id: UUID
    kind: str
    subject: UUID
    ver: int
    cause: str
    kept: UUID | None
    age_s: float


_OF_THE_PERSON = frozenset({UserChange.PASSWORD, UserChange.TOTP, UserChange.DISABLED})


class AccessChanges:
    """Writes changes of access of one tenant; tell the processes with ``Revocations.publish`` afterwards.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def user(self, user_id: UserId, change: UserChange | str, *, keep: SessionId | None = None) -> None:
        """Refuse the access tokens that a user holds by now.

        A change of the person (password, second factor, disabled) holds in every tenant of the user, a change
        of the membership (role, removal) in this one.

        Args:
            user_id: The user.
            change: What changed.
            keep: Session that is asked to refresh, not to log in again; of it alone.
        """
        change = UserChange(change)
        await self._call(
            "app.access_user_changed(:tenant, :user, :cause, CAST(:kept AS uuid), :everywhere)",
            user=user_id,
            cause=change.value,
            kept=keep,
            everywhere=change in _OF_THE_PERSON,
        )

    async def tenant(self, change: TenantChange | str) -> None:
        """Refuse the access tokens that anyone holds for the tenant by now."""
        await self._call("app.access_tenant_changed(:tenant, :cause)", cause=TenantChange(change).value)

    async def sessions_of(
        self, user_id: UserId, reason: str, *, keep: SessionId | None = None, everywhere: bool = False
    ) -> int:
        """End the sessions of a user.

        Args:
            user_id: The user.
            reason: Why, in upper snake case; stored with each session.
            keep: Session that goes on.
            everywhere: Also in the user's other tenants, as after a new password.

        Returns:
            How many were ended.
        """
        return await self._call(
            "app.access_end_sessions(:tenant, :user, :reason, CAST(:kept AS uuid), :everywhere)",
            user=user_id,
            reason=reason,
            kept=keep,
            everywhere=everywhere,
        )

    async def key(self, key_id: UUID, cause: str = "REVOKED") -> None:
        """Refuse an API key, or a service account with every token issued to it, from now on."""
        await self._ended(key_id, cause)

    async def token(self, token_id: UUID) -> None:
        """Refuse one access token of a program, by its ``jti``; its others go on."""
        await self._ended(token_id, "TOKEN_REVOKED")

    async def _ended(self, subject: UUID, cause: str) -> None:
        await self._tx.execute(
            text(
                "INSERT INTO access_changes (tenant_id, kind, subject, cause)"
                " VALUES (:tenant, 'ENDED', :subject, :cause)"
            ),
            {"tenant": self._tenant_id, "subject": subject, "cause": cause},
        )

    async def _call(self, function: str, **values: object) -> int:
        return int(
            await self._tx.scalar(text(f"SELECT {function}"), {"tenant": self._tenant_id, **values}) or 0
        )


async def changes_since(tx: AsyncConnection, watermark: str, window_s: int) -> tuple[str, list[Change]]:
    """The changes of all tenants that a reading up to ``watermark`` may not have seen.

    Args:
        tx: A connection inside a transaction.
        watermark: What the last reading answered; ``0`` for the first.
        window_s: Older changes are left out.

    Returns:
        Watermark for the next reading, and the changes; some may come again.
    """
    rows = await tx.execute(
        text("SELECT * FROM app.access_changes_since(CAST(CAST(:since AS text) AS xid8), :window)"),
        {"since": watermark, "window": window_s},
    )
    changes = []
    for row in rows:
        watermark = row.watermark
        if row.kind is not None:
            changes.append(
                Change(
                    plain_uuid(row.tenant_id),
                    row.kind,
                    plain_uuid(row.subject),
                    row.ver,
                    row.cause,
                    None if row.kept is None else plain_uuid(row.kept),
                    max(float(row.age_s), 0.0),
                )
            )
    return watermark, changes


async def purge(tx: AsyncConnection, keep_s: int = 86_400) -> int:
    """Delete changes that no token can run into any more; answers how many."""
    return int(await tx.scalar(text("SELECT app.access_changes_purge(:keep)"), {"keep": keep_s}) or 0)
