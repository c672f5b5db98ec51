"""How customers stand, now or as it was known at a time, and every act as it was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.event_rows import STATE_NOW
from cohortlens.consent.identities import IDENT_COLUMN, Identities
from cohortlens.consent.models import ActType, ConsentRowMissing, ConsentState
from cohortlens.consent.purpose_rows import PurposeRows
from cohortlens.consent.states import Decision, effective, state_of
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import plain_uuid
from cohortlens.core.tenant_keys import TenantKeys

_PAGE = text(
    f"SELECT * FROM (SELECT u.identity_id, u.purpose_key, {STATE_NOW} AS state, u.since, u.expires_at,"  # noqa: S608
    " u.purpose_version, u.event_id, u.version, i.customer_id, i.ident_enc, e.receipt_id,"
    " coalesce(n.version, 0) AS notice_version, c.external_id,"
    " (SELECT p.created_at FROM purposes p WHERE p.tenant_id = h.tenant_id AND p.key = h.key"
    "  AND p.version = h.min_version) AS reconsent_at"
    " FROM user_consents u JOIN consent_identities i ON i.tenant_id = u.tenant_id AND i.id = u.identity_id"
    " JOIN purpose_heads h ON h.tenant_id = u.tenant_id AND h.key = u.purpose_key"
    " LEFT JOIN customers c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
    " LEFT JOIN consent_events e ON e.tenant_id = u.tenant_id AND e.id = u.event_id"
    " LEFT JOIN notices n ON n.tenant_id = e.tenant_id AND n.id = e.notice_id"
    " WHERE u.tenant_id = app.tid() AND (CAST(:identity AS uuid) IS NULL OR u.identity_id = :identity)"
    " AND (CAST(:purpose AS text) = '' OR u.purpose_key = :purpose)"
    " AND (CAST(:after AS uuid) IS NULL OR (u.identity_id, u.purpose_key) > (:after, CAST(:key AS text)))"
    ") AS s WHERE (CAST(:state AS text) = '' OR s.state = :state)"
    " ORDER BY s.identity_id, s.purpose_key LIMIT :limit"
)
_EVENTS = text(
    "SELECT e.*, i.customer_id, i.ident_enc, i.data_key_enc, c.external_id, coalesce(n.version, 0)"
    " AS notice_version FROM consent_events e"
    " JOIN consent_identities i ON i.tenant_id = e.tenant_id AND i.id = e.identity_id"
    " LEFT JOIN customers c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
    " LEFT JOIN notices n ON n.tenant_id = e.tenant_id AND n.id = e.notice_id"
    " WHERE e.tenant_id = app.tid() AND (CAST(:identity AS uuid) IS NULL OR e.identity_id = :identity)"
    " AND (CAST(:purpose AS text) = '' OR e.purpose_key = :purpose)"
    " AND (CAST(:before AS bigint) IS NULL OR e.place < :before) ORDER BY e.place DESC LIMIT :limit"
)
_KNOWN_AT = text(
    "SELECT e.id, e.type, e.collected_at, e.place, e.purpose_key, e.purpose_version, e.expires_at,"
    " e.receipt_id, coalesce(n.version, 0) AS notice_version FROM consent_events e"
    " LEFT JOIN notices n ON n.tenant_id = e.tenant_id AND n.id = e.notice_id"
    " WHERE e.tenant_id = app.tid() AND e.identity_id = :identity AND e.created_at <= :at"
)
_PURPOSES_AT = text(
    "SELECT DISTINCT ON (p.key) p.key, p.min_version, (SELECT m.created_at FROM purposes m"
    " WHERE m.tenant_id = p.tenant_id AND m.key = p.key AND m.version = p.min_version) AS reconsent_at"
    " FROM purposes p WHERE p.tenant_id = app.tid() AND p.created_at <= :at ORDER BY p.key, p.version DESC"
)


@dataclass(frozen=True)
class Standing:
    """How a customer stands with a purpose.

    Attributes:
        purpose_key: The purpose.
        state: The state, with time and versions taken into account.
        since: Since when; None for NONE.
        expires_at: When it ends by itself; None: it does not.
        purpose_version: Version that was decided about; 0 for NONE.
        event_id: The event that decides; None for NONE.
        version: Version of the tenant's consents it came with; 0 where it is not known.
        receipt_id: Receipt of the decision; None for none.
        notice_version: Version of the notice; 0 for none.
        identity_id: The person; None for NONE of a customer about whom nothing was recorded.
        customer_id: The customer; None for one who is not imported, or was erased.
        external_id: The tenant's own identifier; empty for one who was erased.
    """

    purpose_key: str
    state: ConsentState
    since: datetime | None = None
    expires_at: datetime | None = None
    purpose_version: int = 0
    event_id: UUID | None = None
    version: int = 0
    receipt_id: UUID | None = None
    notice_version: int = 0
    identity_id: UUID | None = None
    customer_id: UUID | None = None
    external_id: str = ""


@dataclass(frozen=True)
class RecordedEvent:
    """An act as it was recorded.

    Attributes:
        row: The row of ``consent_events``.
        customer_id: The customer; None for one who is not imported, or was erased.
        external_id: The tenant's own identifier; empty for one who was erased.
        evidence: Network, user agent and page, as far as they are known.
    """

    row: Any
    customer_id: UUID | None
    external_id: str
    evidence: dict[str, str]


class ConsentHistory:
    """The use cases that read decisions.

    Args:
        db: Database as the runtime role.
        tenant_keys: The tenants' keys.
        clock: Current time.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys, clock: Clock = now) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._clock = clock

    async def of_customer(
        self, ctx: RequestContext, customer_id: UUID, at: datetime | None = None
    ) -> list[Standing]:
        """How a customer stands with every purpose.

        Args:
            ctx: The request.
            customer_id: The customer.
            at: As it was known then; None: as it is.

        Raises:
            NotFound: RESOURCE_NOT_FOUND.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            identity = await _identity_of(tx, customer_id)
            if at is not None and at < self._clock():
                return await _known_at(tx, identity, at)
            return await self._all(tx, ctx, identity)

    async def of_identity(
        self, ctx: RequestContext, identity_id: UUID, purposes: list[str] | None = None
    ) -> list[Standing]:
        """How a person stands with purposes; every one when None."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await self._all(tx, ctx, identity_id)
        return found if purposes is None else [one for one in found if one.purpose_key in set(purposes)]

    async def page(
        self,
        ctx: RequestContext,
        purpose: str,
        state: str,
        after: tuple[UUID, str] | None,
        limit: int,
    ) -> list[Standing]:
        """What was ever decided, by person and purpose.

        Args:
            ctx: The request.
            purpose: Only this one; any when empty.
            state: Only this one; any when empty.
            after: Person and purpose of the last row of the page before; None for the first page.
            limit: Most rows.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await self._rows(tx, ctx, None, purpose, state, after, limit)

    async def events(
        self, ctx: RequestContext, customer_id: UUID | None, purpose: str, before: int | None, limit: int
    ) -> list[RecordedEvent]:
        """Acts, newest first.

        Args:
            ctx: The request.
            customer_id: Only of this customer; None: of all.
            purpose: Only about this one; any when empty.
            before: Place of the last row of the page before; None for the first page.
            limit: Most rows.

        Raises:
            NotFound: RESOURCE_NOT_FOUND: the customer.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            identity = None
            if customer_id is not None:
                identity = await _identity_of(tx, customer_id)
                if identity is None:
                    return []
            values = {"identity": identity, "purpose": purpose, "before": before, "limit": limit}
            rows = (await tx.execute(_EVENTS, values)).all()
            people = Identities(tx, ctx.tenant_id, self._tenant_keys)
            return [
                RecordedEvent(
                    row,
                    _plain(row.customer_id),
                    await self._external(tx, ctx, row),
                    await people.opened(row.identity_id, row.data_key_enc, row.id, row.evidence_enc),
                )
                for row in rows
            ]

    async def _all(self, tx: AsyncConnection, ctx: RequestContext, identity: UUID | None) -> list[Standing]:
        keys = [one.key for one in await PurposeRows(tx).current()]
        found = {}
        if identity is not None:
            rows = await self._rows(tx, ctx, identity, "", "", None, 1000)
            found = {one.purpose_key: one for one in rows}
        return [found.get(key) or Standing(key, ConsentState.NONE) for key in keys]

    async def _rows(
        self,
        tx: AsyncConnection,
        ctx: RequestContext,
        identity: UUID | None,
        purpose: str,
        state: str,
        after: tuple[UUID, str] | None,
        limit: int,
    ) -> list[Standing]:
        values = {
            "identity": identity,
            "purpose": purpose,
            "state": state,
            "after": after[0] if after else None,
            "key": after[1] if after else "",
            "limit": limit,
        }
        rows = (await tx.execute(_PAGE, values)).all()
        return [_standing(row, await self._external(tx, ctx, row)) for row in rows]

    async def _external(self, tx: AsyncConnection, ctx: RequestContext, row: Any) -> str:
        if row.external_id is not None or row.ident_enc is None:
            return row.external_id or ""
        sealer = await self._tenant_keys.sealer(tx, ctx.tenant_id, IDENT_COLUMN)
        return sealer.open(row.ident_enc, row.identity_id.bytes).decode("utf-8", "surrogatepass")


