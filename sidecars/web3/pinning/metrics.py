"""What pinning counts."""

from __future__ import annotations

from prometheus_client import Counter

from cohortlens.core.telemetry import REGISTRY

PINS = Counter(
    "web3_pin_total",
    "Tries to keep or remove a pin, by service and outcome",
    ["backend", "outcome"],
    registry=REGISTRY,
)
