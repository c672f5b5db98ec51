"""What of the settings of tracing cannot work."""

from __future__ import annotations

import importlib.util
from urllib.parse import urlsplit


def tracing_faults(endpoint: str, ratio: float) -> list[str]:
    """One sentence for each fault; empty when all is well.

    Args:
        endpoint: Value of COHORTLENS_OTLP_ENDPOINT; empty for no tracing.
        ratio: Value of COHORTLENS_OTLP_RATIO.
    """
    faults = []
    if not 0 <= ratio <= 1:
        faults.append(f"COHORTLENS_OTLP_RATIO={ratio:g}: expected a number from 0 to 1")
    if not endpoint:
        return faults
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        faults.append("COHORTLENS_OTLP_ENDPOINT: expected http://host:port or https://host:port")
    if not _is_installed():
        faults.append(
            "COHORTLENS_OTLP_ENDPOINT needs OpenTelemetry, which is not installed; "
            "install the extra cohortlens[otel] (deploy/locks/otel.lock) or unset it"
        )
    return faults


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
