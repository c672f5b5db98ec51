"""Buckets of the generic cell rate algorithm (GCRA): names, numbers, and the algorithm itself.

A bucket keeps one number, the theoretical arrival time ``tat``: when it would be full again. A call of ``n``
units moves it ``n`` intervals on, and passes while it lies at most a full burst ahead of now. Redis runs the
algorithm in ``SCRIPT``, by its own clock; ``LocalBuckets`` is the same in one process, while Redis is away.
"""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.rate_settings import Limit
from gateway.registry import RateClass

PLANNED = {RateClass.READ: "read", RateClass.WRITE: "write", RateClass.INFERENCE: "inference"}
"""Classes whose limits are of the plan, by the name of the limit."""
_PARTITION_BYTES = 9
_LOCAL_KEYS = 50_000

# KEYS: the buckets of all checks, one check after the other. ARGV: for each check the units needed, the units
# asked for and its number of buckets; for each of these its interval (us) and its burst. For each check comes
# back what was granted, 0 for a refusal, and how far ahead of now each of its buckets is (us).
# Everything is tested before anything is written; a refused call writes nothing, not even a new expiry.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local reply, at, key = {}, 1, 1
while at <= #ARGV do
  local need, ask, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  local granted, bases = ask, {}
  for i = 1, count do
    local interval, burst = tonumber(ARGV[at + 2 * i - 2]), tonumber(ARGV[at + 2 * i - 1])
    local base = math.max(tonumber(redis.call('GET', KEYS[key + i - 1]) or '0'), now)
    base = math.min(base, now + burst * interval)
    bases[i] = base
    local room = math.floor((now + burst * interval - base) / interval)
    if room < math.min(need, burst) then granted = 0
    elseif need <= burst then granted = math.min(granted, room) end
  end
  reply[#reply + 1] = granted
  for i = 1, count do
    local interval, burst = tonumber(ARGV[at + 2 * i - 2]), tonumber(ARGV[at + 2 * i - 1])
    local tat = bases[i] + math.min(granted, burst) * interval
    if granted > 0 then
      redis.call('SET', KEYS[key + i - 1], string.format('%.0f', tat),
        'PX', string.format('%.0f', math.ceil((tat - now + interval) / 1000)))
    end
    reply[#reply + 1] = tat - now
  end
  at, key = at + 2 * count, key + count
end
return reply
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit of somebody.

    Attributes:
        key: Name in Redis.
        interval_us: Microseconds that one unit takes to come back.
        burst: Units it holds when full.
        by: Whose it is: tenant, principal, session, address or credential.
        policy: Value of ``ratelimit-policy``.
        label: Name of the limit as ``ratelimit`` quotes it.
    """

    key: str
    interval_us: int
    burst: int
    by: str
    policy: str
    label: str

    @classmethod
    def make(cls, key: str, limit: Limit, by: str, name: str) -> Bucket:
        """The bucket ``key`` of a limit that callers know as ``name``."""
        interval_us = max(1, round(limit.window_s * 1e6 / limit.quota))
        # A burst larger than the window's quota is what callers can count on, in the time it takes to refill.
        quota: float = limit.quota
        window_s = limit.window_s
        if limit.burst > quota:
            quota, window_s = limit.burst, limit.burst * interval_us / 1e6
        partition = base64.b64encode(hashlib.sha256(key.encode()).digest()[:_PARTITION_BYTES]).decode()
        label = f'"{name}"'
        policy = f"{label};q={max(1, math.floor(quota))};w={max(1, round(window_s))};pk=:{partition}:"
        return cls(key, interval_us, limit.burst, by, policy, label)

    def share(self, processes: int) -> tuple[int, int]:
        """Interval and burst of one of several processes that cannot ask one another."""
        return self.interval_us * processes, max(1, self.burst // processes)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check got, and how the bucket stands that allows least.

    Attributes:
        granted: Units; 0 for a refusal.
        bucket: The bucket that allows least.
        room: Units left in it.
        full_s: Seconds until it is full again.
        wait_s: Seconds until what the check needs is there again; 0 when it is.
    """

    granted: int
    bucket: Bucket
    room: int
    full_s: float
    wait_s: float

    @classmethod
    def of(
        cls,
        buckets: Sequence[Bucket],
        need: int,
        granted: int,
        ahead_us: Sequence[float],
        shares: Sequence[tuple[int, int]] | None = None,
    ) -> Answer:
        """Read how far ahead of now each bucket is.

        Args:
            buckets: The buckets of the check.
            need: Units it needs at least.
            granted: Units it got.
            ahead_us: How far ahead of now each bucket is, microseconds.
            shares: Interval and burst of each where they are not the bucket's own.
        """
        least: tuple[float, int, int] | None = None
        for at, bucket in enumerate(buckets):
            interval, burst = (bucket.interval_us, bucket.burst) if shares is None else shares[at]
            room = max(0, int((burst * interval - ahead_us[at]) // interval))
            wait_us = max(0.0, ahead_us[at] + min(need, burst) * interval - burst * interval)
            if least is None or (wait_us, -room) > (least[0], -least[1]):
                least = (wait_us, room, at)
        assert least is not None
        wait_us, room, at = least
        return cls(granted, buckets[at], room, ahead_us[at] / 1e6, wait_us / 1e6)


class LocalBuckets:
    """The same algorithm in this process, each bucket at the share of one process.

    Args:
        processes: How many processes share the limits.
        clock: Monotonic seconds.
    """

    def __init__(self, processes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self._tats: OrderedDict[str, int] = OrderedDict()

    def take(self, buckets: Sequence[Bucket], need: int, ask: int) -> Answer:
        """Take up to ``ask`` units of every bucket, at least ``need``, or none of any."""
        # Whole microseconds, as in Redis: with fractions a full bucket could lack a hair of its last unit.
        now = round(self._clock() * 1e6)
        shares = [bucket.share(self._processes) for bucket in buckets]
        bases, granted = [], ask
        for bucket, (interval, burst) in zip(buckets, shares, strict=True):
            base = min(max(self._tats.get(bucket.key, 0), now), now + burst * interval)
            room = int((now + burst * interval - base) // interval)
            if room < min(need, burst):
                granted = 0
            elif need <= burst:
                granted = min(granted, room)
            bases.append(base)
        ahead = []
        for bucket, base, (interval, burst) in zip(buckets, bases, shares, strict=True):
            tat = base + min(granted, burst) * interval
            if granted:
                self._keep(bucket.key, tat)
            ahead.append(tat - now)
        return Answer.of(buckets, need, granted, ahead, shares)

    def forget(self) -> None:
        """Begin with full buckets."""
        self._tats.clear()

    def _keep(self, key: str, tat: int) -> None:
        self._tats[key] = tat
        self._tats.move_to_end(key)
        if len(self._tats) > _LOCAL_KEYS:
            self._tats.popitem(last=False)
