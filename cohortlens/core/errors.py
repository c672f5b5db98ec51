"""The errors of the domain: sixteen canonical codes, one exception per code in use.

A slice derives leaves in its ``models.py`` with a fixed ``reason``. ``gateway/interceptors/errors.py`` alone
turns them into ``google.rpc.Status``; the CLI prints them. Nothing here knows a transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """Canonical codes, numbered as in ``google.rpc.Code``."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True)
class Violation:
    """One faulty field of a request.

    Attributes:
        field: Path of the field in proto names, such as ``vectors[3].values[0]``.
        description: What is wrong and what is expected.
    """

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """A limit that a request ran into, as in ``google.rpc.QuotaFailure``.

    Attributes:
        subject: Whose limit it is: tenant, principal, address or credential; never a name of somebody else.
        description: What is used up, for a person.
        metric: What is counted, such as ``api_calls``.
        quota_id: Name of the limit, such as the class of a rate limit.
        value: How much there is of it.
        dimensions: What the limit is divided by, such as the month or the plan.
    """

    subject: str
    description: str
    metric: str
    quota_id: str
    value: int
    dimensions: Mapping[str, str] = field(default_factory=dict)


class CohortLensError(Exception):
    """An error with a canonical code and a reason that a caller may see.

    Args:
        message: One sentence for a person: what is wrong and what to do. Never holds internals or secrets.
        reason: Reason in upper snake case; the class's own when omitted.
        metadata: Facts for programs, as in ``google.rpc.ErrorInfo.metadata``.
        violations: Faulty fields, at most 50 are shown.
        retry_delay_s: Seconds after which a retry can help; absent when it cannot.

    Attributes:
        handed_out: Names of metadata that are secrets meant for the caller; only they are not masked.
        quota: The limits that the request ran into; set by the leaves that are about limits.
        localized: Locale and sentence in the caller's language; set by the gateway when it asked for one.
    """

    code: ClassVar[Code] = Code.INTERNAL
    handed_out: ClassVar[frozenset[str]] = frozenset()
    reason: str = "INTERNAL"
    quota: tuple[QuotaViolation, ...] = ()
    localized: tuple[str, str] | None = None

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: dict[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_delay_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.metadata = metadata or {}
        self.violations = violations
        self.retry_delay_s = retry_delay_s


class InvalidArgument(CohortLensError):
    """The request itself is wrong; repeating it cannot help."""

    code = Code.INVALID_ARGUMENT
    reason = "FIELD_INVALID"


class Unauthenticated(CohortLensError):
    """Nobody, or somebody who could not prove it."""

    code = Code.UNAUTHENTICATED
    reason = "TOKEN_INVALID"
    # The Principal that a genuine credential named, which does not hold any more: for the access log, never
    # for the caller. Its type stands in ``context``, which workers must not see.
    principal: object = None


class PermissionDenied(CohortLensError):
    """Known, and not allowed."""

    code = Code.PERMISSION_DENIED
    reason = "SCOPE_MISSING"


class NotFound(CohortLensError):
    """No such row, or a row of another tenant: the two are never told apart."""

    code = Code.NOT_FOUND
    reason = "RESOURCE_NOT_FOUND"


class AlreadyExists(CohortLensError):
    """The thing to be made is there."""

    code = Code.ALREADY_EXISTS
    reason = "RESOURCE_EXISTS"


class FailedPrecondition(CohortLensError):
    """Right request, wrong state; something else must change first."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class Aborted(CohortLensError):
    """Lost a race; a retry of the whole step can help."""

    code = Code.ABORTED
    reason = "SERIALIZATION_RETRY"


class ResourceExhausted(CohortLensError):
    """Too fast, or too much for the plan."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"


class Cancelled(CohortLensError):
    """The caller is gone."""

    code = Code.CANCELLED
    reason = "CANCELLED"


class DeadlineExceeded(CohortLensError):
    """The deadline passed before the answer."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Unimplemented(CohortLensError):
    """No such method."""

    code = Code.UNIMPLEMENTED
    reason = "METHOD_UNKNOWN"


class Unavailable(CohortLensError):
    """We lack capacity or a dependency; try again soon."""

    code = Code.UNAVAILABLE
    reason = "OVERLOADED"


class Internal(CohortLensError):
    """A fault of ours; the request id leads to the log."""

    code = Code.INTERNAL
    reason = "INTERNAL"
