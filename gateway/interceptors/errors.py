"""The only place that makes a failure of an exception, and that ends a call at its deadline.

Faults of the domain reach the caller with code, reason and details. Anything else becomes INTERNAL with the
request id and nothing of its text; the stack goes to the log.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core.errors import (
    Cancelled,
    Code,
    CohortLensError,
    DeadlineExceeded,
    Internal,
    Violation,
)
from cohortlens.core.scrubbing import hiding, scrub
from cohortlens.core.telemetry import get_logger
from gateway.interceptors.chain import Call, CallFailed, Proceed
from gateway.interceptors.languages import localized
from gateway.interceptors.secret_fields import secrets_of

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


DOMAIN = "cohortlens"
_VIOLATIONS_MAX = 50


def rpc_status(error: CohortLensError, request_id: str, max_bytes: int | None = None) -> status_pb2.Status:
    """A fault as ``google.rpc.Status``, the one form of every door.

    Args:
        error: The fault.
        request_id: Identifier of the call.
        max_bytes: Largest serialised size; violations are cut first, then everything but the reason.

    Returns:
        Code, message and details: ErrorInfo, BadRequest, PreconditionFailure, QuotaFailure, RetryInfo,
        LocalizedMessage, RequestInfo, as far as they apply.
    """
    # A lone surrogate in a message must not turn a clear fault into a crash of its own.
    message = error.message.encode("utf-8", "replace").decode("utf-8")
    shown = error.violations[:_VIOLATIONS_MAX]
    status = _status(error, message, _details(error, message, request_id, shown))
    while max_bytes is not None and status.ByteSize() > max_bytes and shown:
        shown = shown[: len(shown) // 2]
        status = _status(error, message, _details(error, message, request_id, shown))
    if max_bytes is not None and status.ByteSize() > max_bytes:
        info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
        status = _status(error, message[: max_bytes // 8], [info, *_request_info(request_id)])
    return status


def _status(error: CohortLensError, message: str, details: Sequence[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=int(error.code), message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _details(
    error: CohortLensError, message: str, request_id: str, violations: tuple[Violation, ...]
) -> list[Message]:
    found: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    ]
    if violations:
        bad = error_details_pb2.BadRequest()
        for one in violations:
            bad.field_violations.add(field=one.field, description=one.description)
        found.append(bad)
    if error.code is Code.FAILED_PRECONDITION:
        # AIP-193 and google/rpc/code.proto: this code says what has to change before a repeat can help.
        state = error_details_pb2.PreconditionFailure()
        state.violations.add(type=error.reason, description=message)
        found.append(state)
    if error.quota:
        found.append(_quota_failure(error))
    if error.retry_delay_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_delay_s * 1e9))
        found.append(retry)
    if error.localized is not None:
        locale, text = error.localized
        found.append(error_details_pb2.LocalizedMessage(locale=locale, message=text))
    return [*found, *_request_info(request_id)]


def _request_info(request_id: str) -> list[Message]:
    return [error_details_pb2.RequestInfo(request_id=request_id)] if request_id else []


def retry_after(error: CohortLensError) -> str | None:
    """Value of ``retry-after`` on every door: whole seconds, rounded up; None where no retry can help."""
    return None if error.retry_delay_s is None else str(max(1, math.ceil(error.retry_delay_s)))


def _quota_failure(error: CohortLensError) -> error_details_pb2.QuotaFailure:
    failure = error_details_pb2.QuotaFailure()
    for one in error.quota:
        failure.violations.add(
            subject=one.subject,
            description=one.description,
            quota_metric=one.metric,
            quota_id=one.quota_id,
            quota_dimensions=one.dimensions,
            quota_value=one.value,
        )
    return failure


class ErrorsStep:
    """Turns whatever the inner steps raise into one ``CallFailed`` and keeps the deadline."""

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest until the deadline.

        Raises:
            CallFailed: The call failed, whatever the cause.
            asyncio.CancelledError: The task was cancelled (the caller is gone); the code is CANCELLED too.
        """
        try:
            if call.timeout_fault is not None:
                raise call.timeout_fault
            left_s = call.deadline - time.monotonic()
            if left_s <= 0:
                raise _deadline_passed(call)
            await _until(call, proceed, left_s)
        except CohortLensError as error:
            _scrub(call, error)
            raise self._failed(call, error) from error
        except asyncio.CancelledError:
            failure = self._failed(call, Cancelled("the work was cancelled"))
            task = call.task or asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise failure from None
        except Exception as error:
            with hiding(lambda: secrets_of(call)):
                _LOG.error("unexpected", exc_info=error, method=call.method.full_name)
            raise self._failed(call, unexpected()) from None

    def _failed(self, call: Call, error: CohortLensError) -> CallFailed:
        call.code = error.code
        error.localized = localized(error, call.header("accept-language") or "")
        call.failure = CallFailed(error, call.request_id)
        return call.failure


def _scrub(call: Call, error: CohortLensError) -> None:
    """Take secrets out of what the caller is told: answers are logged, shown and sent on by others."""
    with hiding(lambda: secrets_of(call)):
        error.message = scrub(error.message)
        if error.metadata:
            error.metadata = {
                name: value if name in error.handed_out else scrub(value)
                for name, value in error.metadata.items()
            }
        if error.violations:
            error.violations = tuple(Violation(one.field, scrub(one.description)) for one in error.violations)


def unexpected() -> Internal:
    """What a caller may know of a fault of ours."""
    return Internal("an internal fault; give the request id when you report it")


async def _until(call: Call, proceed: Proceed, left_s: float) -> None:
    # asyncio.timeout with what this one place needs; it costs half.
    task, expired = call.task or asyncio.current_task(), False
    assert task is not None

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(left_s, expire)
    try:
        await proceed(call)
    except asyncio.CancelledError:
        if expired and task.uncancel() == 0:
            raise _deadline_passed(call) from None
        raise
    finally:
        timer.cancel()


def _deadline_passed(call: Call) -> DeadlineExceeded:
    given = {"deadline_ms": str(round((call.deadline - call.started) * 1000))}
    if call.reading and call.door != "grpc":
        # A status that only HTTP has.
        return DeadlineExceeded("the body did not arrive in time", reason="REQUEST_TIMEOUT", metadata=given)
    return DeadlineExceeded("the deadline passed before the answer was ready", metadata=given)
