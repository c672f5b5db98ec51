"""AuditService, the access log: messages to its use case, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.audit.access_reading import AccessEntry, AccessQuery, AccessReading
from cohortlens.audit.models import RangeInvalid, instant
from cohortlens.core.paging import PageTokens, page_size
from cohortlens.v1 import audit_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp

_METHOD = "ListAccessEntries"


class AccessLogServicer:
    """The RPC of ``cohortlens.v1.AuditService`` that reads the access log.

    Args:
        reading: The use case.
        tokens: Seals the tokens of pages.
    """

    def __init__(self, reading: AccessReading, tokens: PageTokens) -> None:
        self._reading = reading
        self._tokens = tokens

    async def ListAccessEntries(
        self, request: pb.ListAccessEntriesRequest, call: Call
    ) -> pb.ListAccessEntriesResponse:
        """A page of entries, newest first.

        Raises:
            InvalidArgument: FIELD_INVALID for times that are none or in the wrong order; PAGE_TOKEN_INVALID.
        """
        ctx = call.context
        query = _query(request)
        narrowed = [str(query.since), str(query.until), query.actor, query.customer, query.customer_ref]
        filters = {"by": narrowed}
        cursor = None
        if request.page_token:
            at, entry = self._tokens.decode_token(ctx.tenant_id, _METHOD, filters, request.page_token)
            cursor = (at, entry)
        page = await self._reading.page(ctx, query, cursor, page_size(request.page_size))
        token = ""
        if page.following is not None:
            token = self._tokens.encode_token(ctx.tenant_id, _METHOD, filters, page.following)
        return pb.ListAccessEntriesResponse(
            entries=[_entry(one) for one in page.entries], next_page_token=token
        )


def _query(request: pb.ListAccessEntriesRequest) -> AccessQuery:
    return AccessQuery(
        since=_time(request, "start_time"),
        until=_time(request, "end_time"),
        actor=request.actor,
        customer=request.customer,
        customer_ref=request.customer_ref,
    )


def _time(request: Any, field: str) -> datetime | None:
    if not request.HasField(field):
        return None
    given: Timestamp = getattr(request, field)
    try:
        return given.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise RangeInvalid(field, "must be a time of the years 1 to 9999") from None


def _entry(it: AccessEntry) -> pb.AccessEntry:
    meaning = it.meaning()
    return pb.AccessEntry(
        entry=str(it.entry_id),
        create_time=timestamp(it.at),
        access_time=timestamp(instant(meaning["at_us"])),
        actor=meaning["actor"],
        on_behalf_of=meaning["on_behalf_of"],
        action=meaning["action"],
        method=meaning["method"],
        resource=meaning["resource"],
        customer_refs=meaning["customer_refs"],
        outcome=f"AUDIT_OUTCOME_{meaning['outcome']}",
        reason=meaning["reason"],
        request_id=meaning["request_id"],
        address=meaning["address"],
        leaf=it.canonical,
        seal_seq=it.seal_seq,
    )