async def _identity_of(tx: AsyncConnection, customer_id: UUID) -> UUID | None:
    row = (
        await tx.execute(
            text(
                "SELECT i.id FROM customers c LEFT JOIN consent_identities i"
                " ON i.tenant_id = c.tenant_id AND i.customer_id = c.id"
                " WHERE c.tenant_id = app.tid() AND c.id = :id"
            ),
            {"id": customer_id},
        )
    ).one_or_none()
    if row is None:
        raise ConsentRowMissing("customer")
    return _plain(row.id)


async def _known_at(tx: AsyncConnection, identity: UUID | None, at: datetime) -> list[Standing]:
    held = (await tx.execute(_PURPOSES_AT, {"at": at})).all()
    rows = (await tx.execute(_KNOWN_AT, {"identity": identity, "at": at})).all() if identity else []
    decisions: dict[str, list[Decision]] = {}
    for row in rows:
        decisions.setdefault(row.purpose_key, []).append(
            Decision(
                plain_uuid(row.id),
                ActType(row.type),
                row.collected_at,
                row.place,
                row.purpose_version,
                row.expires_at,
                _plain(row.receipt_id),
                row.notice_version,
            )
        )
    found = []
    for purpose in held:
        decision = effective(decisions.get(purpose.key, ()))
        state = state_of(decision, at, purpose.min_version)
        if decision is None:
            found.append(Standing(purpose.key, state))
            continue
        found.append(
            Standing(
                purpose.key,
                state,
                _since(state, decision.collected_at, decision.expires_at, purpose.reconsent_at),
                decision.expires_at,
                decision.purpose_version,
                decision.event_id,
                receipt_id=decision.receipt_id,
                notice_version=decision.notice_version,
                identity_id=identity,
            )
        )
    return found


def _standing(row: Row[tuple[object, ...]], external: str) -> Standing:
    state = ConsentState(row.state)
    return Standing(
        row.purpose_key,
        state,
        _since(state, row.since, row.expires_at, row.reconsent_at),
        row.expires_at,
        row.purpose_version,
        plain_uuid(row.event_id),
        row.version,
        _plain(row.receipt_id),
        row.notice_version,
        plain_uuid(row.identity_id),
        _plain(row.customer_id),
        external,
    )


def _since(
    state: ConsentState, decided: datetime, expires_at: datetime | None, reconsent_at: datetime
) -> datetime:
    if state is ConsentState.EXPIRED and expires_at is not None:
        return expires_at
    return max(decided, reconsent_at) if state is ConsentState.INVALIDATED else decided


def _plain(value: UUID | None) -> UUID | None:
    return None if value is None else plain_uuid(value)
