"""Takes what a call weighs of its tenant's month, and notes who used it.

Most calls pay for a look-up and a decrement. What a fault of ours made worthless is given back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from cohortlens.billing.usage.events import UsageEvents
from cohortlens.billing.usage.models import API_CALLS, UsageEvent, told, units_of
from cohortlens.billing.usage.quota import MonthlyQuota, Spent
from cohortlens.core.context import Principal
from cohortlens.core.errors import Code, CohortLensError
from cohortlens.core.idempotency import Charge, Claim
from gateway.interceptors.chain import Call, MethodInfo, MethodTable, Proceed
from gateway.registry import RateClass
from gateway.wire.vectors import VectorRequest

Rows = Callable[[Any], int]

_OURS = frozenset((Code.INTERNAL, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED))
_OIP = "/inference.GRPCInferenceService/"
_NOTE_EVERY_S = 1.0


class Metering(Protocol):
    """What calls are counted with; ``cohortlens.billing.usage.service.Usage``."""

    @property
    def quota(self) -> MonthlyQuota:
        """Takes units of the month's quota."""

    @property
    def events(self) -> UsageEvents:
        """Takes what was used."""


class Limiting(Protocol):
    """Takes what a call weighs of its rate limits; ``gateway.limits.limiter.Limiter``."""

    async def take_more(self, call: Call, units: int, /) -> None:
        """Take what so many started hundreds of rows weigh, less the one unit that was taken."""

    async def take_units(self, principal: Principal, rate_class: RateClass, units: int, /) -> None:
        """Take units for the later messages of a stream."""


