"""Errors of the API as a caller sees them: one class, told apart by ``reason``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


@dataclass(eq=False)
class ApiError(Exception):
    """A call that the service answered with an error, or that did not reach it.

    Attributes:
        code: Canonical code by name, such as ``INVALID_ARGUMENT``.
        reason: Reason in upper snake case, as in ErrorInfo.
        message: One sentence for a person.
        metadata: Facts for programs.
        violations: Field path and description of each faulty field.
        request_id: Identifier of the request in the service's log; empty when it never arrived.
        retry_delay_s: Seconds after which a retry can help, if the service said so.
    """

    code: str
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    request_id: str = ""
    retry_delay_s: float | None = None

    def __str__(self) -> str:
        fields = "".join(f"; {name}: {what}" for name, what in self.violations)
        return f"{self.reason}: {self.message}{fields}"


def from_rpc_error(error: grpc.RpcError) -> ApiError:
    """Translate grpcio's error, reading the details the service attached."""
    code = error.code()
    found = ApiError(code.name, code.name, error.details() or "")
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == _DETAILS:
            _read_details(status_pb2.Status.FromString(value), found)
    if code is grpc.StatusCode.UNAVAILABLE and found.reason == code.name:
        found.reason, found.message = "SERVICE_UNREACHABLE", "nothing answers at this address"
    return found


def _read_details(status: status_pb2.Status, found: ApiError) -> None:
    for detail in status.details:
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            found.reason, found.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            found.request_id = request.request_id
        elif detail.Unpack(bad):
            found.violations = [(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            found.retry_delay_s = retry.retry_delay.ToTimedelta().total_seconds()
