"""BillingService, usage: messages to the use cases of the month's quota, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cohortlens.billing.usage.models import MeterUsage, UsagePlace, UsageRow
from cohortlens.billing.usage.reading import UsageReading
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import billing_usage_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp
from gateway.servicers.paging import read_page

_METHOD = "ListUsage"


class BillingUsageServicer:
    """The RPCs of ``cohortlens.v1.BillingService`` that tell what was used.

    Args:
        reading: The use cases.
        tokens: Seals the tokens of pages.
    """

    def __init__(self, reading: UsageReading, tokens: PageTokens) -> None:
        self._reading = reading
        self._tokens = tokens

    async def GetUsage(self, request: pb.GetUsageRequest, call: Call) -> pb.GetUsageResponse:
        """Where the meters stand.

        Raises:
            InvalidArgument: FIELD_INVALID for a period that is no month.
        """
        meters = await self._reading.meters(call.context, request.period)
        return pb.GetUsageResponse(meters=[_meter(one) for one in meters])

    async def ListUsage(self, request: pb.ListUsageRequest, call: Call) -> pb.ListUsageResponse:
        """A page of rows, newest first.

        Raises:
            InvalidArgument: FIELD_INVALID for a period that is no month; PAGE_TOKEN_INVALID.
        """
        by_day = request.interval == pb.USAGE_INTERVAL_DAY
        interval = "day" if by_day else "hour"

        async def read(cursor: Any, limit: int) -> list[UsageRow]:
            behind = None
            if cursor is not None:
                behind = UsagePlace(datetime.fromtimestamp(cursor[0], UTC), cursor[1], cursor[2])
            return await self._reading.rows(call.context, request.period, interval, behind, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            _METHOD,
            {"period": request.period, "interval": interval},
            request,
            read,
            lambda row: [int(row.place.start.timestamp()), row.place.principal, row.place.method],
        )
        return pb.ListUsageResponse(rows=[_row(one) for one in rows], next_page_token=following)


def _meter(one: MeterUsage) -> pb.MeterUsage:
    return pb.MeterUsage(
        meter=one.meter,
        used=one.used,
        reserved=one.reserved,
        limit=one.limit,
        period_start_time=timestamp(one.period_start),
        resets_at=timestamp(one.period_end),
    )


def _row(one: UsageRow) -> pb.UsageRow:
    return pb.UsageRow(
        start_time=timestamp(one.place.start),
        principal=one.place.principal,
        method=one.place.method,
        meter=one.meter,
        units=one.units,
        calls=one.calls,
    )
