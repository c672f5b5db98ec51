"""How one principal calls one class: units leased in blocks, spent without asking anybody.

A process that serves a principal often leases what it is going to spend within a tenth of a second, and asks
for the next block before the last one is used up. A block not spent 200 ms after it was leased lapses, so
that in a window W a bucket admits at most its burst and what its rate gives in W + 0.2 s.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from gateway.limits.buckets import Answer, Bucket
from gateway.limits.store import BucketStore

BLOCK_LIFE_S = 0.2
BLOCK_MAX = 64
_AHEAD_S = 0.1
_NEVER = -1


class Pace:
    """The buckets that one kind of call of one caller takes units of, all together.

    Args:
        store: Where the buckets lie.
        buckets: The buckets; each call takes a unit of every one.
        block_max: Units leased at once; 1 for limits that lease nothing.

    Attributes:
        policy: The header ``ratelimit-policy``.
    """

    __slots__ = (
        "_asked_at",
        "_block_max",
        "_buckets",
        "_epoch",
        "_full_s",
        "_label",
        "_lease",
        "_left",
        "_low",
        "_next_left",
        "_next_until",
        "_refusal",
        "_refused_until",
        "_room",
        "_spent",
        "_store",
        "_until",
        "_waiting",
        "policy",
    )

    def __init__(self, store: BucketStore, buckets: Sequence[Bucket], block_max: int = BLOCK_MAX) -> None:
        self._store = store
        self._buckets = tuple(buckets)
        self._block_max = block_max
        self._left = self._next_left = 0
        self._low = _NEVER
        self._until = self._next_until = 0.0
        self._spent, self._asked_at = 0, time.monotonic()
        self._lease: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._refusal: Answer | None = None
        self._refused_until, self._epoch = 0.0, store.epoch
        least = min(self._buckets, key=lambda bucket: bucket.burst)
        self._label, self._room, self._full_s = least.label, least.burst, 0.0
        self.policy = ("ratelimit-policy", least.policy)

    def spend(self, now: float) -> bool:
        """Take a unit of what is leased; False when nothing is, which refuses nothing yet."""
        left = self._left
        if left == 0 or now >= self._until:
            left, self._until = self._next_left, self._next_until
            self._next_left = 0
            if left == 0 or now >= self._until:
                self._left = 0
                return False
        self._left = left = left - 1
        self._spent += 1
        if left <= self._low and self._next_left == 0 and self._lease is None:
            self._begin_lease(now)
        return True

    async def wait(self, now: float) -> Answer | None:
        """Take a unit, asking for it when none is leased; the refusal, or None when it was given."""
        if self.spend(now):
            return None
        refusal = self.refused(now)
        if refusal is not None:
            return refusal
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if self._lease is None:
            self._begin_lease(now)
        if await turn:
            self._spent += 1
            return None
        return self.refused(time.monotonic()) or self._refusal

    async def take(self, units: int, now: float) -> Answer | None:
        """Take several units, all or none; the refusal, or None when they were given."""
        if now < self._until and self._left >= units:
            self._left -= units
            self._spent += units
            return None
        answer = await self._store.take(self._buckets, units, units)
        self._show(answer)
        if not answer.granted:
            return answer
        self._spent += units
        return None

    def refused(self, now: float) -> Answer | None:
        """The last refusal while it holds: a bucket fills with time alone, so nobody need be asked."""
        last = self._refusal
        if last is None or now >= self._refused_until or self._epoch != self._store.epoch:
            return None
        return Answer(0, last.bucket, last.room, last.full_s, self._refused_until - now)

    def left_header(self) -> tuple[str, str]:
        """The header ``ratelimit``: units left, and seconds until all of them are there again."""
        room = self._room + self._left + self._next_left
        return ("ratelimit", f"{self._label};r={room};t={self._full_s:.0f}")

    def _begin_lease(self, now: float) -> None:
        self._lease = asyncio.create_task(self._leasing(now))

    async def _leasing(self, now: float) -> None:
        """Ask for what those who wait need and for a block, until nobody waits who has not been answered."""
        try:
            while True:
                waiting, self._waiting = self._waiting, deque()
                block = self._block(now)
                ask = block + max(len(waiting) - 1, 0)
                try:
                    answer = await self._store.take(self._buckets, 1, ask)
                except BaseException:
                    waiting.extend(self._waiting)
                    for turn in waiting:
                        turn.cancel()
                    raise
                self._note(answer)
                left = _give(waiting, answer.granted)
                if left:
                    self._keep(_serve(self._waiting, left), block, now)
                if not self._waiting:
                    return
                now = time.monotonic()
        finally:
            self._lease = None

    def _block(self, now: float) -> int:
        """Units to lease: what a tenth of a second took lately, at least 1; what was refused took nothing."""
        elapsed = max(now - self._asked_at, _AHEAD_S)
        block = int(self._spent / elapsed * _AHEAD_S)
        if now - self._asked_at >= _AHEAD_S:
            self._spent, self._asked_at = 0, now
        return max(1, min(block, self._block_max))

    def _keep(self, units: int, block: int, leased_at: float) -> None:
        """Put units by until they lapse; those leased before are spent before."""
        until = leased_at + BLOCK_LIFE_S
        # Small blocks are not renewed ahead: their callers come too seldom to spend the next one in time.
        self._low = block // 4 if block >= 4 else _NEVER
        if self._left and time.monotonic() < self._until:
            self._next_left, self._next_until = units, until
        else:
            self._left, self._until = units, until

    def _note(self, answer: Answer) -> None:
        """Keep what the headers say, and for how long a refusal holds."""
        self._show(answer)
        self._refusal = answer if answer.wait_s > 0 else None
        self._refused_until, self._epoch = time.monotonic() + answer.wait_s, self._store.epoch

    def _show(self, answer: Answer) -> None:
        bucket = answer.bucket
        self._label, self._room, self._full_s = bucket.label, answer.room, answer.full_s
        if self.policy[1] is not bucket.policy:
            self.policy = ("ratelimit-policy", bucket.policy)


def _give(waiting: deque[asyncio.Future[bool]], units: int) -> int:
    """Answer all who wait, the first come first; returns the units that are left."""
    for turn in waiting:
        if not turn.done():
            turn.set_result(units > 0)
            units = max(units - 1, 0)
    return units


def _serve(waiting: deque[asyncio.Future[bool]], units: int) -> int:
    """Give units to those who came meanwhile, as far as they go; returns the units that are left."""
    while units and waiting:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(True)
            units -= 1
    return units
