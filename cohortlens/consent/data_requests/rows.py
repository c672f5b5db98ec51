"""Statements about data requests and their steps; who they are about and what staff wrote is sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.data_requests.models import (
    DUE_MONTHS,
    EXTENDED_MONTHS,
    DataRequest,
    DataRequestState,
    DataRequestType,
    Notes,
    Step,
)
from cohortlens.core.ids import plain_uuid
from cohortlens.core.personal_data import Subject
from cohortlens.core.tenant_keys import TenantKeys, TenantSealer

SUBJECT_COLUMN, NOTES_COLUMN = "data_requests.subject_enc", "data_requests.notes_enc"
_COLUMNS = (
    "id, identity_id, type, is_lifting, channel, state, subject_enc, notes_enc, received_at, due_at,"
    " extended_at, export_sha256, export_bytes, export_until, error_reason, created_by, decided_by,"
    " created_at, ended_at"
)
_INSERT = f"""
INSERT INTO data_requests (tenant_id, id, identity_id, type, is_lifting, channel, state, subject_enc,
  notes_enc, received_at, due_at, created_by, created_at)
VALUES (app.tid(), :id, :identity, :type, :lifting, :channel, :state, :subject, :notes, :received,
  CAST(:received AS timestamptz) + make_interval(months => {DUE_MONTHS}), :by, :now)
"""  # noqa: S608 - a number of ours
_PAGE = """
SELECT {columns} FROM data_requests WHERE tenant_id = app.tid()
   AND (CAST(:before AS uuid) IS NULL OR id < :before)
   AND (:state = '' OR state = :state) AND (:type = '' OR type = :type)
   AND (CAST(:identity AS uuid) IS NULL OR identity_id = :identity)
 ORDER BY id DESC LIMIT :limit
"""
_STEPS = """
SELECT request_id, name, state, rows_found, rows_erased, sha256, done_at FROM data_request_steps
 WHERE tenant_id = app.tid() AND request_id = ANY (CAST(:ids AS uuid[])) ORDER BY request_id, place
"""
_PLAN = """
INSERT INTO data_request_steps (tenant_id, request_id, place, name)
SELECT app.tid(), :id, step.place, step.name
  FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS step (name, place)
ON CONFLICT DO NOTHING
"""
_SCRUB = """
UPDATE data_requests SET subject_enc = NULL, notes_enc = NULL, export_sha256 = '', export_bytes = 0,
  export_until = NULL, state = CASE WHEN ended_at IS NULL THEN 'CANCELLED' ELSE state END,
  ended_at = coalesce(ended_at, :at)
 WHERE tenant_id = app.tid() AND identity_id = :identity AND NOT (type = 'ERASURE' AND ended_at IS NULL)
