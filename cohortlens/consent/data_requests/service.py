"""Data requests as their callers see them: stored, approved, rejected, cancelled, extended, fetched.

The work itself is done by jobs (``work``). Every decision is one transaction with its audit row.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.data_requests.files import ExportFolder
from cohortlens.consent.data_requests.models import (
    DATA_REQUEST_APPROVED,
    OPEN_STATES,
    CustomerNotVerified,
    DataRequest,
    DataRequestMissing,
    DataRequestState,
    DataRequestStateInvalid,
    DataRequestType,
    ExportNotReady,
    LegalHold,
    Notes,
)
from cohortlens.consent.data_requests.rows import DataRequestRows, NewRequest
from cohortlens.consent.models import field_fault
from cohortlens.consent.subjects import People
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.core.personal_data import Subject
from cohortlens.core.tenant_keys import TenantKeys

CORRECTIONS_MAX = 50
_CORRECTED = re.compile(r"country|attributes\.[A-Za-z0-9_ .-]{1,100}")
_VALUE_CHARACTERS = 1000
_PIECE_BYTES = 256 * 1024
_State = DataRequestState


class DataRequestsService:
    """Use cases of data requests.

    Args:
        db: The database.
        keys: Seal who a request is about.
        people: Find the person.
        root: Folder of the artifact store, where exports lie.
        clock: Current time.
    """

    def __init__(
        self, db: Database, keys: TenantKeys, people: People, root: Path, clock: Clock = now
    ) -> None:
        self._db = db
        self._keys = keys
        self._people = people
        self._root = root
        self._clock = clock

    async def create(
        self,
        ctx: RequestContext,
        customer: str,
        type_: DataRequestType,
        *,
        channel: str,
        verification: str = "",
        received_at: datetime | None = None,
        corrections: Mapping[str, str] | None = None,
        is_lifting: bool = False,
    ) -> DataRequest:
        """Store a request of a person.

        Args:
            ctx: The request.
            customer: A customer's identifier, or ``external:`` and the tenant's own one.
            type_: What is asked for.
            channel: How it came: EMAIL, PHONE, POST, IN_PERSON or WEB.
            verification: How the person was verified; may follow with the approval.
            received_at: When the person asked; now when None, never later.
            corrections: New values by name, for a rectification: ``country``, ``attributes.<name>``.
            is_lifting: A restriction or an objection is taken back.

        Raises:
            ConsentRowMissing: There is no such person.
            CustomerErased: The person was erased.
            InvalidArgument: A field does not fit the type.
        """
        at = self._clock()
        _check(type_, corrections or {}, received_at or at, at, is_lifting=is_lifting)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            subject = await self._people.subject(tx, ctx.tenant_id, customer)
            return await self._add(
                tx,
                ctx.tenant_id,
                ctx,
                NewRequest(
                    request_id=uuid7(),
                    subject=subject,
                    type=type_,
                    is_lifting=is_lifting,
                    channel=channel,
                    state=_State.VERIFIED if verification else _State.RECEIVED,
                    notes=Notes(verification=verification, corrections=corrections or {}),
                    received_at=received_at or at,
                    created_by=ctx.caller.actor,
                    created_at=at,
                ),
            )

    async def create_own(
        self,
        tenant_id: TenantId,
        identity_id: UUID,
        link_id: UUID,
        type_: DataRequestType,
        *,
        corrections: Mapping[str, str] | None = None,
        is_lifting: bool = False,
    ) -> DataRequest:
        """Store a request that a person made by a link; whoever sent the link has verified them.

        Args:
            tenant_id: Tenant of the link.
            identity_id: The person of the link.
            link_id: The link.
            type_: What is asked for.
            corrections: As of ``create``.
            is_lifting: As of ``create``.

        Raises:
            CustomerErased: The person was erased.
            InvalidArgument: A field does not fit the type.
        """
        at = self._clock()
        _check(type_, corrections or {}, at, at, is_lifting=is_lifting)
        who = Actor("customer_link", str(link_id))
        async with self._db.tenant_transaction(tenant_id) as tx:
            subject = await self._people.opened(tx, tenant_id, identity_id)
            return await self._add(
                tx,
                tenant_id,
                who,
                NewRequest(
                    request_id=uuid7(),
                    subject=subject,
                    type=type_,
                    is_lifting=is_lifting,
                    channel="LINK",
                    state=_State.VERIFIED,
                    notes=Notes(verification="by a link", corrections=corrections or {}),
                    received_at=at,
                    created_by=str(who),
                    created_at=at,
                ),
            )

    async def get(
        self, tenant_id: TenantId, request_id: UUID, identity_id: UUID | None = None
    ) -> DataRequest:
        """One request with its steps.

        Args:
            tenant_id: The tenant.
            request_id: The request.
            identity_id: Only if it is about this person; anybody's when None.

        Raises:
            DataRequestMissing: There is no such request.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            found = await (await self._rows(tx, tenant_id)).get(request_id)
        if found is None or identity_id not in {None, found.identity_id}:
            raise DataRequestMissing("data_request")
        return found

    async def page(
        self,
        ctx: RequestContext,
        before: UUID | None,
        limit: int,
        *,
        state: str = "",
        type_: str = "",
        customer: str = "",
    ) -> list[DataRequest]:
        """Requests stored before one, newest first; of all persons when ``customer`` is empty."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            identity: UUID | None = None
            if customer:
                identity = await self._people.known(tx, ctx.tenant_id, customer)
                if identity is None:
                    return []
            rows = await self._rows(tx, ctx.tenant_id)
            return await rows.page(before, limit, state=state, type_=type_, identity=identity)

    async def page_own(self, tenant_id: TenantId, identity_id: UUID, limit: int) -> list[DataRequest]:
        """The newest requests of one person."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            return await (await self._rows(tx, tenant_id)).page(None, limit, identity=identity_id)

    async def approve(self, ctx: RequestContext, request_id: UUID, verification: str = "") -> DataRequest:
        """Have a request worked on; a failed one is taken up where it stopped.

        Args:
            ctx: The request.
            request_id: The request.
            verification: How the person was verified, if that was not said before.

        Raises:
            DataRequestMissing: There is no such request.
            CustomerNotVerified: Nobody ever said how the person was verified.
            LegalHold: It asks to erase what the law forbids to erase.
            DataRequestStateInvalid: It is decided already.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = await self._rows(tx, ctx.tenant_id)
            found = await _open(rows, request_id, (*OPEN_STATES, _State.FAILED), "open or failed")
            notes = replace(found.notes, verification=verification or found.notes.verification)
            if not notes.verification:
                raise CustomerNotVerified(
                    "say in identity_verification how you made sure that the request is the person's own"
                )
            if found.type is DataRequestType.ERASURE and await rows.held(found.identity_id):
                raise LegalHold("the person's data are under a legal hold; end it before you erase them")
            actor = ctx.caller.actor
            await rows.change(
                request_id, state=_State.APPROVED.value, notes=notes, decided_by=actor, error_reason=""
            )
            await Outbox(tx).record(
                DATA_REQUEST_APPROVED, str(request_id), {"data_request_id": str(request_id)}
            )
            await _audited(tx, ctx, "approved", found)
        return await self.get(ctx.tenant_id, request_id)

    async def reject(self, ctx: RequestContext, request_id: UUID, reason: str) -> DataRequest:
        """Refuse a request, with the reason that the person must be told (GDPR article 12(4)).

        Raises:
            DataRequestMissing: There is no such request.
            DataRequestStateInvalid: It is decided already.
        """
        return await self._ended(ctx, request_id, _State.REJECTED, reason)

    async def cancel(self, ctx: RequestContext, request_id: UUID) -> DataRequest:
        """End a request that the person took back; raises as ``reject``."""
        return await self._ended(ctx, request_id, _State.CANCELLED, "")

    async def extend(self, ctx: RequestContext, request_id: UUID, reason: str) -> DataRequest:
        """Take two more months for a complex request (GDPR article 12(3)); once.

        Raises:
            DataRequestMissing: There is no such request.
            DataRequestStateInvalid: It has ended, or was extended before.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = await self._rows(tx, ctx.tenant_id)
            found = await rows.get(request_id, lock=True)
            if found is None:
                raise DataRequestMissing("data_request")
            if found.state.is_final or found.extended_at is not None:
                raise DataRequestStateInvalid(found.state, "open and was not extended before")
            await rows.extend(request_id, replace(found.notes, reason=reason), self._clock())
            await _audited(tx, ctx, "extended", found)
        return await self.get(ctx.tenant_id, request_id)

    async def content(
        self, tenant_id: TenantId, request_id: UUID, identity_id: UUID | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes of an export, piece by piece; arguments as ``get``.

        Raises:
            DataRequestMissing: There is no such request.
            ExportNotReady: There is no file: not yet, no more, or the request asks for none.
        """
        found = await self.get(tenant_id, request_id, identity_id)
        path = ExportFolder(self._root, tenant_id, request_id).result
        is_kept = found.export_until is not None and found.export_until > self._clock()
        if found.state is not _State.COMPLETED or not is_kept or not await asyncio.to_thread(path.is_file):
            raise ExportNotReady(
                "there is no file: it is made when a request for access or portability has completed, "
                "and kept for 7 days"
            )
        return _pieces(path)

    async def _add(
        self, tx: AsyncConnection, tenant_id: TenantId, who: RequestContext | Actor, new: NewRequest
    ) -> DataRequest:
        idempotency.made(data_request=str(new.request_id))
        rows = await self._rows(tx, tenant_id)
        await rows.add(new)
        await AuditTrail(tx).append(
            who,
            "consent.data_request.received",
            resource=f"dataRequests/{new.request_id}",
            details={"type": new.type.value, "identity": str(new.subject.identity_id)},
        )
        found = await rows.get(new.request_id)
        assert found is not None
        return found

    async def _ended(
        self, ctx: RequestContext, request_id: UUID, state: DataRequestState, reason: str
    ) -> DataRequest:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = await self._rows(tx, ctx.tenant_id)
            found = await _open(rows, request_id, OPEN_STATES, "not decided yet")
            values: dict[str, Any] = {"state": state.value, "ended_at": self._clock()}
            if reason:
                values["notes"] = replace(found.notes, reason=reason)
            await rows.change(request_id, **values, decided_by=ctx.caller.actor)
            await _audited(tx, ctx, state.lower(), found)
        return await self.get(ctx.tenant_id, request_id)

    async def _rows(self, tx: AsyncConnection, tenant_id: UUID) -> DataRequestRows:
        return await DataRequestRows.of(tx, tenant_id, self._keys)


def subject_of(request: DataRequest) -> Subject:
    """Who a request is about, as it was when the request was stored."""
    return Subject(request.identity_id, request.customer_id, request.external_id)


async def _open(
    rows: DataRequestRows, request_id: UUID, states: tuple[DataRequestState, ...], wanted: str
) -> DataRequest:
    found = await rows.get(request_id, lock=True)
    if found is None:
        raise DataRequestMissing("data_request")
    if found.state not in states:
        raise DataRequestStateInvalid(found.state, wanted)
    return found


async def _audited(tx: AsyncConnection, ctx: RequestContext, verb: str, request: DataRequest) -> None:
    await AuditTrail(tx).append(
        ctx,
        f"consent.data_request.{verb}",
        resource=f"dataRequests/{request.request_id}",
        details={"type": request.type.value, "identity": str(request.identity_id)},
    )


def _check(
    type_: DataRequestType,
    corrections: Mapping[str, str],
    received_at: datetime,
    at: datetime,
    *,
    is_lifting: bool,
) -> None:
    if received_at > at:
        raise field_fault("received_time", "lies in the future; give the time at which the person asked")
    if is_lifting and type_ not in {DataRequestType.RESTRICTION, DataRequestType.OBJECTION}:
        raise field_fault("lifts", "only a restriction or an objection can be taken back")
    if type_ is not DataRequestType.RECTIFICATION:
        if corrections:
            raise field_fault("corrections", "belong to a request of type RECTIFICATION alone")
        return
    if not 1 <= len(corrections) <= CORRECTIONS_MAX:
        raise field_fault("corrections", f"a rectification names 1 to {CORRECTIONS_MAX} values")
    for name, value in corrections.items():
        if _CORRECTED.fullmatch(name) is None:
            raise field_fault("corrections", "only country and attributes.<name> can be corrected")
        if len(value) > (100 if name == "country" else _VALUE_CHARACTERS):
            raise field_fault("corrections", f"the value of {name.split('.')[0]} is too long")


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    # An open file stays readable when its name is removed meanwhile.
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
