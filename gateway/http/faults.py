"""Errors on the wire: status, body and headers of a failure, as google.rpc.Status JSON or RFC 9457."""

from __future__ import annotations

from typing import Any, Final

import orjson
from google.protobuf import duration_pb2

from cohortlens.core.errors import (
    Code,
    CohortLensError,
    InvalidArgument,
    NotFound,
    QuotaViolation,
    Unimplemented,
)
from gateway.http.headers import JSON, PROBLEM
from gateway.http.wellknown import dump_duration
from gateway.interceptors.errors import HTTP_STATUS, retry_after

DOMAIN: Final = "cohortlens"
MAX_VIOLATIONS: Final = 50
_TYPE: Final = "type.googleapis.com/google.rpc."

HTTP_ONLY: Final[dict[str, int]] = {
    "METHOD_NOT_ALLOWED": 405,
    "METHOD_REMOVED": 410,
    "NOT_ACCEPTABLE": 406,
    "REQUEST_TIMEOUT": 408,
    "BODY_TOO_LARGE": 413,
    "URI_TOO_LONG": 414,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "HEADERS_TOO_LARGE": 431,
}
"""Status of the reasons that only this door raises; all others follow their code."""

_TITLES: Final[dict[int, str]] = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Permission denied",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Content too large",
    414: "URI too long",
    415: "Unsupported media type",
    429: "Too many requests",
    431: "Request header fields too large",
    499: "Client closed request",
    500: "Internal error",
    501: "Not implemented",
    503: "Unavailable",
    504: "Deadline exceeded",
}


def streaming_unsupported() -> Unimplemented:
    """A call with streams both ways: HTTP/1.1 clients cannot send and read at once."""
    return Unimplemented(
        "this call streams both ways; call it with gRPC, or with Connect over HTTP/2",
        reason="STREAMING_NOT_SUPPORTED",
    )


def route_not_found() -> NotFound:
    """No route has this path."""
    return NotFound("no such path", reason="ROUTE_NOT_FOUND")


def method_not_allowed(allowed: list[str]) -> Unimplemented:
    """The path exists, under other verbs."""
    return Unimplemented(f"this path takes {', '.join(allowed)}", reason="METHOD_NOT_ALLOWED")


def too_large(limit: int) -> InvalidArgument:
    """A body beyond its limit in bytes."""
    return InvalidArgument(
        f"the body is larger than {limit} bytes",
        reason="BODY_TOO_LARGE",
        metadata={"limit_bytes": str(limit)},
    )


def unsupported_media(expected: str) -> InvalidArgument:
    """A Content-Type or Content-Encoding that the method does not take."""
    return InvalidArgument(f"expected {expected}", reason="UNSUPPORTED_MEDIA_TYPE")


def not_acceptable(offered: list[str]) -> InvalidArgument:
    """An Accept that nothing offered satisfies."""
    return InvalidArgument(f"this path answers {', '.join(offered)}", reason="NOT_ACCEPTABLE")


def status_of(error: CohortLensError) -> int:
    """HTTP status of a failure."""
    return HTTP_ONLY.get(error.reason) or HTTP_STATUS[error.code]


def document(error: CohortLensError, request_id: str) -> dict[str, Any]:
    """A failure as google.rpc.Status in proto JSON."""
    message = _clean(error.message)
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_TYPE}ErrorInfo",
            "reason": error.reason,
            "domain": DOMAIN,
            "metadata": dict(error.metadata),
        }
    ]
    if error.violations:
        violations = [
            {"field": _clean(violation.field), "description": _clean(violation.description)}
            for violation in error.violations[:MAX_VIOLATIONS]
        ]
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations})
    if error.code is Code.FAILED_PRECONDITION:
        state = [{"type": error.reason, "description": message}]
        details.append({"@type": f"{_TYPE}PreconditionFailure", "violations": state})
    if error.quota:
        details.append({"@type": f"{_TYPE}QuotaFailure", "violations": [_limit(one) for one in error.quota]})
    if error.retry_delay_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_delay_s * 1e9))
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": dump_duration(delay)})
    if error.localized is not None:
        locale, text = error.localized
        details.append({"@type": f"{_TYPE}LocalizedMessage", "locale": locale, "message": _clean(text)})
    if request_id:
        details.append({"@type": f"{_TYPE}RequestInfo", "requestId": request_id})
    return {"code": int(error.code), "message": message, "details": details}


def _limit(one: QuotaViolation) -> dict[str, Any]:
    """A limit in proto JSON: whole numbers of 64 bits are texts there."""
    return {
        "subject": one.subject,
        "description": _clean(one.description),
        "quotaMetric": one.metric,
        "quotaId": one.quota_id,
        **({"quotaDimensions": dict(one.dimensions)} if one.dimensions else {}),
        "quotaValue": str(one.value),
    }


def render(
    error: CohortLensError, request_id: str, *, problem: bool, status: int | None = None
) -> tuple[int, str, bytes]:
    """Status, content type and body of a failed call; ``status`` stands in for that of the error."""
    status, body = status or status_of(error), document(error, request_id)
    if not problem:
        return status, JSON, orjson.dumps(body)
    details = {
        "type": f"/docs/errors/{error.reason}",
        "title": _TITLES.get(status, Code(error.code).name.replace("_", " ").capitalize()),
        "status": status,
        "detail": body["message"],
        "instance": request_id,
        "code": body["code"],
        "reason": error.reason,
        "details": body["details"],
    }
    return status, PROBLEM, orjson.dumps(details)


def headers_of(error: CohortLensError) -> list[tuple[bytes, bytes]]:
    """Headers a failure adds: Retry-After in whole seconds, rounded up."""
    after = retry_after(error)
    return [] if after is None else [(b"retry-after", after.encode())]


def _clean(text: str) -> str:
    """Text without lone surrogates, which JSON output cannot carry."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
