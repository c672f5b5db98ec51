"""How a failure reads on the wire."""

import base64
from urllib.parse import unquote

import pytest
from google.rpc import status_pb2

from cohortlens.core.errors import Code, CohortLensError, InvalidArgument, Violation
from gateway.interceptors.chain import CallFailed
from gateway.interceptors.errors import HTTP_STATUS, rpc_status
from gateway.interceptors.status import MAX_DETAILS_BYTES, percent_encode, status_headers


@pytest.mark.parametrize(
    "text", ["plain words, 1 + 1", "100 %", "ñandú €", "line\nbreak\ttab\0", "%41", "\U0001f980", ""]
)
def test_any_message_survives_percent_encoding(text):
    encoded = percent_encode(text)
    assert encoded.isascii()
    assert encoded.isprintable() or not encoded
    assert unquote(encoded) == text


def test_a_lone_surrogate_does_not_break_the_answer():
    assert percent_encode("a\ud800b") == "a?b"


def test_details_stay_within_four_kib_whatever_the_fault_holds():
    faults = [
        InvalidArgument("x" * 9000, violations=tuple(Violation("f" * 500, "d" * 500) for _ in range(50))),
        InvalidArgument("short", metadata={"k" * 3000: "v" * 3000}),
        InvalidArgument("ñ" * 5000),
    ]
    for fault in faults:
        headers = dict(status_headers(CallFailed(fault, "request-1")))
        packed = base64.b64decode(headers[b"grpc-status-details-bin"] + b"==")
        assert len(packed) <= MAX_DETAILS_BYTES
        status = status_pb2.Status.FromString(packed)
        assert status.code == 3
        assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
        assert sum(len(name) + len(value) for name, value in headers.items()) < 8 * 1024


def test_every_code_has_an_http_status():
    assert set(HTTP_STATUS) == set(Code)
    assert HTTP_STATUS[Code.CANCELLED] == 499


def test_absent_facts_are_absent_details():
    kinds = [one.TypeName() for one in rpc_status(CohortLensError("no"), "").details]
    assert kinds == ["google.rpc.ErrorInfo"]
