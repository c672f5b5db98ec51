"""The places of one process and who gets them, in the order of start-time fair queueing.

Each tenant has a line. The call at its head has a virtual start time that advances by the size of that
tenant's own calls only, and the line that is furthest behind goes next, so that a tenant with ten times the
calls waits ten times as long and nobody else does.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import OrderedDict
from dataclasses import dataclass

from prometheus_client import Counter

from cohortlens.core.errors import Unavailable
from cohortlens.core.telemetry import REGISTRY
from gateway.interceptors.shed import RETRY_S, SHED, Load

LENT = Counter(
    "gateway_share_lent_total", "Places lent on because the RPC in them waited long", registry=REGISTRY
)

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
            Neither is ever more than half of the calls from which the process sheds.
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


class Place:
    """What a running call holds, to be given back to the ``FairShare`` that gave it."""

    __slots__ = ("is_lent", "since", "tenant", "weight")

    def __init__(self, tenant: object, weight: int) -> None:
        self.tenant = tenant
        self.weight = weight
        self.is_lent = False
        self.since = time.monotonic()


class _Waiter:
    __slots__ = ("future", "rows")

    def __init__(self, rows: int, future: asyncio.Future[Place]) -> None:
        self.rows = rows
        self.future = future


class _Line:
    """The calls of one tenant that wait, in order of arrival; in the heap unless it is put aside."""

    __slots__ = ("is_aside", "start", "tenant", "waiters")

    def __init__(self, tenant: object) -> None:
        self.tenant = tenant
        self.start = 0.0
        self.is_aside = False
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()


class FairShare:
    """The places of one process and who gets them.

    Args:
        limits: How much runs and waits.
        load: How late the event loop is, and how many calls are too many. Of these one tenant has at most
            half in places (``running_alone``). A quarter is the number of its calls whose places were lent
            on at which it gets no more places. So it stays under the limit however slow its calls are.
    """

    def __init__(self, limits: ShareLimits, load: Load) -> None:
        self._limits = limits
        self._load = load
        most = max(1, load.calls_max // 2)
        self._shared_most = min(limits.running, most)
        self._alone_most = min(limits.running_alone, most)
        self._lent_most = max(1, load.calls_max // 4)
        self._largest = max(1, self._shared_most // _LARGEST_PART)
        self._running = 0
        self._last: object = None
        self._shared_until = 0.0
        # In order of arrival, so the first is the one that has its place longest.
        self._places: dict[Place, None] = {}
        # Calls under way whose place was lent on, by tenant.
        self._lent: dict[object, int] = {}
        self._lines: dict[object, _Line] = {}
        self._heap: list[tuple[float, int, _Line]] = []
        self._finish: dict[object, float] = {}
        self._virtual = 0.0
        self._number = 0
        self._waiters = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return self._waiters

    def enter(self, tenant: object, rows: int) -> Place | None:
        """A place at once, or None when the call has to ``wait`` for one."""
        if tenant != self._last:
            # Two tenants by turns: for a while nobody has the process to itself.
            self._last = tenant
            self._shared_until = time.monotonic() + _SHARED_S
        if self._heap or self._is_full() or (self._lent and self._is_spent(tenant)):
            return None
        return self._place(tenant, rows)

    async def wait(self, tenant: object, rows: int) -> Place:
        """A place, in this tenant's turn; a cancelled caller leaves the queue.

        Args:
            tenant: Whose call it is.
            rows: Size of the call, at least 1.

        Raises:
            Unavailable: OVERLOADED: too many of this tenant's calls wait already.
        """
        line = self._lines.get(tenant)
        held = 0 if line is None else len(line.waiters)
        if held >= self._allowed(held):
            raise _refused()
        if line is None:
            line = self._lines[tenant] = _Line(tenant)
            self._line_up(line)
        waiter = _Waiter(rows, asyncio.get_running_loop().create_future())
        line.waiters[waiter] = None
        self._waiters += 1
        self._grant()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._abandon(line, waiter)
            raise

    def leave(self, place: Place) -> None:
        """Give a place back, or, where it was lent on, end the call that had it; once is enough."""
        if place in self._places:
            del self._places[place]
            self._running -= place.weight
            if self._heap:
                self._grant()
        elif place.is_lent:
            place.is_lent = False
            self._end_lent(place.tenant)

    def _is_full(self) -> bool:
        if self._running < self._shared_most:
            return False
        return self._running >= self._alone_most or time.monotonic() < self._shared_until

    def _is_spent(self, tenant: object) -> bool:
        """Whether a tenant gets no more places until a call of its ends whose place was lent on."""
        return self._lent.get(tenant, 0) >= self._lent_most

    def _place(self, tenant: object, rows: int) -> Place:
        place = Place(tenant, min(rows, self._largest))
        self._places[place] = None
        self._running += place.weight
        return place

    def _allowed(self, held: int) -> int:
        tenants = len(self._lines) + (0 if held else 1)
        return min(self._limits.waiting_per_tenant, self._limits.waiting // tenants)

    def _line_up(self, line: _Line) -> None:
        """Put a line among those that get places; what it missed before is not made up for."""
        line.is_aside = False
        line.start = max(self._virtual, self._finish.get(line.tenant, 0.0))
        self._number += 1
        heapq.heappush(self._heap, (line.start, self._number, line))

    def _abandon(self, line: _Line, waiter: _Waiter) -> None:
        """Take back what a caller that left had: its turn, or the place it was just given."""
        if waiter.future.done() and not waiter.future.cancelled():
            self.leave(waiter.future.result())
        elif waiter in line.waiters:
            self._forget(line, waiter)
        if len(self._heap) > 2 * len(self._lines) + _GONE_KEPT:
            # Tenants that call and leave at once must not fill the heap with lines in which nobody is.
            self._heap = [entry for entry in self._heap if entry[2].waiters]
            heapq.heapify(self._heap)

    def _forget(self, line: _Line, waiter: _Waiter) -> None:
        """Take a caller out of its line, and the line away once it is empty."""
        del line.waiters[waiter]
        self._waiters -= 1
        if not line.waiters:
            del self._lines[line.tenant]
        if not self._waiters:
            # Nobody waits: the next contention starts even.
            self._heap.clear()
            self._finish.clear()
            self._virtual = 0.0

    def _grant(self) -> None:
        """Give free places to those whose turn it is; see again when the oldest place falls due."""
        while (line := self._first()) is not None:
            if not self._is_full():
                self._serve(line)
            elif not self._lend():
                break
        if self._heap and self._places and self._timer is None:
            oldest = next(iter(self._places))
            due_s = oldest.since + self._lease_s() - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due_s), self._look)

    def _first(self) -> _Line | None:
        """The line whose turn it is; those before it that may have no place are put aside."""
        while self._heap:
            line = self._heap[0][2]
            while line.waiters and (head := next(iter(line.waiters))).future.done():
                self._forget(line, head)
            if line.waiters and not self._is_spent(line.tenant):
                return line
            if self._heap:
                line.is_aside = bool(line.waiters)
                heapq.heappop(self._heap)
        return None

    def _serve(self, line: _Line) -> None:
        """Give a free place to the head of the line whose turn it is."""
        waiter = next(iter(line.waiters))
        heapq.heappop(self._heap)
        waiter.future.set_result(self._place(line.tenant, waiter.rows))
        self._virtual = line.start
        self._finish[line.tenant] = line.start + waiter.rows
        if len(self._finish) > _FINISHES_KEPT:
            self._finish = {who: at for who, at in self._finish.items() if at > self._virtual}
        self._forget(line, waiter)
        if line.waiters:
            self._line_up(line)

    def _lease_s(self) -> float:
        # A call passes through the loop a few times; when that is late, the call waits for this process.
        return self._limits.lease_s + _TURNS * self._load.lag_s

    def _look(self) -> None:
        self._timer = None
        self._grant()

    def _lend(self) -> bool:
        """Take the oldest place from its call if it is due; its call goes on without one."""
        oldest = next(iter(self._places), None)
        if oldest is None or oldest.since > time.monotonic() - self._lease_s():
            return False
        del self._places[oldest]
        self._running -= oldest.weight
        oldest.is_lent = True
        self._lent[oldest.tenant] = self._lent.get(oldest.tenant, 0) + 1
        LENT.inc()
        return True

    def _end_lent(self, tenant: object) -> None:
        left = self._lent[tenant] - 1
        if left:
            self._lent[tenant] = left
        else:
            del self._lent[tenant]
        line = self._lines.get(tenant)
        if line is not None and line.is_aside and not self._is_spent(tenant):
            self._line_up(line)
            self._grant()


def _refused() -> Unavailable:
    SHED.labels("tenant").inc()
    return Unavailable(
        "too many calls of this tenant wait already; send fewer at a time and try again a little later",
        reason="OVERLOADED",
        metadata={"scope": "tenant"},
        retry_delay_s=RETRY_S,
    )
