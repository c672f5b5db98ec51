"""Rate limits so high that a bench or a test stack measures something else; they are never switched off."""

from __future__ import annotations

from typing import Final

RAISED: Final = {
    "COHORTLENS_RATE_PUBLIC": "100000/1s",
    "COHORTLENS_RATE_AUTH_SENSITIVE": "10000/1s",
    "COHORTLENS_RATE_AUTH_REFRESH": "10000/1s",
    "COHORTLENS_RATE_AUTH_REFRESH_ADDRESS": "100000/1s",
    "COHORTLENS_RATE_PENDING_AUTH": "100000/1s",
    "COHORTLENS_RATE_PENDING_AUTH_ADDRESS": "100000/1s",
    "COHORTLENS_RATE_PLATFORM": "10000/1s",
    "COHORTLENS_RATE_INTERNAL": "10000",
    "COHORTLENS_RATE_READ": "1000000/1s",
    "COHORTLENS_RATE_WRITE": "1000000/1s",
    "COHORTLENS_RATE_INFERENCE": "1000000/1s",
    "COHORTLENS_RATE_BULK": "10000",
}
"""Settings for the environment of a gateway."""
