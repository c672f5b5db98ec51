"""Failures of a call: one class for each canonical code, told apart further by ``reason``.

Source of the codes and their meaning: google/rpc/code.proto; of the details: google/rpc/error_details.proto.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from cohortlens.client._generated.google import rpc


class Violation(NamedTuple):
    """A faulty field of a request.

    Attributes:
        field: Path of the field, such as ``features.values[3]``.
        description: What is wrong with it.
    """

    field: str
    description: str


class ApiError(Exception):
    """A call that the service answered with a failure, or that never reached it.

    Attributes:
        code: Canonical code by name, such as ``NOT_FOUND``; fixed by the class.
        reason: Reason in upper snake case, such as ``CONSENT_MISSING``; the reference of errors lists them.
        message: One sentence for a person.
        metadata: Facts for programs, such as ``resets_at``.
        violations: Each faulty field of the request.
        request_id: Names the call in the service's log; empty when it never arrived.
        retry_delay_s: Seconds after which a repeat can help, if the service named them.
    """

    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message
        self.metadata: dict[str, str] = {}
        self.violations: list[Violation] = []
        self.request_id = ""
        self.retry_delay_s: float | None = None

    def __str__(self) -> str:
        fields = "".join(f"; {one.field}: {one.description}" for one in self.violations)
        named = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.reason}: {self.message}{fields}{named}"


class Cancelled(ApiError):
    """The call was given up."""

    code = "CANCELLED"


class Unknown(ApiError):
    """A failure nobody can name."""

    code = "UNKNOWN"


class InvalidArgument(ApiError):
    """The request is wrong whatever the state of the service; ``violations`` name the fields."""

    code = "INVALID_ARGUMENT"


class DeadlineExceeded(ApiError):
    """No answer within the deadline; a change may have happened all the same."""

    code = "DEADLINE_EXCEEDED"


class NotFound(ApiError):
    """What was asked for does not exist, or belongs to another tenant."""

    code = "NOT_FOUND"


class AlreadyExists(ApiError):
    """What should be made is there."""

    code = "ALREADY_EXISTS"


class PermissionDenied(ApiError):
    """The caller is known and may not."""

    code = "PERMISSION_DENIED"


class ResourceExhausted(ApiError):
    """A rate limit or a quota; with ``retry_delay_s`` a repeat can help."""

    code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(ApiError):
    """The state of something must change first."""

    code = "FAILED_PRECONDITION"


class Aborted(ApiError):
    """Another call was faster; read again and repeat."""

    code = "ABORTED"


class OutOfRange(ApiError):
    """Past the end of something."""

    code = "OUT_OF_RANGE"


class Unimplemented(ApiError):
    """The service does not know the method."""

    code = "UNIMPLEMENTED"


class Internal(ApiError):
    """A fault of the service; ``request_id`` helps its operators to find it."""

    code = "INTERNAL"


class Unavailable(ApiError):
    """The service cannot be reached, or asks to be left alone for a moment."""

    code = "UNAVAILABLE"


class DataLoss(ApiError):
    """Something is lost or broken for good."""

    code = "DATA_LOSS"


class Unauthenticated(ApiError):
    """The credentials are missing, expired or wrong."""

    code = "UNAUTHENTICATED"


_NUMBERED: tuple[type[ApiError], ...] = (
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
)
_BY_CODE = {kind.code: kind for kind in _NUMBERED}


def api_error(code: str, message: str, status: bytes | None = None) -> ApiError:
    """The failure of a call.

    Args:
        code: Canonical code by name.
        message: What the answer says.
        status: ``grpc-status-details-bin`` of the answer, a ``google.rpc.Status``.
    """
    kind = _BY_CODE.get(code, Unknown)
    error = kind(kind.code, message)
    if status is not None:
        _read(rpc.Status.parse(status), error)
    elif kind is Unavailable:
        error.reason = "SERVICE_UNREACHABLE"
    return error


def _read(status: rpc.Status, error: ApiError) -> None:
    for detail in status.details:
        match detail.type_url.rpartition("/")[2]:
            case "google.rpc.ErrorInfo":
                info = rpc.ErrorInfo.parse(detail.value)
                error.reason, error.metadata = info.reason, dict(info.metadata)
            case "google.rpc.BadRequest":
                found = rpc.BadRequest.parse(detail.value).field_violations
                error.violations = [Violation(one.field, one.description) for one in found]
            case "google.rpc.RequestInfo":
                error.request_id = rpc.RequestInfo.parse(detail.value).request_id
            case "google.rpc.RetryInfo":
                delay = rpc.RetryInfo.parse(detail.value).retry_delay
                error.retry_delay_s = None if delay is None else delay.total_seconds()
