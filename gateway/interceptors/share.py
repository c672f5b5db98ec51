"""Shares a process fairly among tenants; runs the calls of classes inference and bulk in turn.

A bounded amount of such work runs at once, enough to fill batches. What comes beyond it waits in its tenant's
line; ``fairness`` says who goes next.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message
from prometheus_client import Gauge, Histogram

from cohortlens.core.telemetry import REGISTRY
from gateway.interceptors.chain import Call, Proceed
from gateway.interceptors.fairness import FairShare, Place, ShareLimits
from gateway.interceptors.shed import Load
from gateway.registry import RateClass

WAITING = Gauge("gateway_share_waiting", "RPCs that wait for their tenant's turn", registry=REGISTRY)
WAIT_SECONDS = Histogram(
    "gateway_share_wait_seconds",
    "Seconds an RPC that had to wait for its tenant's turn waited",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    registry=REGISTRY,
)

_SHARED = frozenset((RateClass.INFERENCE, RateClass.BULK))
# A row of 20 doubles with its frame: what a call of one row weighs.
_BYTES_PER_ROW = 180


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
            await call.gather()
        rows = 1 + call.request_bytes // _BYTES_PER_ROW
        place = self._share.enter(_tenant(call), rows) or await self._turn(call, rows)
        if call.send is not None:
            # What follows the first reply goes at the pace of the caller's reading.
            call.send = _Leaving(self._share, place, call.send)
        try:
            await proceed(call)
        finally:
            self._share.leave(place)

    async def _turn(self, call: Call, rows: int) -> Place:
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

    def __init__(self, share: FairShare, place: Place, send: Any) -> None:
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
        self._place: Place | None = None
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
