"""Which keyed request a transaction works for: the business transaction itself marks the key as committed.

The gateway's step ``idempotency`` holds a key and lets the use case run; ``core/db.py`` sends the mark in one
message with each COMMIT, so effect and mark are stored together or not at all. PostgreSQL leaves the mark out
when the transaction has written nothing, and refuses the COMMIT when a later attempt holds the key.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.deferred import DeferredCalls, bind_tenant, deferred
from cohortlens.core.errors import Aborted

TAKEN_OVER_STATE = "IK001"
"""SQLSTATE of a COMMIT whose key a later attempt holds."""


class KeyTakenOver(Aborted):
    """The attempt was overdue and another one took over: nothing of this transaction is stored."""

    reason = "IDEMPOTENCY_IN_PROGRESS"

    def __init__(self) -> None:
        super().__init__(
            "the call took so long that a repeat of it has taken over; send it again to get the answer",
            retry_delay_s=1.0,
        )


@dataclass(frozen=True)
class KeyScope:
    """Where a key counts: the same key elsewhere is another one.

    Attributes:
        tenant_id: The caller's tenant.
        principal: The caller, kind and identifier.
        method: The RPC.
        key: What the caller chose.
    """

    tenant_id: UUID
    principal: str
    method: str
    key: str


class Charge:
    """What an attempt took for its request. It is stored with the key, and then it counts, or it goes back.

    Args:
        event: What is noted about the use, as JSON values; ``units`` and ``outcome`` among them.
        go_back: Gives the units back.
    """

    def __init__(self, event: dict[str, Any], go_back: Callable[[], None]) -> None:
        self.event = event
        self._go_back = go_back

    def fail(self, outcome: str, *, is_ours: bool) -> None:
        """The attempt ended with ``outcome``; one that failed by a fault of ours costs nothing."""
        self.event["outcome"] = outcome
        if is_ours:
            self.event["units"] = 0

    def waive(self) -> None:
        """Nothing was stored: the units go back."""
        self._go_back()


@dataclass
class Claim:
    """A key that is held by one attempt of one request.

    Attributes:
        scope: The key.
        id: The request, the same for all attempts: what it sends on to others is keyed by this.
        attempt: Number of the attempt.
        made: What the attempt made, by name; enough to read its answer again.
        body: Keyed hash of an upload's bytes so far; empty for other requests.
        is_paid: Whether an earlier attempt paid for the request, so that this one costs nothing.
        charge: What this attempt costs; None for nothing, and once that is settled.
    """

    scope: KeyScope
    id: UUID
    attempt: int
    made: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    is_paid: bool = False
    charge: Charge | None = None
    _task: asyncio.Task[Any] | None = None
    _is_open: bool = True

    @property
    def is_ours(self) -> bool:
        """Whether the call goes on and runs here: a task that it started may serve others, or outlive it."""
        return self._is_open and asyncio.current_task() is self._task

    def mark(self) -> str:
        """The statements that mark the key in the transaction they are sent in, and let the attempt pay."""
        given = {**self.named(), "made": self.made, "body": self.body.hex()}
        argument = json.dumps(given).encode().hex()
        bound = bind_tenant(self.scope.tenant_id)
        return f"{bound}; SELECT app.idempotency_commit(decode('{argument}', 'hex')); "

    def named(self) -> dict[str, Any]:
        """The attempt and what it costs, as the functions of the schema read it."""
        named: dict[str, Any] = {
            "principal": self.scope.principal,
            "method": self.scope.method,
            "key": self.scope.key,
            "id": str(self.id),
            "attempt": self.attempt,
        }
        return named if self.charge is None else {**named, "charge": self.charge.event}

    def begin(self) -> None:
        """Let transactions of this task be effects of the request from now on."""
        self._task = asyncio.current_task()

    def close(self) -> None:
        """End the attempt: whatever its context goes on with is no part of it."""
        self._is_open = False


_HELD: ContextVar[Claim | None] = ContextVar("held_key", default=None)


@contextmanager
def effects_of(claim: Claim) -> Iterator[None]:
    """Let each transaction inside that writes something be an effect of the request that holds ``claim``."""
    token = _HELD.set(claim)
    claim.begin()
    try:
        yield
    finally:
        _HELD.reset(token)


def held() -> Claim | None:
    """The key this call holds; None for a call without one, and in the tasks that a call started."""
    claim = _HELD.get()
    return claim if claim is not None and claim.is_ours else None


def made(**names: Any) -> None:
    """Say what the request makes, before its transaction ends, so that its answer can be read after a crash.

    Args:
        names: Identifiers and numbers as JSON values, named like the fields of the request that reads them or
            of the answer. Never personal data or secrets.
    """
    claim = held()
    if claim is not None:
        claim.made.update(names)


def no_effect(tx: AsyncConnection) -> None:
    """Keep the key as it is when ``tx`` commits: it stores a refusal, not what was asked for."""
    deferred(tx).is_effect = False


def works_for(tx: AsyncConnection, claims: Iterable[Claim]) -> None:
    """Let ``tx`` be an effect of several requests, whose work one task does for all of them."""
    deferred(tx).claims = tuple(claims)


def mark_of(calls: DeferredCalls) -> str:
    """What a COMMIT takes along for the keys it works for; empty as a rule."""
    if calls.claims:
        return "".join(claim.mark() for claim in calls.claims)
    claim = held() if calls.is_effect else None
    return "" if claim is None else claim.mark()
