"""What the pages of billing call things: features, states, intervals, and limits in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cohortlens.v1 import billing_plans_pb2 as plans_pb
from cohortlens.v1 import billing_subscription_pb2 as pb
from gateway.http.pages.billing.figures import count

INTERVALS: Final = {plans_pb.BILLING_INTERVAL_MONTH: "month", plans_pb.BILLING_INTERVAL_YEAR: "year"}

STATUSES: Final = {
    pb.SUBSCRIPTION_STATUS_NONE: "No subscription",
    pb.SUBSCRIPTION_STATUS_TRIALING: "Trial",
    pb.SUBSCRIPTION_STATUS_ACTIVE: "Active",
    pb.SUBSCRIPTION_STATUS_PAST_DUE: "Payment overdue",
    pb.SUBSCRIPTION_STATUS_UNPAID: "Not paid",
    pb.SUBSCRIPTION_STATUS_PAUSED: "Paused",
    pb.SUBSCRIPTION_STATUS_INCOMPLETE: "First payment open",
    pb.SUBSCRIPTION_STATUS_INCOMPLETE_EXPIRED: "Ended without a payment",
    pb.SUBSCRIPTION_STATUS_CANCELED: "Ended",
}
INVOICE_STATUSES: Final = {
    pb.INVOICE_STATUS_DRAFT: "Draft",
    pb.INVOICE_STATUS_OPEN: "To be paid",
    pb.INVOICE_STATUS_PAID: "Paid",
    pb.INVOICE_STATUS_UNCOLLECTIBLE: "Not collected",
    pb.INVOICE_STATUS_VOID: "Void",
}
_FEATURES: Final = {
    "segmentation": "Segments",
    "prediction": "Predictions",
    "explain.shap": "Explanations (SHAP)",
    "explain.lime": "Explanations (LIME)",
    "consent": "Consent records",
    "reports.html": "Reports as web pages",
    "reports.pdf": "Reports as PDF",
    "reports.schedule": "Scheduled reports",
    "drift": "Drift watch",
    "assistant": "Assistant",
    "retraining": "Retraining",
    "marketplace": "Data marketplace",
    "web3": "Credentials and rewards",
    "audit.export": "Export of the audit log",
}


def limits_in_words(limits: plans_pb.PlanLimits) -> list[str]:
    """The limits of a plan, one line each."""
    users = f"{count(limits.max_users)} users" if limits.HasField("max_users") else "Any number of users"
    return [
        f"{count(limits.max_customers)} customers",
        f"{count(limits.max_api_calls_per_month)} API calls a month",
        users,
    ]


def features_in_words(features: Iterable[str]) -> list[str]:
    """Features as people call them, in the order in which plans add them."""
    order = list(_FEATURES)
    known = sorted((one for one in features if one in _FEATURES), key=order.index)
    return [_FEATURES[one] for one in known] + sorted(one for one in features if one not in _FEATURES)
