"""Says who a call is in logs and traces, where it comes from, and until when it may run.

A bad request id or traceparent is replaced, never refused; a bad timeout is kept as a fault and raised by
the ``errors`` step, so that it is logged and answered like any other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from cohortlens.core.errors import CohortLensError, InvalidArgument, Unimplemented
from cohortlens.core.ids import random_hex, uuid7_text
from cohortlens.core.scrubbing import is_clean
from cohortlens.core.telemetry import DEPRECATED_CALLS, REQUEST_ID
from gateway.endings import Ending
from gateway.interceptors.chain import Call, Proceed
from gateway.limits.addresses import TrustedProxies

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
# No token is shorter; a UUID is.
_LONG = 37
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def parse_grpc_timeout(text: str) -> tuple[float | None, CohortLensError | None]:
    """Read a ``grpc-timeout``: 1 to 8 digits and one of H M S m u n.

    Returns:
        Seconds and no fault, or no seconds and the fault ``DEADLINE_INVALID``.
    """
    match = _GRPC_TIMEOUT.fullmatch(text)
    if match is None or int(match[1]) == 0:
        return None, InvalidArgument(
            "grpc-timeout must be 1 to 8 digits, not zero, followed by one of H M S m u n",
            reason="DEADLINE_INVALID",
        )
    return int(match[1]) * _UNITS_S[match[2]], None


class RequestIdStep:
    """Names the call, continues its trace, finds its caller's address, sets its deadline.

    Args:
        proxies: Whose word about callers' addresses is taken; nobody's when None.
        clock: Seconds since 1970, for methods that go.
    """

    def __init__(self, proxies: TrustedProxies | None = None, clock: Callable[[], float] = time.time) -> None:
        self._proxies = proxies or None
        self._clock = clock

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Name ``call`` and run the rest with the name bound to every log line."""
        if self._proxies is not None:
            call.peer = self._proxies.caller(call.peer, call.metadata.values("x-forwarded-for"))
        given = call.header("x-request-id")
        is_taken = given and _REQUEST_ID.fullmatch(given) and (len(given) < _LONG or is_clean(given))
        call.request_id = given if given and is_taken else uuid7_text()
        call.response_headers.append(("x-request-id", call.request_id))
        parent = call.header("traceparent")
        trace = _TRACEPARENT.fullmatch(parent) if parent else None
        call.trace_id = trace[1] if trace else random_hex()
        _set_deadline(call)
        if call.method.ending is not None:
            self._tell(call, call.method.ending)
        token = REQUEST_ID.set(call.request_id)
        try:
            await proceed(call)
        finally:
            REQUEST_ID.reset(token)

    def _tell(self, call: Call, ending: Ending) -> None:
        """Say when a deprecated method goes; refuse it once it is gone."""
        DEPRECATED_CALLS.labels(call.method.full_name).inc()
        call.response_headers += ending.headers
        if self._clock() >= ending.removed:
            call.timeout_fault = Unimplemented(
                "this method was removed; its Link header leads to what to use instead",
                reason="METHOD_REMOVED",
            )


def _set_deadline(call: Call) -> None:
    if call.timeout_s is None:
        return
    longest = call.method.max_deadline_s
    if call.timeout_s > longest:
        call.response_headers.append(("x-deadline-clamped", "1"))
    call.deadline = call.started + min(call.timeout_s, longest)
