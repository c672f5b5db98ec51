"""Step 6: tenants share the process fairly; runs the calls of classes inference and bulk in turn.

A bounded amount of such work runs at once, enough to fill batches. What comes beyond it waits, and leaves in
the order of start-time fair queueing: each tenant's calls carry virtual start times that advance by the size
of its own calls only, so that a tenant with ten times the calls waits ten times as long and nobody else does.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from prometheus_client import Counter, Gauge, Histogram

from cohortlens.core.errors import Unavailable
from cohortlens.core.telemetry import REGISTRY
from gateway.interceptors.chain import Call, Proceed
from gateway.interceptors.shed import RETRY_S, SHED, Load
from gateway.registry import RateClass

WAITING = Gauge("gateway_share_waiting", "RPCs that wait for their tenant's turn", registry=REGISTRY)
WAIT_SECONDS = Histogram(
    "gateway_share_wait_seconds",
    "Seconds an RPC that had to wait for its tenant's turn waited",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    registry=REGISTRY,
)
LENT = Counter(
    "gateway_share_lent_total", "Places lent on because the RPC in them waited long", registry=REGISTRY
)

_SHARED = frozenset((RateClass.INFERENCE, RateClass.BULK))
# A row of 20 doubles with its frame: what a call of one row weighs.
_BYTES_PER_ROW = 180
_LARGEST_PART = 8
_FINISHES_KEPT = 4096
_TURNS = 6
_SHARED_S = 1.0
_GONE_KEPT = 64


@dataclass(frozen=True)
class ShareLimits:
    """How much runs and waits.

    Attributes:
        running: Weight that runs at once while several tenants call; a call of one row weighs 1, a large
            one at most an eighth of this.
        running_alone: The same while one tenant has the process to itself, which nobody needs to be spared.
        waiting_per_tenant: Calls of one tenant that wait.
        waiting: Calls that wait, divided among the tenants that have some waiting.
        lease_s: Longest time a call keeps its place, beside what the event loop is late. One that takes
            longer waits for somebody else, not for this process, and must not hold up those that could be
            answered.
    """

    running: int = 32
    running_alone: int = 256
    waiting_per_tenant: int = 1024
    waiting: int = 4096
    lease_s: float = 0.05


class _Place:
    """What a running call holds."""

    __slots__ = ("since", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.since = time.monotonic()


class _Waiter:
    __slots__ = ("future", "rows", "start", "tenant")

    def __init__(self, tenant: object, rows: int, start: float, future: asyncio.Future[_Place]) -> None:
        self.tenant = tenant
        self.rows = rows
        self.start = start
        self.future = future


class FairShare:
    """The places of one process and who gets them.

    Args:
        limits: How much runs and waits.
        load: How late the event loop is.
    """

    def __init__(self, limits: ShareLimits, load: Load) -> None:
        self._limits = limits
        self._load = load
        self._largest = max(1, limits.running // _LARGEST_PART)
        self._running = 0
        self._last: object = None
        self._shared_until = 0.0
        # In order of arrival, so the first is the one that has its place longest.
        self._places: dict[_Place, None] = {}
        self._heap: list[tuple[float, int, _Waiter]] = []
        self._waiting: dict[object, int] = {}
        self._finish: dict[object, float] = {}
        self._virtual = 0.0
        self._number = 0
        self._waiters = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return self._waiters

    def enter(self, tenant: object, rows: int) -> _Place | None:
        """A place at once, or None when the call has to ``wait`` for one."""
        if tenant != self._last:
            # Two tenants by turns: for a while nobody has the process to itself.
            self._last = tenant
            self._shared_until = time.monotonic() + _SHARED_S
        if self._waiters or self._is_full():
            return None
        return self._place(rows)

    async def wait(self, tenant: object, rows: int) -> _Place:
        """A place, in this tenant's turn; a cancelled caller leaves the queue.

        Args:
            tenant: Whose call it is.
            rows: Size of the call, at least 1.

        Raises:
            Unavailable: OVERLOADED: too many of this tenant's calls wait already.
        """
        held = self._waiting.get(tenant, 0)
        if held >= self._allowed(held):
            raise _refused()
        start = max(self._virtual, self._finish.get(tenant, 0.0))
        self._finish[tenant] = start + rows
        if len(self._finish) > _FINISHES_KEPT:
            self._finish = {who: at for who, at in self._finish.items() if at > self._virtual}
        waiter = _Waiter(tenant, rows, start, asyncio.get_running_loop().create_future())
        self._number += 1
        heapq.heappush(self._heap, (start, self._number, waiter))
        self._waiting[tenant] = held + 1
        self._waiters += 1
        self._grant()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise

    def leave(self, place: _Place) -> None:
        """Give a place back; once it was lent on this does nothing."""
        if place in self._places:
            del self._places[place]
            self._running -= place.weight
            if self._waiters:
                self._grant()

    def _is_full(self) -> bool:
        if self._running < self._limits.running:
            return False
        return self._running >= self._limits.running_alone or time.monotonic() < self._shared_until

    def _place(self, rows: int) -> _Place:
        place = _Place(min(rows, self._largest))
        self._places[place] = None
        self._running += place.weight
        return place

    def _allowed(self, held: int) -> int:
        tenants = len(self._waiting) + (0 if held else 1)
        return min(self._limits.waiting_per_tenant, self._limits.waiting // tenants)

    def _abandon(self, waiter: _Waiter) -> None:
        """Take back what a caller that left had: its turn, or the place it was just given."""
        if waiter.future.done() and not waiter.future.cancelled():
            self.leave(waiter.future.result())
            return
        if waiter.tenant in self._finish:
            self._finish[waiter.tenant] -= waiter.rows
        self._forget(waiter)
        if len(self._heap) > 2 * self._waiters + _GONE_KEPT:
            # Whoever calls and leaves at once must not fill the heap with turns that nobody waits for.
            self._heap = [entry for entry in self._heap if not entry[2].future.done()]
            heapq.heapify(self._heap)

    def _forget(self, waiter: _Waiter) -> None:
        left = self._waiting[waiter.tenant] - 1
        self._waiters -= 1
        if left:
            self._waiting[waiter.tenant] = left
        else:
            del self._waiting[waiter.tenant]
        if not self._waiters:
            # Nobody waits: the next contention starts even.
            self._heap.clear()
            self._finish.clear()
            self._virtual = 0.0

    def _grant(self) -> None:
        """Give free places to those whose turn it is; see again when the oldest place falls due."""
        if self._is_full():
            self._lend()
        while self._heap and not self._is_full():
            start, _, waiter = heapq.heappop(self._heap)
            if waiter.future.done():
                continue
            self._virtual = start
            waiter.future.set_result(self._place(waiter.rows))
            self._forget(waiter)
        if self._waiters and self._places and self._timer is None:
            oldest = next(iter(self._places))
            due_s = oldest.since + self._lease_s() - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due_s), self._look)

    def _lease_s(self) -> float:
        # A call passes through the loop a few times; when that is late, the call waits for this process.
        return self._limits.lease_s + _TURNS * self._load.lag_s

    def _look(self) -> None:
        self._timer = None
        if self._waiters:
            self._grant()

    def _lend(self) -> None:
        due = time.monotonic() - self._lease_s()
        while self._places:
            oldest = next(iter(self._places))
            if oldest.since > due:
                return
            del self._places[oldest]
            self._running -= oldest.weight
            LENT.inc()


class ShareStep:
    """Lets calls of classes inference and bulk run in their tenant's turn.

    Args:
        load: How busy the process is; calls that wait do not count there.
        limits: How much runs and waits.
    """

    def __init__(self, load: Load, limits: ShareLimits) -> None:
        self._load = load
        self._share = FairShare(limits, load)

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest in turn; the messages of a request stream take turns one by one.

        Raises:
            Unavailable: OVERLOADED: too many of this tenant's calls wait already.
        """
        if call.method.policy.rate_class not in _SHARED:
            await proceed(call)
        elif call.payloads is not None:
            await self._stream(call, call.payloads, proceed)
        else:
            await self._single(call, proceed)

    async def _single(self, call: Call, proceed: Proceed) -> None:
        if call.read is not None:
            # A slow body must not keep a place that others could use.
            call.payload, call.read = await call.read(), None
        rows = 1 + call.request_bytes // _BYTES_PER_ROW
        place = self._share.enter(_tenant(call), rows) or await self._turn(call, rows)
        if call.send is not None:
            # What follows the first reply goes at the pace of the caller's reading.
            call.send = _Leaving(self._share, place, call.send)
        try:
            await proceed(call)
        finally:
            self._share.leave(place)

    async def _turn(self, call: Call, rows: int) -> _Place:
        counted = not (call.method.client_streaming or call.method.server_streaming)
        started = time.monotonic()
        self._load.calls -= counted
        WAITING.inc()
        try:
            return await self._share.wait(_tenant(call), rows)
        finally:
            WAITING.dec()
            self._load.calls += counted
            WAIT_SECONDS.observe(time.monotonic() - started)

    async def _stream(self, call: Call, payloads: AsyncIterator[Any], proceed: Proceed) -> None:
        turns = _Turns(self, call, payloads)
        call.payloads = turns
        if call.send is not None:
            call.send = turns.sender(call.send)
        try:
            await proceed(call)
        finally:
            turns.leave()


