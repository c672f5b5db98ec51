"""How a price and an incentive are split: whole units, nothing lost, the same split every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

FEE_BPS: Final = 1_000
"""The platform's part of a price, in ten-thousandths."""
LEAST_PAYOUT_MICRO: Final = 10_000
"""Micro-tokens under which nothing is sent; smaller shares accrue."""
MOST_INCENTIVE_MICRO: Final = 99_000_000_000
"""So that the share of one of 100 contributors stays under what one reward may be."""


def platform_fee(price_minor: int, fee_bps: int = FEE_BPS) -> int:
    """The platform's part of a price, rounded down, in minor units.

    Args:
        price_minor: >= 0.
        fee_bps: 0 to 10,000.
    """
    return price_minor * fee_bps // 10_000


def shares(settlement_id: UUID, contributors: Sequence[UUID], pool_micro: int) -> dict[UUID, int]:
    """Each contributor's part of an incentive; they add up to the pool exactly.

    Everybody gets the whole part of pool / n; what is left goes one by one to those whose SHA-256 of
    settlement and contributor (16 bytes each) is least: nobody can choose to be one of them.

    Args:
        settlement_id: The settlement.
        contributors: Each once.
        pool_micro: >= 0.

    Raises:
        ValueError: There is something to split and nobody to get it, or somebody is named twice.
    """
    if len(set(contributors)) != len(contributors):
        raise ValueError("a contributor is named twice")
    if not contributors:
        if pool_micro:
            raise ValueError("an incentive needs contributors")
        return {}
    base, left = divmod(pool_micro, len(contributors))

    def rank(contributor: UUID) -> bytes:
        return hashlib.sha256(settlement_id.bytes + contributor.bytes).digest()

    return {one: base + (place < left) for place, one in enumerate(sorted(contributors, key=rank))}
