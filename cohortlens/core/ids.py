"""Typed UUIDv7 identifiers (RFC 9562): sortable by time, one type per kind of row.

Their random bits come from the system in blocks: asking for each identifier costs more than the identifier.
They tell rows and requests apart; nothing secret may be made of them.
"""

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

PLATFORM_TENANT_ID = TenantId(UUID("00000000-0000-7000-8000-000000000000"))
"""The platform's own tenant: its staff are users of it, and what belongs to no tenant lies with it."""

_HEX_DIGITS = 32
_BLOCK = 256
# A digit of chance as the one that holds the variant, 10 in its upper bits.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
_spare: list[str] = []
# A child of a fork must not hand out what its parent does.
os.register_at_fork(after_in_child=_spare.clear)


def random_hex() -> str:
    """128 random bits as 32 digits, such as a trace id; unique, also between threads, but no secret."""
    try:
        # Taking from a list is one step that no other thread comes between.
        return _spare.pop()
    except IndexError:
        digits = os.urandom(_HEX_DIGITS // 2 * _BLOCK).hex()
        ends = range(_HEX_DIGITS, len(digits), _HEX_DIGITS)
        _spare.extend([digits[end : end + _HEX_DIGITS] for end in ends])
        return digits[:_HEX_DIGITS]


def uuid7_text() -> str:
    """A new UUIDv7 in canonical form, for whoever needs no more than its text."""
    at, chance = f"{time.time_ns() // 1_000_000:012x}", random_hex()
    return f"{at[:8]}-{at[8:]}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int(random_hex()[:20], 16)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def uuid7s(count: int) -> tuple[UUID, ...]:
    """New UUIDv7 that share their milliseconds, for rows that are written together."""
    milliseconds = time.time_ns() // 1_000_000
    head, random = milliseconds << 80 | 0x7 << 76 | 0x2 << 62, os.urandom(10 * count)
    free = ~(0xF << 76 | 0x3 << 62)
    return tuple(
        UUID(int=head | int.from_bytes(random[at : at + 10], "big") & free) for at in range(0, 10 * count, 10)
    )


def plain_uuid(value: UUID) -> UUID:
    """A UUID of the database driver as the standard library's; its own class prints and pickles otherwise."""
    return UUID(int=value.int)


def parse_uuid(text: str) -> UUID | None:
    """The UUID written as ``text`` in canonical lower-case form, else None."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None
