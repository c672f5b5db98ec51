"""The rows of fulfilments and of their credentials; the only SQL on these two tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.fulfilment.models import Fulfilment, fulfilment_of
from cohortlens.consent.web3_models import IssuedCredential

_COLUMNS = ", ".join(Fulfilment.__dataclass_fields__)
_CHANGEABLE = frozenset(
    {
        "credential_state",
        "credential_id",
        "issues",
        "reward_state",
        "reward_id",
        "pin_state",
        "pin_wanted",
        "attempts",
        "last_reason",
        "end_reason",
    }
)


class FulfilmentRows:
    """Fulfilments of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def start(self, event_id: UUID, identity_id: UUID, purpose_key: str, secret_enc: bytes) -> bool:
        """Begin the fulfilment of a consent; False when it was begun before."""
        row = await self._tx.scalar(
            text(
                "INSERT INTO consent_fulfilments (event_id, identity_id, purpose_key, secret_enc) "
                "VALUES (:event, :identity, :purpose, :secret) ON CONFLICT DO NOTHING RETURNING 1"
            ),
            {"event": event_id, "identity": identity_id, "purpose": purpose_key, "secret": secret_enc},
        )
        return row is not None

    async def find(self, event_id: UUID, *, lock: bool = False) -> Fulfilment | None:
        """The fulfilment of an event, None where none was begun.

        Args:
            event_id: The event.
            lock: Keep others from changing it until the end of the transaction.
        """
        end = " FOR UPDATE" if lock else ""
        rows = await self._tx.execute(
            text(f"SELECT {_COLUMNS} FROM consent_fulfilments WHERE event_id = :event{end}"),  # noqa: S608 - columns of ours
            {"event": event_id},
        )
        row = rows.one_or_none()
        return None if row is None else fulfilment_of(row)

    async def going_on(self, identity_id: UUID, purpose_key: str) -> list[Fulfilment]:
        """Fulfilments of a person's purpose whose consent was not seen to end, locked, in a fixed order."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} FROM consent_fulfilments WHERE identity_id = :identity "  # noqa: S608 - columns of ours
                "AND purpose_key = :purpose AND ended_at IS NULL ORDER BY event_id FOR UPDATE"
            ),
            {"identity": identity_id, "purpose": purpose_key},
        )
        return [fulfilment_of(row) for row in rows]

    async def change(self, event_id: UUID, **values: Any) -> None:
        """Set columns of a fulfilment.

        Raises:
            ValueError: A name is no column that may be set; a fault of the code that calls.
        """
        if not values.keys() <= _CHANGEABLE:
            raise ValueError(f"not to be set: {sorted(values.keys() - _CHANGEABLE)}")
        names = ", ".join(f"{name} = :{name}" for name in values)
        await self._tx.execute(
            text(
                f"UPDATE consent_fulfilments SET {names}, updated_at = clock_timestamp() "  # noqa: S608 - columns of ours
                "WHERE event_id = :event"
            ),
            {"event": event_id, **values},
        )

    async def end(self, event_id: UUID, reason: str) -> None:
        """Note that the consent has ended; the first reason stays."""
        await self._tx.execute(
            text(
                "UPDATE consent_fulfilments SET ended_at = clock_timestamp(), end_reason = :reason, "
                "updated_at = clock_timestamp() WHERE event_id = :event AND ended_at IS NULL"
            ),
            {"event": event_id, "reason": reason},
        )

    async def failed(self, event_id: UUID, attempts: int, reason: str) -> None:
        """Note that an attempt of the step at hand failed."""
        await self.change(event_id, attempts=attempts, last_reason=reason)

    async def store_credential(self, of: Fulfilment, issued: IssuedCredential) -> None:
        """Store a credential as issued; the same one again changes nothing."""
        await self._tx.execute(
            text(
                "INSERT INTO verifiable_credentials (id, event_id, source_id, identity_id, purpose_key, "
                "issuer_did, suite, status_list_id, status_index, credential_json, sha256, valid_from, "
                "valid_until) VALUES (:id, :event, :source, :identity, :purpose, :issuer, :suite, :list, "
                ":index, :json, :sha256, :valid_from, :valid_until) ON CONFLICT (tenant_id, id) DO NOTHING"
            ),
            {
                "id": issued.credential_id,
                "event": of.event_id,
                "source": issued.source_id,
                "identity": of.identity_id,
                "purpose": of.purpose_key,
                "issuer": issued.issuer_did,
                "suite": issued.suite.value,
                "list": issued.status_list_id,
                "index": issued.status_index,
                "json": issued.credential_json,
                "sha256": issued.sha256,
                "valid_from": issued.valid_from,
                "valid_until": issued.valid_until,
            },
        )
        await self._tx.execute(
            text(
                "UPDATE user_consents SET verifiable_credential_id = :credential "
                "WHERE identity_id = :identity AND purpose_key = :purpose AND event_id = :event"
            ),
            {
                "credential": issued.credential_id,
                "identity": of.identity_id,
                "purpose": of.purpose_key,
                "event": of.event_id,
            },
        )

    async def store_revocation(self, credential_id: UUID, reason: str) -> bool:
        """Note that a credential was revoked; False when it was before."""
        row = await self._tx.scalar(
            text(
                "UPDATE verifiable_credentials SET revoked_at = clock_timestamp(), revoke_reason = :reason "
                "WHERE id = :id AND revoked_at IS NULL RETURNING 1"
            ),
            {"id": credential_id, "reason": reason},
        )
        return row is not None

    async def credential_sha256(self, credential_id: UUID) -> bytes:
        """SHA-256 of a credential's bytes."""
        found = await self._tx.scalar(
            text("SELECT sha256 FROM verifiable_credentials WHERE id = :id"), {"id": credential_id}
        )
        return bytes(found)
