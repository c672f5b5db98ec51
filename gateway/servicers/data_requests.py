"""ConsentService, requests of persons about their data: messages to use cases, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.api import httpbody_pb2

from cohortlens.bootstrap.rights import Rights
from cohortlens.consent.data_requests.models import DataRequest, DataRequestType, Step
from cohortlens.consent.models import field_fault
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import consent_data_requests_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp, work_error
from gateway.servicers.paging import read_page

ZIP = "application/zip"
_FAILED = "the work could not be finished; approve the request again and it goes on where it stopped"
_STEP_STATES = {"PENDING": "PENDING", "RUNNING": "RUNNING", "DONE": "SUCCEEDED"}


class DataRequestsServicer:
    """One method per RPC about data requests, legal holds and suppressions.

    Args:
        rights: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, rights: Rights, tokens: PageTokens) -> None:
        self._requests = rights.requests
        self._holds = rights.holds
        self._suppressions = rights.suppressions
        self._tokens = tokens

    async def CreateDataRequest(
        self, request: pb.CreateDataRequestRequest, call: Call
    ) -> pb.CreateDataRequestResponse:
        """Store a request."""
        stored = await self._requests.create(
            call.context,
            request.customer,
            type_of(request.type),
            channel=_channel(request.channel),
            verification=request.identity_verification,
            received_at=_time(request, "received_time"),
            corrections=corrections_of(request.corrections),
            is_lifting=request.lifts,
        )
        return pb.CreateDataRequestResponse(data_request=shown(stored))

    async def GetDataRequest(
        self, request: pb.GetDataRequestRequest, call: Call
    ) -> pb.GetDataRequestResponse:
        """One request."""
        found = await self._requests.get(call.context.tenant_id, _id(request))
        return pb.GetDataRequestResponse(data_request=shown(found))

    async def ListDataRequests(
        self, request: pb.ListDataRequestsRequest, call: Call
    ) -> pb.ListDataRequestsResponse:
        """A page of requests, newest first."""
        state = pb.DataRequestState.Name(request.state).removeprefix("DATA_REQUEST_STATE_")
        type_ = pb.DataRequestType.Name(request.type).removeprefix("DATA_REQUEST_TYPE_")
        state, type_ = ("" if one == "UNSPECIFIED" else one for one in (state, type_))

        async def read(cursor: Any, limit: int) -> list[DataRequest]:
            before = None if cursor is None else UUID(cursor)
            return await self._requests.page(
                call.context, before, limit, state=state, type_=type_, customer=request.customer
            )

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListDataRequests",
            {"state": state, "type": type_, "customer": request.customer},
            request,
            read,
            lambda row: str(row.request_id),
        )
        return pb.ListDataRequestsResponse(
            data_requests=[shown(row) for row in rows], next_page_token=following
        )

    async def ApproveDataRequest(
        self, request: pb.ApproveDataRequestRequest, call: Call
    ) -> pb.ApproveDataRequestResponse:
        """Have a request worked on."""
        found = await self._requests.approve(call.context, _id(request), request.identity_verification)
        return pb.ApproveDataRequestResponse(data_request=shown(found))

    async def RejectDataRequest(
        self, request: pb.RejectDataRequestRequest, call: Call
    ) -> pb.RejectDataRequestResponse:
        """Refuse a request."""
        found = await self._requests.reject(call.context, _id(request), request.reason)
        return pb.RejectDataRequestResponse(data_request=shown(found))

    async def CancelDataRequest(
        self, request: pb.CancelDataRequestRequest, call: Call
    ) -> pb.CancelDataRequestResponse:
        """End a request that was taken back."""
        found = await self._requests.cancel(call.context, _id(request))
        return pb.CancelDataRequestResponse(data_request=shown(found))

    async def ExtendDataRequest(
        self, request: pb.ExtendDataRequestRequest, call: Call
    ) -> pb.ExtendDataRequestResponse:
        """Take two more months."""
        found = await self._requests.extend(call.context, _id(request), request.reason)
        return pb.ExtendDataRequestResponse(data_request=shown(found))

    async def DownloadDataExport(
        self, request: pb.DownloadDataExportRequest, call: Call
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The file of an export, piece by piece."""
        request_id = _id(request)
        pieces = await self._requests.content(call.context.tenant_id, request_id)
        call.response_headers.append(disposition(request_id))
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=ZIP, data=piece)

    async def SetLegalHold(self, request: pb.SetLegalHoldRequest, call: Call) -> pb.SetLegalHoldResponse:
        """Hold a person's data, or let them go."""
        await self._holds.set(call.context, request.customer, request.reason, is_held=request.is_held)
        return pb.SetLegalHoldResponse()

    async def LiftSuppression(
        self, request: pb.LiftSuppressionRequest, call: Call
    ) -> pb.LiftSuppressionResponse:
        """Let an erased person come back as a new one."""
        await self._suppressions.lift(call.context, request.external_id, request.reason)
        return pb.LiftSuppressionResponse()


def shown(it: DataRequest) -> pb.DataRequest:
    """A request as callers see it."""
    done = sum(step.state == "DONE" for step in it.steps)
    return pb.DataRequest(
        data_request=str(it.request_id),
        type=f"DATA_REQUEST_TYPE_{it.type}",
        state=f"DATA_REQUEST_STATE_{it.state}",
        channel=f"DATA_REQUEST_CHANNEL_{it.channel}",
        identity=str(it.identity_id),
        customer_id="" if it.customer_id is None else str(it.customer_id),
        external_id=it.external_id,
        lifts=it.is_lifting,
        identity_verification=it.notes.verification,
        reason=it.notes.reason,
        received_time=timestamp(it.received_at),
        due_time=timestamp(it.due_at),
        is_extended=it.extended_at is not None,
        steps=[_step(step) for step in it.steps],
        progress_ratio=done / len(it.steps) if it.steps else 0.0,
        export_sha256=it.export_sha256,
        export_bytes=it.export_bytes,
        export_expire_time=timestamp(it.export_until),
        error=work_error(it.error_reason, _FAILED),
        create_time=timestamp(it.created_at),
        end_time=timestamp(it.ended_at),
    )


def type_of(value: int) -> DataRequestType:
    """The type of a request.

    Raises:
        InvalidArgument: The number is none.
    """
    if value not in pb.DataRequestType.values() or not value:
        raise field_fault("type", "is none of the types of data requests")
    return DataRequestType(
        pb.DataRequestType.Name(pb.DataRequestType.ValueType(value)).removeprefix("DATA_REQUEST_TYPE_")
    )


def corrections_of(given: Iterable[pb.Correction]) -> dict[str, str]:
    """Corrections by name.

    Raises:
        InvalidArgument: One name stands twice.
    """
    found: dict[str, str] = {}
    for one in given:
        if one.name in found:
            raise field_fault("corrections", "name each value once")
        found[one.name] = one.value
    return found


def disposition(request_id: UUID) -> tuple[str, str]:
    """The header that names the file of an export."""
    return "content-disposition", f'attachment; filename="personal-data-{request_id}.zip"'


def _channel(value: int) -> str:
    if value not in pb.DataRequestChannel.values() or value == pb.DATA_REQUEST_CHANNEL_LINK:
        raise field_fault("channel", "is none that staff can choose")
    return pb.DataRequestChannel.Name(pb.DataRequestChannel.ValueType(value)).removeprefix(
        "DATA_REQUEST_CHANNEL_"
    )


def _step(it: Step) -> pb.DataRequestStep:
    return pb.DataRequestStep(
        name=it.name,
        state=f"WORK_STATE_{_STEP_STATES[it.state]}",
        rows_found=it.rows_found,
        rows_erased=it.rows_erased,
        sha256=it.sha256,
        done_time=timestamp(it.done_at),
    )


def _id(request: Any) -> UUID:
    return identifier_of("data_request", request.data_request)


def _time(request: Any, name: str) -> datetime | None:
    if not request.HasField(name):
        return None
    try:
        found: datetime = getattr(request, name).ToDatetime(tzinfo=UTC)
    except ValueError:
        raise field_fault(name, "is no time") from None
    return found