class QuotaStep:
    """Takes units of the month's quota.

    Args:
        table: The methods.
        usage: The quota, and where what was used is noted.
        limiter: Takes what the rows of a request weigh of the rate limits; None where there are none.

    Raises:
        ValueError: A method counts on a meter that nobody keeps.
    """

    def __init__(self, table: MethodTable, usage: Metering, limiter: Limiting | None) -> None:
        unknown = [one.full_name for one in table if one.policy.meter not in ("", API_CALLS)]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: the policy names a meter that nobody keeps")
        self._quota = usage.quota
        self._events = usage.events
        self._limiter = limiter
        self._rows = {one.full_name: rows for one in table if (rows := rows_of(one)) is not None}

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Take the units of the call, run the servicer, note what was used.

        Raises:
            QuotaExceeded: The month has too few units left.
            QuotaBackendUnavailable: The database that has them does not answer.
        """
        method, principal, quota = call.method, call.principal, self._quota
        if principal is None or not method.policy.meter:
            await proceed(call)
            return
        rows = self._rows.get(method.full_name)
        if rows is not None and call.payloads is not None:
            await self._stream(call, proceed, principal, rows)
            return
        units = 1 if rows is None or call.request is None else units_of(rows(call.request))
        if units * method.policy.cost > 1 and self._limiter is not None:
            await self._limiter.take_more(call, units)
        if call.claim is not None and call.claim.is_paid:
            await proceed(call)
            return
        tenant_id = principal.tenant_id
        spent = quota.try_spend(tenant_id, units) or await quota.reserve(tenant_id, units)
        if call.claim is not None:
            await self._keyed(
                call, proceed, call.claim, event_of(call, principal, spent, units, 1, "OK"), spent
            )
            return
        try:
            await proceed(call)
        except BaseException as error:
            if is_ours(call, error):
                quota.release(spent, units)
                units = 0
            self.note(call, principal, spent, units, 1, _outcome(error))
            raise
        self.note(call, principal, spent, units, 1, "OK")

    async def _keyed(
        self, call: Call, proceed: Proceed, claim: Claim, event: UsageEvent, spent: Spent
    ) -> None:
        """Let the key tell what the call costs: with its effect, or with its answer, whichever is first."""
        charge = claim.charge = Charge(told(event), lambda: self._quota.release(spent, event.units))
        try:
            await proceed(call)
        except BaseException as error:
            charge.fail(_outcome(error), is_ours=is_ours(call, error))
            raise

    def note(
        self, call: Call, principal: Principal, spent: Spent, units: int, calls: int, outcome: str
    ) -> None:
        """Note what was used by a call, or by a part of it."""
        self._events.note(event_of(call, principal, spent, units, calls, outcome))

    async def _stream(self, call: Call, proceed: Proceed, principal: Principal, rows: Rows) -> None:
        quota, requests = self._quota, call.requests
        assert requests is not None
        metered = _Metered(self, quota, call, principal, rows, requests)
        call.requests = metered
        if call.method.policy.cost > 1 and self._limiter is not None:
            await self._limiter.take_more(call, 1)
        await metered.take(1)
        try:
            await proceed(call)
        except BaseException as error:
            metered.end(_outcome(error), gives_back=is_ours(call, error))
            raise
        metered.end("OK", gives_back=False)

    async def weigh(self, call: Call, principal: Principal, units: int) -> None:
        """Take what later messages of a stream weigh of the rate limits."""
        if self._limiter is not None:
            policy = call.method.policy
            await self._limiter.take_units(principal, policy.rate_class, policy.cost * units)


class _Metered:
    """The messages of a request stream; each started hundred of rows takes a unit before it is handed on.

    The unit taken at the start is that of the first hundred. What was used is noted while the stream goes on,
    but for the last unit, which a fault of ours gives back.
    """

    def __init__(
        self,
        step: QuotaStep,
        quota: MonthlyQuota,
        call: Call,
        principal: Principal,
        rows: Rows,
        requests: AsyncIterator[Any],
    ) -> None:
        self._step, self._quota, self._call, self._principal = step, quota, call, principal
        self._rows_of, self._requests = rows, requests
        self._rows = self._units = self._noted = 0
        self._noted_at = time.monotonic()
        self._spent: Spent = ()

    def __aiter__(self) -> _Metered:
        return self

    async def __anext__(self) -> Any:
        message = await anext(self._requests)
        self._rows += self._rows_of(message)
        more = units_of(self._rows) - self._units
        if more > 0:
            await self._step.weigh(self._call, self._principal, more)
            await self.take(more)
        return message

    async def take(self, units: int) -> None:
        """Take units of the quota."""
        tenant_id = self._principal.tenant_id
        spent = self._quota.try_spend(tenant_id, units) or await self._quota.reserve(tenant_id, units)
        now = time.monotonic()
        if now - self._noted_at >= _NOTE_EVERY_S:
            self._note(self._units - self._noted, 0, "OK")
            self._noted_at = now
        self._spent = spent
        self._units += units

    def end(self, outcome: str, *, gives_back: bool) -> None:
        """Note the rest; with ``gives_back`` the last unit was taken for nothing."""
        if gives_back:
            self._quota.release(self._spent, 1)
            self._units -= 1
        self._note(self._units - self._noted, 1, outcome)

    def _note(self, units: int, calls: int, outcome: str) -> None:
        self._noted += units
        if units or calls:
            self._step.note(self._call, self._principal, self._spent, units, calls, outcome)


def event_of(
    call: Call, principal: Principal, spent: Spent, units: int, calls: int, outcome: str
) -> UsageEvent:
    """What is noted about the use of a call, or of a part of it."""
    period_start = (spent[0][0] if isinstance(spent, tuple) else spent).period_start
    assert period_start is not None
    return UsageEvent(
        principal.tenant_id,
        API_CALLS,
        period_start,
        time.time_ns() // 1000,
        call.method.full_name,
        principal.actor,
        units,
        calls,
        outcome,
        call.request_id,
    )


def rows_of(method: MethodInfo) -> Rows | None:
    """What counts the rows of a request of the method; None for a method whose calls weigh one unit."""
    if method.full_name in (f"{_OIP}ModelInfer", f"{_OIP}ModelStreamInfer"):
        return _tensor_rows
    if method.name == "ScoreTensor":
        return _chunk_rows
    if not method.row_fields:
        return None

    def rows(request: Any) -> int:
        if isinstance(request, VectorRequest):
            return max(len(request.vectors), method.rows(request.message))
        return method.rows(request) if hasattr(request, "DESCRIPTOR") else 1

    return rows


def is_ours(call: Call, error: BaseException) -> bool:
    """Whether a call failed by a fault of ours, an unforeseen one and a deadline that passed included."""
    if isinstance(error, CohortLensError):
        return error.code in _OURS and (error.code is not Code.DEADLINE_EXCEEDED or _is_late(call))
    if isinstance(error, asyncio.CancelledError):
        return time.monotonic() >= call.deadline and _is_late(call)
    return isinstance(error, Exception)


def _is_late(call: Call) -> bool:
    """Whether it is our fault that a deadline passed: the caller only waited, and as long as is usual.

    Who leaves less, or keeps a stream open, could else have the work, its effect and the answers of a stream
    for nothing.
    """
    method = call.method
    if method.client_streaming or method.server_streaming:
        return False
    return call.timeout_s is None or call.timeout_s >= method.default_deadline_s


def _outcome(error: BaseException) -> str:
    if isinstance(error, CohortLensError):
        return error.reason
    return "CANCELLED" if isinstance(error, asyncio.CancelledError) else "INTERNAL"


def _tensor_rows(request: Any) -> int:
    """Rows of the first tensor; a shape that claims more rows than there are bytes is not believed."""
    shape = request.inputs[0].shape if request.inputs else ()
    return min(max(1, shape[0]), request.ByteSize()) if shape else 1


def _chunk_rows(request: Any) -> int:
    return int(request.chunk.rows) if request.WhichOneof("content") == "chunk" else 0
