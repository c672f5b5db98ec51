"""An overloaded process refuses some calls at once, so that the others are answered in time.

Overload is told by two things: unary calls under way, and how late the event loop is. Calls that wait for
their turn in ``share`` do not count: they cost next to nothing, and are bounded per tenant there.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

from prometheus_client import Counter, Histogram

from cohortlens.billing.models import BASIC, Entitlement
from cohortlens.core.errors import Unavailable
from cohortlens.core.telemetry import REGISTRY
from gateway.interceptors.chain import Call, Proceed
from gateway.registry import RateClass

SHED = Counter("gateway_shed_total", "RPCs refused as overload", ("rate_class",), registry=REGISTRY)
LOOP_LAG = Histogram(
    "gateway_loop_lag_seconds",
    "How late the event loop runs what is due",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    registry=REGISTRY,
)

RETRY_S = 1.0
# Whose call of class inference it is shows after authn only: the plan basic is shed there, from 1.5 on. The
# others come last, when even refusing reads was not enough.
_SHED_FROM = {RateClass.BULK: 1.0, RateClass.READ: 2.0, RateClass.INFERENCE: 3.0}
_BASIC_FROM = 1.5
_SAMPLE_EVERY_S = 0.1
_WINDOW_S = 5.0
_FEWEST_SAMPLES = 5


class Load:
    """How busy the process is; one for ``shed`` and ``share`` together.

    Args:
        calls_max: Unary calls under way from which calls are shed.
        lag_max_s: Lateness of the event loop (p95 over 5 s) from which calls are shed.

    Attributes:
        calls: Unary calls under way, without those that wait in ``share``.
        calls_max: As given.
        lag_s: The lateness, p95 over 5 s.
        is_late: Whether the lateness is beyond its limit.
        is_watched: Whether ``watch`` was called.
    """

    def __init__(self, calls_max: int = 512, lag_max_s: float = 0.25) -> None:
        self.calls = 0
        self.calls_max = calls_max
        self.lag_s = 0.0
        self.is_late = self.is_watched = False
        self._lag_max_s = lag_max_s
        self._samples: deque[tuple[float, float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pressure(self) -> float:
        """The greater of calls and lateness as a part of its limit; overloaded from 1 on."""
        return max(self.calls / self.calls_max, self.lag_s / self._lag_max_s)

    def watch(self) -> None:
        """Sample the lateness of the running loop from now on; the first call does it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self.is_watched = loop, True
            self._samples.clear()
            loop.call_later(_SAMPLE_EVERY_S, self._sample, loop.time() + _SAMPLE_EVERY_S)

    def note(self, now: float, lag_s: float) -> None:
        """Take one sample of the lateness, seconds, at a monotonic time."""
        LOOP_LAG.observe(lag_s)
        samples = self._samples
        samples.append((now, lag_s))
        while samples[0][0] < now - _WINDOW_S:
            samples.popleft()
        if len(samples) < _FEWEST_SAMPLES:
            self.lag_s = 0.0
        else:
            lags = sorted(lag for _, lag in samples)
            self.lag_s = lags[int(len(lags) * 0.95)]
        self.is_late = self.lag_s >= self._lag_max_s

    def _sample(self, due: float) -> None:
        loop = self._loop
        assert loop is not None
        self.note(time.monotonic(), max(0.0, loop.time() - due))
        loop.call_later(_SAMPLE_EVERY_S, self._sample, loop.time() + _SAMPLE_EVERY_S)


class ShedStep:
    """Counts calls and refuses by class: bulk from the limit on, reads from 2 times it, inference from 3.

    Inference of the plan basic is refused from 1.5 times the limit on, by ``shed_by_plan``. Health, sign-in,
    refreshing a token, writes and what its policy spares (``never_shed``) are never refused.

    Args:
        load: How busy the process is.
    """

    def __init__(self, load: Load) -> None:
        self._load = load

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest unless this class is being shed.

        Raises:
            Unavailable: OVERLOADED, with the delay after which a retry can help.
        """
        load, method = self._load, call.method
        if not load.is_watched:
            load.watch()
        if load.is_late or load.calls >= load.calls_max:
            policy = method.policy
            rate_class = policy.rate_class
            if load.pressure >= _SHED_FROM.get(rate_class, math.inf) and not policy.never_shed:
                raise _shed(rate_class)
        if method.client_streaming or method.server_streaming:
            # A stream may stay open for an hour and cost nothing; what it does shows in the lateness.
            await proceed(call)
            return
        load.calls += 1
        try:
            await proceed(call)
        finally:
            load.calls -= 1


def shed_by_plan(load: Load, call: Call, entitlement: Entitlement | None) -> None:
    """Refuse inference of the plan basic before reads and before the inference of who pays.

    Args:
        load: How busy the process is, known to be overloaded.
        call: The call.
        entitlement: What its tenant may do; None when that is not in memory.

    Raises:
        Unavailable: OVERLOADED.
    """
    is_basic = entitlement is not None and entitlement.plan == BASIC
    if is_basic and load.pressure >= _BASIC_FROM and not call.method.policy.never_shed:
        raise _shed(call.method.policy.rate_class)


def _shed(rate_class: RateClass) -> Unavailable:
    name = rate_class.name.lower()
    SHED.labels(name).inc()
    return Unavailable(
        "the service has more calls than it can answer; try again a little later",
        reason="OVERLOADED",
        metadata={"rate_class": name},
        retry_delay_s=RETRY_S,
    )
