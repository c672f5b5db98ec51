"""A failure as google.rpc.Status: the same details at every door, small enough for gRPC, in two languages."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2

from cohortlens.core.errors import (
    Code,
    CohortLensError,
    FailedPrecondition,
    InvalidArgument,
    QuotaViolation,
    ResourceExhausted,
    Violation,
)
from gateway.http import faults
from gateway.interceptors.errors import rpc_status
from gateway.interceptors.languages import SPANISH_CODES, localized, preferred


def failures():
    limited = ResourceExhausted("slow down", retry_delay_s=1.25, metadata={"a": "ñ"})
    limited.quota = (QuotaViolation("tenant", "calls", "calls", "read", 2**60, {"month": "2026-11"}),)
    spoken = InvalidArgument("bad", violations=(Violation("a.b[3]", "ünwell"),))
    spoken.localized = ("es", "Un campo no es válido.")
    return [limited, spoken, FailedPrecondition("not yet", reason="LEGAL_HOLD"), CohortLensError("ours")]


@pytest.mark.parametrize("error", failures(), ids=lambda error: type(error).__name__)
def test_json_and_grpc_carry_the_same_details(error):
    assert error_details_pb2.ErrorInfo  # its types must be in the pool, for Any
    over_grpc = json_format.MessageToDict(rpc_status(error, "request-1"))
    over_http = json.loads(faults.render(error, "request-1", problem=False)[2])
    for detail in over_http["details"]:
        if not detail.get("metadata", True):
            del detail["metadata"]
    assert over_http == over_grpc


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("m", violations=tuple(Violation(f"field[{n}]", "wrong" * 40) for n in range(50))),
        FailedPrecondition("ñ" * 10_000),
        InvalidArgument("m", metadata={"a": "x" * 9_000}),
        InvalidArgument("m", violations=(Violation("x" * 9_000, "d"),)),
    ],
)
def test_a_status_for_grpc_is_cut_to_its_limit_and_keeps_code_and_reason(error):
    status = rpc_status(error, "request-1", 4096)
    assert status.ByteSize() <= 4096
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, info.reason) == (int(error.code), error.reason)
    assert rpc_status(error, "request-1").ByteSize() > 4096


def test_violations_are_cut_before_anything_else():
    violations = tuple(Violation(f"field[{n}]", "wrong" * 40) for n in range(50))
    error = InvalidArgument("m", violations=violations, metadata={"kept": "yes"})
    status = rpc_status(error, "request-1", 4096)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert info.metadata["kept"] == "yes"
    assert 1 <= len(bad.field_violations) < 50


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("es", "es"),
        ("es-MX,en;q=0.5", "es"),
        ("en;q=0.4, ES-419;q=0.9", "es"),
        ("fr, *;q=0.1", "en"),
        ("en, es", "en"),
        ("es;q=0", ""),
        ("fr-CA", ""),
        ("es;q=high", ""),
        ("", ""),
        ("," * 100_000, ""),
    ],
)
def test_the_language_is_the_one_the_caller_likes_best(header, language):
    assert preferred(header) == language


def test_spanish_speaks_of_the_reason_or_else_of_the_code():
    expired = CohortLensError("x", reason="TOKEN_EXPIRED")
    assert localized(expired, "es") == ("es", "La credencial caducó: renuévela.")
    unknown = FailedPrecondition("x", reason="NOT_IN_ANY_TABLE")
    assert localized(unknown, "es") == ("es", SPANISH_CODES[Code.FAILED_PRECONDITION])
    assert localized(unknown, "en-GB") == ("en", "x")
    assert localized(unknown, "de") is None
    assert set(SPANISH_CODES) == set(Code)
