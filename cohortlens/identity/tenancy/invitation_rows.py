"""Statements about the open invitations of a tenant; addresses are sealed, and found by a blind index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, UserId, plain_uuid, uuid7
from cohortlens.core.tenant_keys import TenantKeys

_COLUMN = "invitations.email_enc"
_INDEX = "invitation-email"


@dataclass(frozen=True)
class Invitation:
    """An open invitation.

    Attributes:
        invitation_id: The invitation.
        email: Address it was sent to.
        role: Role it gives.
        invited_by: The user who invited; None for the operator.
        created_at: When it was made.
        expires_at: When it ends.
    """

    invitation_id: UUID
    email: str
    role: str
    invited_by: UserId | None
    created_at: datetime
    expires_at: datetime


class InvitationRows:
    """The invitations of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def replace(
        self, keys: TenantKeys, email: str, role: str, invited_by: UserId | None, life_s: int
    ) -> tuple[Invitation, UUID | None]:
        """Store an invitation in place of an open one of the same address.

        Args:
            keys: Seals the address.
            email: Address in normal form.
            role: Role it gives.
            invited_by: The user who invites.
            life_s: Seconds until it ends.

        Returns:
            The invitation, and the one that it replaces.
        """
        index = await keys.blind_index(self._tx, self._tenant_id, _INDEX, email)
        replaced = await self._tx.scalar(
            text("DELETE FROM invitations WHERE tenant_id = :tenant AND email_bidx = :index RETURNING id"),
            {"tenant": self._tenant_id, "index": index},
        )
        invitation_id = uuid7()
        sealer = await keys.sealer(self._tx, self._tenant_id, _COLUMN)
        row = (
            await self._tx.execute(
                text(
                    "INSERT INTO invitations (tenant_id, id, email_enc, email_bidx, role, invited_by,"
                    " expires_at) VALUES (:tenant, :id, :email, :index, :role, :by,"
                    " clock_timestamp() + make_interval(secs => :life))"
                    # Two of one address at once: the later one stands, as if it had come second.
                    " ON CONFLICT (tenant_id, email_bidx) DO UPDATE SET id = excluded.id,"
                    " email_enc = excluded.email_enc, role = excluded.role, invited_by = excluded.invited_by,"
                    " created_at = excluded.created_at, expires_at = excluded.expires_at"
                    " RETURNING created_at, expires_at"
                ),
                {
                    "tenant": self._tenant_id,
                    "id": invitation_id,
                    "email": sealer.seal(email.encode(), invitation_id.bytes),
                    "index": index,
                    "role": role,
                    "by": invited_by,
                    "life": life_s,
                },
            )
        ).one()
        made = Invitation(invitation_id, email, role, invited_by, row.created_at, row.expires_at)
        return made, None if replaced is None else plain_uuid(replaced)

    async def count(self) -> int:
        """Invitations that are open."""
        query = text("SELECT count(*) FROM invitations WHERE tenant_id = :tenant")
        return int(await self._tx.scalar(query, {"tenant": self._tenant_id}) or 0)

    async def page(self, keys: TenantKeys, below: UUID | None, limit: int) -> list[Invitation]:
        """Invitations that still work and are older than ``below``, newest first."""
        rows = await self._tx.execute(
            text(
                "SELECT * FROM invitations WHERE tenant_id = :tenant AND expires_at > clock_timestamp()"
                " AND (CAST(:below AS uuid) IS NULL OR id < :below) ORDER BY id DESC LIMIT :limit"
            ),
            {"tenant": self._tenant_id, "below": below, "limit": limit},
        )
        return [await self._opened(keys, row) for row in rows]

    async def take(self, keys: TenantKeys, invitation_id: UUID) -> Invitation | None:
        """Use up an invitation; None when it was replaced, withdrawn or accepted, or its time is over."""
        row = (
            await self._tx.execute(
                text(
                    "DELETE FROM invitations WHERE tenant_id = :tenant AND id = :id"
                    " AND expires_at > clock_timestamp() RETURNING *"
                ),
                {"tenant": self._tenant_id, "id": invitation_id},
            )
        ).one_or_none()
        return None if row is None else await self._opened(keys, row)

    async def get(self, keys: TenantKeys, invitation_id: UUID) -> Invitation | None:
        """An invitation that still works; it stays so."""
        row = (
            await self._tx.execute(
                text(
                    "SELECT * FROM invitations WHERE tenant_id = :tenant AND id = :id"
                    " AND expires_at > clock_timestamp()"
                ),
                {"tenant": self._tenant_id, "id": invitation_id},
            )
        ).one_or_none()
        return None if row is None else await self._opened(keys, row)

    async def role_of(self, invitation_id: UUID) -> str | None:
        """Lock an invitation; answers the role it gives."""
        role: str | None = await self._tx.scalar(
            text("SELECT role FROM invitations WHERE tenant_id = :tenant AND id = :id FOR UPDATE"),
            {"tenant": self._tenant_id, "id": invitation_id},
        )
        return role

    async def withdraw(self, invitation_id: UUID) -> None:
        """Delete an invitation."""
        await self._tx.execute(
            text("DELETE FROM invitations WHERE tenant_id = :tenant AND id = :id"),
            {"tenant": self._tenant_id, "id": invitation_id},
        )

    async def withdraw_by(self, user_id: UserId, roles: Sequence[str]) -> int:
        """Delete the invitations that a user made to one of ``roles``; answers how many."""
        done = await self._tx.execute(
            text(
                "DELETE FROM invitations WHERE tenant_id = :tenant AND invited_by = :user"
                " AND role = ANY (CAST(:roles AS text[]))"
            ),
            {"tenant": self._tenant_id, "user": user_id, "roles": list(roles)},
        )
        return int(done.rowcount)

    async def _opened(self, keys: TenantKeys, row: Row[tuple[object, ...]]) -> Invitation:
        # The driver's own UUID class prints and pickles differently.
        invitation_id = plain_uuid(row.id)
        sealer = await keys.sealer(self._tx, self._tenant_id, _COLUMN)
        return Invitation(
            invitation_id,
            sealer.open(bytes(row.email_enc), invitation_id.bytes).decode(),
            row.role,
            None if row.invited_by is None else UserId(plain_uuid(row.invited_by)),
            row.created_at,
            row.expires_at,
        )
