"""Typed UUIDv7 identifiers (RFC 9562): sortable by time, one type per kind of row."""

from __future__ import annotations

import os
import time
from typing import NewType
from uuid import UUID

TenantId = NewType("TenantId", UUID)
UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
CustomerId = NewType("CustomerId", UUID)
ImportId = NewType("ImportId", UUID)
PredictionId = NewType("PredictionId", UUID)
SegmentationRunId = NewType("SegmentationRunId", UUID)
TrainingRunId = NewType("TrainingRunId", UUID)
EventId = NewType("EventId", UUID)


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def parse_uuid(text: str) -> UUID | None:
    """The UUID written as ``text`` in canonical lower-case form, else None."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None
