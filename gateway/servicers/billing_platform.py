"""BillingService: the RPCs about the payment provider's events, for the staff of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cohortlens.billing.payments.operating import BillingEvent, BillingOperations
from cohortlens.core.ids import parse_uuid
from cohortlens.core.paging import PageTokens
from cohortlens.identity.tenancy.roles import missing
from cohortlens.v1 import billing_platform_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp
from gateway.servicers.paging import read_page

_PREFIX = "BILLING_EVENT_STATE_"


class BillingPlatformServicer:
    """One method per RPC of ``cohortlens.v1.BillingService`` that is about events.

    Args:
        operations: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, operations: BillingOperations, tokens: PageTokens) -> None:
        self._operations = operations
        self._tokens = tokens

    async def ListBillingEvents(
        self, request: pb.ListBillingEventsRequest, call: Call
    ) -> pb.ListBillingEventsResponse:
        """Events, newest first."""
        state = pb.BillingEventState.Name(request.state).removeprefix(_PREFIX) if request.state else ""

        async def read(cursor: Any, limit: int) -> list[BillingEvent]:
            before = None if cursor is None else (datetime.fromisoformat(cursor[0]), str(cursor[1]))
            return await self._operations.page(
                call.context, state=state, event_type=request.type, before=before, limit=limit
            )

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListBillingEvents",
            {"state": state, "type": request.type},
            request,
            read,
            lambda row: [row.received_at.isoformat(), row.event_id],
        )
        return pb.ListBillingEventsResponse(events=[_event(row) for row in rows], next_page_token=following)

    async def ReplayBillingEvent(
        self, request: pb.ReplayBillingEventRequest, call: Call
    ) -> pb.ReplayBillingEventResponse:
        """Follow an event once more."""
        event = await self._operations.replay(call.context, request.event, request.reason)
        return pb.ReplayBillingEventResponse(event=_event(event))

    async def RereadReplayBillingEvent(
        self, request: pb.ReplayBillingEventRequest, made: Mapping[str, Any], call: Call
    ) -> pb.ReplayBillingEventResponse:
        """The answer of a replay, for a repeat of a call whose answer was lost."""
        del request, call
        return pb.ReplayBillingEventResponse(event=_event(await self._operations.event(made["event"])))

    async def ReconcileSubscription(
        self, request: pb.ReconcileSubscriptionRequest, call: Call
    ) -> pb.ReconcileSubscriptionResponse:
        """Compare a tenant's subscription with the provider's."""
        tenant_id = parse_uuid(request.tenant)
        if tenant_id is None:
            raise missing("tenant")
        event = await self._operations.reconcile(call.context, tenant_id, request.reason)
        return pb.ReconcileSubscriptionResponse(event=_event(event))

    async def RereadReconcileSubscription(
        self, request: pb.ReconcileSubscriptionRequest, made: Mapping[str, Any], call: Call
    ) -> pb.ReconcileSubscriptionResponse:
        """The answer of a comparison that was asked for, for a repeat of a call whose answer was lost."""
        del request, call
        return pb.ReconcileSubscriptionResponse(event=_event(await self._operations.event(made["event"])))


def _event(one: BillingEvent) -> pb.BillingEvent:
    return pb.BillingEvent(
        event=one.event_id,
        type=one.type,
        livemode=one.livemode,
        api_version=one.api_version,
        customer=one.customer_id,
        object=one.object_id,
        tenant="" if one.tenant_id is None else str(one.tenant_id),
        state=_PREFIX + one.state,
        attempts=one.attempts,
        last_error=one.last_error,
        create_time=timestamp(one.happened_at),
        receive_time=timestamp(one.received_at),
        next_try_time=timestamp(one.next_try_at) if one.ended_at is None else None,
        end_time=timestamp(one.ended_at),
    )
