"""Latencies counted in buckets of equal relative width: small, exact to 1 %, and they add up across runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

_SUB_BITS = 7
_SUB = 1 << _SUB_BITS


class Histogram:
    """Counts of durations in microseconds, as HDR histograms count them.

    Below 128 us each microsecond has a bucket; above, each power of two is cut into 64, so a value is known
    to 1/64 of itself or better, and the largest one exactly.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._largest_us = 0

    def __len__(self) -> int:
        return self._counts.total()

    def record(self, seconds: float) -> None:
        """Count one duration; one below zero counts as zero."""
        microseconds = max(0, round(seconds * 1e6))
        self._largest_us = max(self._largest_us, microseconds)
        self._counts[_bucket(microseconds)] += 1

    def quantile_ms(self, share: float) -> float:
        """The duration in milliseconds that ``share`` (0..1) of all stay within; 0 when there is none."""
        if not self._counts:
            return 0.0
        if share >= 1:
            return self._largest_us / 1000
        wanted, seen = math.ceil(share * len(self)), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_upper(bucket), self._largest_us) / 1000
        raise AssertionError("unreachable: every count was passed")

    def summary(self) -> Mapping[str, float]:
        """p50, p90, p99, p99.9 and the largest, milliseconds."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        return {name: round(self.quantile_ms(share), 3) for name, share in shares.items()}


def _bucket(microseconds: int) -> int:
    shift = max(0, microseconds.bit_length() - _SUB_BITS)
    return (shift << _SUB_BITS) + (microseconds >> shift)


def _upper(bucket: int) -> int:
    shift, low = bucket >> _SUB_BITS, bucket & (_SUB - 1)
    return ((low + 1) << shift) - 1