class _Leaving:
    """Sends replies; the first one gives the call's place back."""

    def __init__(self, share: FairShare, place: _Place, send: Any) -> None:
        self._share, self._place, self._send = share, place, send

    async def __call__(self, reply: Message) -> None:
        self._share.leave(self._place)
        await self._send(reply)


class _Turns:
    """The messages of a request stream, each handed on in the tenant's turn.

    The place of a message is given back when its reply is sent or the next one is asked for, whichever is
    first: a caller that stops reading or sending holds none.
    """

    def __init__(self, step: ShareStep, call: Call, payloads: AsyncIterator[Any]) -> None:
        self._step, self._call, self._payloads = step, call, payloads
        self._place: _Place | None = None
        self._seen_bytes = 0

    def __aiter__(self) -> _Turns:
        return self

    async def __anext__(self) -> Any:
        self.leave()
        payload = await anext(self._payloads)
        received = self._call.request_bytes
        rows, self._seen_bytes = 1 + (received - self._seen_bytes) // _BYTES_PER_ROW, received
        share = self._step._share
        self._place = share.enter(_tenant(self._call), rows) or await self._step._turn(self._call, rows)
        return payload

    def leave(self) -> None:
        """Give the place of the last message back."""
        if self._place is not None:
            self._step._share.leave(self._place)
            self._place = None

    def sender(self, send: Any) -> Any:
        """``send`` that gives the place back before it waits for the caller to read."""

        async def sends(reply: Message) -> None:
            self.leave()
            await send(reply)

        return sends


def _tenant(call: Call) -> object:
    return call.principal and call.principal.tenant_id


def _refused() -> Unavailable:
    SHED.labels("tenant").inc()
    return Unavailable(
        "too many calls of this tenant wait already; send fewer at a time and try again a little later",
        reason="OVERLOADED",
        metadata={"scope": "tenant"},
        retry_delay_s=RETRY_S,
    )
