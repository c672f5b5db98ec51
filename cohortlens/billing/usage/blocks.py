"""What one process holds of each tenant's quota: leases, blocks, and the decrement that every call makes.

Nothing here waits or talks to anybody. Time is monotonic: a wall clock that jumps must not prolong a lease.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, TypeAlias
from uuid import UUID

from cohortlens.billing.usage.models import Grant
from cohortlens.core.ids import TenantId

BLOCK_MOST = 2_000
"""So much that a tenant of thousands of calls a second asks about once a second."""
WAITING_MOST = 256
"""Calls whose units one grant asks for at most."""
_SHARE = 1000
_NEAR_END = 20


def block_size(limit: int, remaining: int, processes: int) -> int:
    """Units that a process keeps ready: a thousandth of the limit shared by all processes, 1 to 2,000.

    Near the end it is a twentieth of what remains, shared likewise: no process sits on the last units.

    Args:
        limit: Units of the period.
        remaining: Units that nobody holds.
        processes: How many processes there are at most.
    """
    block = min(limit // _SHARE, remaining // _NEAR_END) // processes
    return max(1, min(block, BLOCK_MOST))


class Lease:
    """Units that may be spent without asking.

    Args:
        pool: The tenant's pool.
        lease_id: Identifier of the lease's row.
        grant: What the database answered; None while its answer is unknown.
        expires_at: Monotonic time from which it must not be spent.

    Attributes:
        left: Units not spent.
        returned: Units that are to be back in the database.
        is_listed: Whether it is among the leases that calls spend.
        is_closed: Whether it is spent no more; what comes back goes to the database.
        sought_until: Monotonic time until which the database is asked again when it does not know the lease.
    """

    __slots__ = (
        "expires_at",
        "id",
        "is_closed",
        "is_listed",
        "left",
        "period_start",
        "pool",
        "returned",
        "sought_until",
        "version",
    )

    def __init__(self, pool: Pool, lease_id: UUID, grant: Grant | None, expires_at: float) -> None:
        self.pool = pool
        self.id = lease_id
        self.left = grant.granted if grant is not None else 0
        self.expires_at = expires_at
        self.returned = 0
        self.version = grant.version if grant is not None else 0
        self.period_start = grant.period_start if grant is not None else None
        self.is_listed = self.is_closed = False
        self.sought_until = 0.0

    def close(self) -> None:
        """Spend no more of it; the rest is to go back. The local count is zero before anybody is told."""
        self.is_closed = True
        self.returned += self.left
        self.pool.left -= self.left
        self.left = 0
        self.pool.owe(self)

    def put(self, units: int) -> None:
        """Take units back that were spent for nothing."""
        self.pool.spent -= units
        if self.is_closed:
            self.returned += units
            self.pool.owe(self)
            return
        if not self.is_listed:
            self.pool.enlist(self)
        self.left += units
        self.pool.left += units


class Debt(Lease):
    """Units admitted without a lease while the database was away; charged when it is back."""

    __slots__ = ()

    def put(self, units: int) -> None:
        """Take units back that were spent for nothing."""
        self.pool.spent -= units
        self.pool.debt -= units


Taken: TypeAlias = tuple[tuple[Lease, int], ...]
"""Leases and how many units of each were spent."""


class Waiter(NamedTuple):
    """A call that waits for units.

    Attributes:
        taken: Gets what it took.
        units: Units it needs.
    """

    taken: asyncio.Future[Taken]
    units: int


class Pool:
    """What this process holds for one tenant.

    Args:
        tenant_id: The tenant.
        owing: Gets the pools of which the database is to be told something.

    Attributes:
        leases: Leases that can be spent, oldest first.
        closed: Leases of which the database is to be told.
        head: The lease that the next call spends; one without units when there is none.
        left: Units in all leases.
        spent: Units spent since the last look.
        block: Units to keep ready.
        low: Units at which more is asked for.
        waiting: Calls that wait.
        filling: The task that asks for more.
        state: What the last grant said; None before the first.
        upgrade_to: Plan that gives more than the last grant's limit.
        refused_until: Monotonic time until which nothing is asked for, since nothing is left.
        retry_at: Monotonic time before which a database that failed is not asked again.
        debt: Units admitted while the database was away.
        used_at: Monotonic time of the last call that had to look beyond the head.
    """

    __slots__ = (
        "block",
        "closed",
        "debt",
        "filling",
        "head",
        "leases",
        "left",
        "low",
        "owing",
        "refused_until",
        "retry_at",
        "spent",
        "state",
        "tenant_id",
        "upgrade_to",
        "used_at",
        "waiting",
    )

    def __init__(self, tenant_id: TenantId, owing: set[Pool]) -> None:
        self.tenant_id = tenant_id
        self.owing = owing
        self.leases: deque[Lease] = deque()
        self.closed: dict[UUID, Lease] = {}
        self.head = Lease(self, UUID(int=0), None, 0.0)
        self.left = 0
        self.spent = 0
        self.block = 1
        self.low = 0
        self.waiting: deque[Waiter] = deque()
        self.filling: asyncio.Task[None] | None = None
        self.state: Grant | None = None
        self.upgrade_to = ""
        self.refused_until = 0.0
        self.retry_at = 0.0
        self.debt = 0
        self.used_at = 0.0

    def owe(self, lease: Lease) -> None:
        """Remember that the database is to be told of a lease."""
        self.closed[lease.id] = lease
        self.owing.add(self)

    def enlist(self, lease: Lease) -> None:
        """Let calls spend a lease."""
        lease.is_listed = True
        self.leases.append(lease)

    def add(self, grant: Grant, expires_at: float, processes: int) -> None:
        """Take a grant in."""
        self.state = grant
        self.block = block_size(grant.limit, grant.limit - grant.reserved, processes)
        self.low = self.block // 4
        if grant.lease_id is not None:
            self.enlist(Lease(self, grant.lease_id, grant, expires_at))
            self.left += grant.granted
            self._advance()

    def take(self, units: int, now: float) -> Taken:
        """Spend units, of several leases if need be; empty when they do not hold enough."""
        self.close_ended(now)
        if self.left < units:
            return ()
        self.spent += units
        taken = []
        for lease in self.leases:
            if part := min(lease.left, units):
                lease.left -= part
                self.left -= part
                units -= part
                taken.append((lease, part))
            if not units:
                break
        self._advance()
        return tuple(taken)

    def wanted(self) -> int:
        """Units to ask for: those of the calls that wait, and what a block lacks beside them."""
        waiting = [one.units for one in self.waiting if not one.taken.done()][:WAITING_MOST]
        return max(0, self.block + sum(waiting) - self.left)

    def close_ended(self, now: float, version: int = 0) -> None:
        """Close the leases that expired, or that an older entitlement than ``version`` granted."""
        ended = [one for one in self.leases if now >= one.expires_at or one.version < version]
        for lease in ended:
            self.leases.remove(lease)
            lease.is_listed = False
            lease.close()
        if ended:
            self._advance()

    def give_surplus(self) -> None:
        """Put back what is beyond two blocks: of calls that gave up, or that faults gave back."""
        surplus = self.left - 2 * self.block
        if surplus <= 0 or self.waiting:
            return
        for lease in reversed(self.leases):
            if part := min(lease.left, surplus):
                lease.left -= part
                lease.returned += part
                self.left -= part
                surplus -= part
                self.owe(lease)

    def _advance(self) -> None:
        """Set aside what is spent at the front, and point to what is to be spent next."""
        while self.leases and not self.leases[0].left:
            lease = self.leases.popleft()
            lease.is_listed = False
            # Told of now, so that no janitor takes it for a dead process's; units may yet come back to it.
            self.owe(lease)
        if self.leases:
            self.head = self.leases[0]
