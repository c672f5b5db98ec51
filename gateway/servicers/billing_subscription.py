"""BillingService: the RPCs of a tenant's own subscription."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.billing.models import Interval
from cohortlens.billing.subscriptions.models import (
    ChangePreview,
    Effective,
    PlanChange,
    PlanWarning,
    SubscriptionView,
)
from cohortlens.billing.subscriptions.reads import InvoiceRow
from cohortlens.billing.subscriptions.service import Subscriptions
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import billing_plans_pb2 as plans_pb
from cohortlens.v1 import billing_subscription_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.paging import read_page

_INTERVALS = {
    plans_pb.BILLING_INTERVAL_MONTH: Interval.MONTH,
    plans_pb.BILLING_INTERVAL_YEAR: Interval.YEAR,
}


class BillingSubscriptionServicer:
    """One method per RPC of ``cohortlens.v1.BillingService`` that is about the caller's subscription.

    Args:
        subscriptions: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, subscriptions: Subscriptions, tokens: PageTokens) -> None:
        self._subscriptions = subscriptions
        self._tokens = tokens

    async def GetSubscription(
        self, request: pb.GetSubscriptionRequest, call: Call
    ) -> pb.GetSubscriptionResponse:
        """The tenant's subscription."""
        del request
        view = await self._subscriptions.reads.subscription(call.context)
        return pb.GetSubscriptionResponse(subscription=_subscription(view))

    async def CreateCheckoutSession(
        self, request: pb.CreateCheckoutSessionRequest, call: Call
    ) -> pb.CreateCheckoutSessionResponse:
        """The page on which the tenant subscribes."""
        intent = await self._subscriptions.checkout.create(
            call.context,
            plan=request.plan,
            interval=_INTERVALS.get(request.interval, Interval.MONTH),
            success_url=request.success_url,
            cancel_url=request.cancel_url,
        )
        response = pb.CreateCheckoutSessionResponse(url=intent.url, session=intent.session_id)
        _set(response.expire_time, intent.expires_at)
        return response

    async def CreatePortalSession(
        self, request: pb.CreatePortalSessionRequest, call: Call
    ) -> pb.CreatePortalSessionResponse:
        """The page with invoices and means of payment."""
        url = await self._subscriptions.changes.open_portal(call.context, return_url=request.return_url)
        return pb.CreatePortalSessionResponse(url=url)

    async def ChangePlan(self, request: pb.ChangePlanRequest, call: Call) -> pb.ChangePlanResponse:
        """Change the plan, or weigh the change."""
        at_end = request.effective == pb.PLAN_CHANGE_EFFECTIVE_PERIOD_END
        change = await self._subscriptions.changes.change_plan(
            call.context,
            plan=request.plan,
            interval=_INTERVALS.get(request.interval),
            effective=Effective.PERIOD_END if at_end else Effective.IMMEDIATE,
            validate_only=request.validate_only,
            prorated_at=_time(request, "proration_time"),
        )
        return _change(change)

    async def CancelSubscription(
        self, request: pb.CancelSubscriptionRequest, call: Call
    ) -> pb.CancelSubscriptionResponse:
        """End the subscription, with its period unless said otherwise."""
        view = await self._subscriptions.changes.cancel(
            call.context,
            at_period_end=request.at_period_end if request.HasField("at_period_end") else True,
        )
        return pb.CancelSubscriptionResponse(subscription=_subscription(view))

    async def ResumeSubscription(
        self, request: pb.ResumeSubscriptionRequest, call: Call
    ) -> pb.ResumeSubscriptionResponse:
        """Let the subscription go on."""
        del request
        view = await self._subscriptions.changes.resume(call.context)
        return pb.ResumeSubscriptionResponse(subscription=_subscription(view))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, call: Call) -> pb.ListInvoicesResponse:
        """Invoices of the tenant, newest first."""

        async def read(cursor: Any, limit: int) -> list[InvoiceRow]:
            below = None if cursor is None else (datetime.fromisoformat(cursor[0]), str(cursor[1]))
            return await self._subscriptions.reads.invoices(call.context, below, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListInvoices",
            {},
            request,
            read,
            lambda row: [row.invoiced_at.isoformat(), row.invoice_id],
        )
        return pb.ListInvoicesResponse(invoices=[_invoice(row) for row in rows], next_page_token=following)


def _subscription(view: SubscriptionView) -> pb.Subscription:
    message = pb.Subscription(
        status=f"SUBSCRIPTION_STATUS_{view.status}",
        plan=view.plan,
        interval=_interval(view.interval),
        cancel_at_period_end=view.cancel_at_period_end,
        planned_plan=view.planned_plan,
    )
    _set(message.current_period_start, view.period_start)
    _set(message.current_period_end, view.period_end)
    _set(message.trial_end, view.trial_end)
    _set(message.planned_change_time, view.planned_at)
    _set(message.grace_end_time, view.grace_end)
    return message


def _interval(interval: Interval | None) -> str:
    return "BILLING_INTERVAL_UNSPECIFIED" if interval is None else f"BILLING_INTERVAL_{interval.name}"


def _change(change: PlanChange) -> pb.ChangePlanResponse:
    response = pb.ChangePlanResponse(
        subscription=_subscription(change.subscription), warnings=[_warning(one) for one in change.warnings]
    )
    if change.preview is not None:
        response.preview.CopyFrom(_preview(change.preview))
    return response


def _preview(preview: ChangePreview) -> pb.PlanChangePreview:
    message = pb.PlanChangePreview(
        amount_due_minor=preview.amount_due_minor,
        currency=preview.currency,
        lines=[
            pb.PlanChangeLine(
                description=line.description, amount_minor=line.amount_minor, is_proration=line.is_proration
            )
            for line in preview.lines
        ],
    )
    _set(message.effective_time, preview.effective_at)
    _set(message.proration_time, preview.prorated_at)
    return message


def _warning(warning: PlanWarning) -> pb.PlanChangeWarning:
    return pb.PlanChangeWarning(
        reason=warning.reason,
        message=warning.message,
        used=warning.used,
        limit=warning.limit,
        features=warning.features,
    )


def _invoice(row: InvoiceRow) -> pb.Invoice:
    message = pb.Invoice(
        invoice=row.invoice_id,
        number=row.number,
        status=f"INVOICE_STATUS_{row.status}",
        amount_due_minor=row.amount_due_minor,
        amount_paid_minor=row.amount_paid_minor,
        currency=row.currency,
        hosted_url=row.hosted_url,
    )
    _set(message.period_start, row.period_start)
    _set(message.period_end, row.period_end)
    _set(message.create_time, row.invoiced_at)
    return message


def _time(request: Any, field: str) -> datetime | None:
    return getattr(request, field).ToDatetime(UTC) if request.HasField(field) else None


def _set(field: Timestamp, at: datetime | None) -> None:
    if at is not None:
        field.FromDatetime(at)
