"""What of payments must wake an operator: counted by kind, and logged."""

from __future__ import annotations

from typing import Any

from cohortlens.core.counting import Counter, Gauge
from cohortlens.core.telemetry import REGISTRY, get_logger

ALARMS = Counter("billing_alarms_total", "What of payments needs an operator", ("kind",), registry=REGISTRY)
EVENTS = Counter(
    "billing_events_total",
    "Events of the payment provider by how they ended",
    ("outcome",),
    registry=REGISTRY,
)
DIFFERENCES = Counter(
    "billing_reconcile_differences_total",
    "Tenants whose stored subscription was not what the provider says, without an event that told",
    (),
    registry=REGISTRY,
)
WAITING = Gauge("billing_events_waiting", "Events that wait to be followed", (), registry=REGISTRY)
DEAD = Gauge("billing_events_dead", "Events given up and not replayed", (), registry=REGISTRY)
OLDEST = Gauge("billing_events_oldest_seconds", "Age of the oldest event that waits", (), registry=REGISTRY)
_LOG = get_logger("cohortlens.billing.payments")


def alarm(kind: str, **facts: Any) -> None:
    """Raise an alarm.

    Args:
        kind: What it is, such as ``livemode_mismatch``.
        facts: Identifiers; no personal data, no secrets.
    """
    ALARMS.labels(kind).inc()
    _LOG.error("billing_alarm", kind=kind, **facts)
