"""Step 3: the only place that makes a failure of an exception, and that ends a call at its deadline.

Faults of the domain reach the caller with code, reason and details. Anything else becomes INTERNAL with the
request id and nothing of its text; the stack goes to the log.
"""

from __future__ import annotations

import asyncio
import time

from cohortlens.core.errors import (
    Cancelled,
    Code,
    CohortLensError,
    DeadlineExceeded,
    Internal,
)
from cohortlens.core.telemetry import get_logger
from gateway.interceptors.chain import Call, CallFailed, Proceed

_LOG = get_logger(__name__)

HTTP_STATUS: dict[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""HTTP status of each canonical code."""


class ErrorsStep:
    """Turns whatever the inner steps raise into one ``CallFailed`` and keeps the deadline."""

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest until the deadline.

        Raises:
            CallFailed: The call failed, whatever the cause.
            asyncio.CancelledError: The caller is gone; the code is CANCELLED all the same.
        """
        try:
            if call.timeout_fault is not None:
                raise call.timeout_fault
            left_s = call.deadline - time.monotonic()
            if left_s <= 0:
                raise _deadline_passed(call)
            await _until(call, proceed, left_s)
        except CohortLensError as error:
            raise self._failed(call, error) from error
        except asyncio.CancelledError:
            self._failed(call, Cancelled("the caller is gone"))
            raise
        except Exception as error:
            _LOG.error("unexpected", exc_info=error, method=call.method.full_name)
            raise self._failed(call, unexpected()) from None

    def _failed(self, call: Call, error: CohortLensError) -> CallFailed:
        call.code = error.code
        call.failure = CallFailed(error, call.request_id)
        return call.failure


def unexpected() -> Internal:
    """What a caller may know of a fault of ours."""
    return Internal("an internal fault; give the request id when you report it")


async def _until(call: Call, proceed: Proceed, left_s: float) -> None:
    timeout = asyncio.timeout(left_s)
    try:
        async with timeout:
            await proceed(call)
    except TimeoutError:
        if timeout.expired():
            raise _deadline_passed(call) from None
        raise


def _deadline_passed(call: Call) -> DeadlineExceeded:
    return DeadlineExceeded(
        "the deadline passed before the answer was ready",
        metadata={"deadline_ms": str(round((call.deadline - call.started) * 1000))},
    )