RETURNING id
"""


@dataclass(frozen=True)
class NewRequest:
    """What is stored of a new request; attributes as of ``DataRequest``."""

    request_id: UUID
    subject: Subject
    type: DataRequestType
    is_lifting: bool
    channel: str
    state: DataRequestState
    notes: Notes
    received_at: datetime
    created_by: str
    created_at: datetime


class DataRequestRows:
    """The tables ``data_requests`` and ``data_request_steps``.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        subjects: Seals who a request is about.
        notes: Seals what staff wrote.
    """

    def __init__(self, tx: AsyncConnection, subjects: TenantSealer, notes: TenantSealer) -> None:
        self._tx = tx
        self._subjects = subjects
        self._notes = notes

    @classmethod
    async def of(cls, tx: AsyncConnection, tenant_id: UUID, keys: TenantKeys) -> DataRequestRows:
        """The rows of a tenant with its sealers."""
        subjects = await keys.sealer(tx, tenant_id, SUBJECT_COLUMN)
        return cls(tx, subjects, await keys.sealer(tx, tenant_id, NOTES_COLUMN))

    async def add(self, new: NewRequest) -> None:
        """Store a request."""
        person = {"customer_id": _text(new.subject.customer_id), "external_id": new.subject.external_id}
        await self._tx.execute(
            text(_INSERT),
            {
                "id": new.request_id,
                "identity": new.subject.identity_id,
                "type": new.type.value,
                "lifting": new.is_lifting,
                "channel": new.channel,
                "state": new.state.value,
                "subject": self._subjects.seal(json.dumps(person).encode(), new.request_id.bytes),
                "notes": self._sealed(new.request_id, new.notes),
                "received": new.received_at,
                "by": new.created_by,
                "now": new.created_at,
            },
        )

    async def get(self, request_id: UUID, *, lock: bool = False) -> DataRequest | None:
        """A request with its steps; with ``lock`` nobody else changes it before the transaction ends."""
        query = f"SELECT {_COLUMNS} FROM data_requests WHERE tenant_id = app.tid() AND id = :id"  # noqa: S608
        rows = await self._tx.execute(text(query + (" FOR UPDATE" if lock else "")), {"id": request_id})
        found = await self._with_steps(rows.all())
        return found[0] if found else None

    async def page(
        self,
        before: UUID | None,
        limit: int,
        *,
        state: str = "",
        type_: str = "",
        identity: UUID | None = None,
    ) -> list[DataRequest]:
        """Requests stored before ``before``, newest first; of all states and types when empty."""
        values = {"before": before, "limit": limit, "state": state, "type": type_, "identity": identity}
        return await self._with_steps(
            (await self._tx.execute(text(_PAGE.format(columns=_COLUMNS)), values)).all()
        )

    async def change(self, request_id: UUID, **values: Any) -> None:
        """Set columns of a request, by name; ``notes`` is sealed here."""
        if "notes" in values:
            values["notes_enc"] = self._sealed(request_id, values.pop("notes"))
        assigned = ", ".join(f"{name} = :{name}" for name in values)
        query = f"UPDATE data_requests SET {assigned} WHERE tenant_id = app.tid() AND id = :id"  # noqa: S608
        await self._tx.execute(text(query), {**values, "id": request_id})

    async def extend(self, request_id: UUID, notes: Notes, at: datetime) -> None:
        """Give a request the longer time, counted from its receipt."""
        query = text(
            "UPDATE data_requests SET extended_at = :at, notes_enc = :notes,"  # noqa: S608 - a number of ours
            f" due_at = received_at + make_interval(months => {EXTENDED_MONTHS})"
            " WHERE tenant_id = app.tid() AND id = :id"
        )
        await self._tx.execute(query, {"id": request_id, "at": at, "notes": self._sealed(request_id, notes)})

    async def plan(self, request_id: UUID, names: Sequence[str]) -> None:
        """Store the steps of the work; steps that are stored already stay as they are."""
        await self._tx.execute(text(_PLAN), {"id": request_id, "names": list(names)})

    async def step(self, request_id: UUID, name: str, **values: Any) -> None:
        """Set columns of a step, by name."""
        assigned = ", ".join(f"{column} = :{column}" for column in values)
        query = (
            f"UPDATE data_request_steps SET {assigned}"  # noqa: S608 - names of ours
            " WHERE tenant_id = app.tid() AND request_id = :id AND name = :name"
        )
        await self._tx.execute(text(query), {**values, "id": request_id, "name": name})

    async def begin_anew(self, request_id: UUID) -> None:
        """Have every step of a request done again."""
        query = (
            "UPDATE data_request_steps SET state = 'PENDING', done_at = NULL"
            " WHERE tenant_id = app.tid() AND request_id = :id"
        )
        await self._tx.execute(text(query), {"id": request_id})

    async def held(self, identity_id: UUID) -> bool:
        """Whether the person's data may not be erased now."""
        query = "SELECT 1 FROM legal_holds WHERE tenant_id = app.tid() AND identity_id = :identity"
        return await self._tx.scalar(text(query), {"identity": identity_id}) is not None

    async def scrub(self, identity_id: UUID, at: datetime) -> list[UUID]:
        """Forget who the requests of a person were about and what was written about them; give their names.

        Open ones end as cancelled, except the erasures that make it so.
        """
        found = await self._tx.scalars(text(_SCRUB), {"identity": identity_id, "at": at})
        return [plain_uuid(one) for one in found]

    def _sealed(self, request_id: UUID, notes: Notes) -> bytes:
        return self._notes.seal(json.dumps(asdict(notes)).encode(), request_id.bytes)

    async def _with_steps(self, rows: Sequence[Any]) -> list[DataRequest]:
        ids = [row.id for row in rows]
        steps: dict[UUID, list[Step]] = {}
        if ids:
            for row in await self._tx.execute(text(_STEPS), {"ids": ids}):
                steps.setdefault(plain_uuid(row.request_id), []).append(Step(*row[1:]))
        return [self._request(row, steps.get(plain_uuid(row.id), [])) for row in rows]

    def _request(self, row: Any, steps: Sequence[Step]) -> DataRequest:
        request_id = plain_uuid(row.id)
        person = _opened(self._subjects, row.subject_enc, request_id)
        customer = person.get("customer_id") or ""
        return DataRequest(
            request_id=request_id,
            identity_id=plain_uuid(row.identity_id),
            customer_id=UUID(customer) if customer else None,
            external_id=person.get("external_id", ""),
            type=DataRequestType(row.type),
            is_lifting=row.is_lifting,
            channel=row.channel,
            state=DataRequestState(row.state),
            notes=Notes(**_opened(self._notes, row.notes_enc, request_id)),
            received_at=row.received_at,
            due_at=row.due_at,
            extended_at=row.extended_at,
            export_sha256=row.export_sha256,
            export_bytes=row.export_bytes,
            export_until=row.export_until,
            error_reason=row.error_reason,
            created_by=row.created_by,
            decided_by=row.decided_by,
            created_at=row.created_at,
            ended_at=row.ended_at,
            steps=tuple(steps),
        )


def _opened(sealer: TenantSealer, sealed: Any, request_id: UUID) -> dict[str, Any]:
    if sealed is None:
        return {}
    found: dict[str, Any] = json.loads(sealer.open(bytes(sealed), request_id.bytes))
    return found


def _text(value: UUID | None) -> str:
    return "" if value is None else str(value)
