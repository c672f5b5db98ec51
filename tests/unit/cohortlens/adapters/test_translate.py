"""A worker's status becomes an error of ours; internals stay inside."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from cohortlens.adapters.inference import translate
from cohortlens.adapters.lanes import fault_of
from cohortlens.core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    Unavailable,
)


@pytest.mark.parametrize(
    ("code", "details", "kind", "reason", "message"),
    [
        (
            "INVALID_ARGUMENT",
            "TARGET_UNSUPPORTED: no such target: x",
            InvalidArgument,
            "TARGET_UNSUPPORTED",
            "no such target: x",
        ),
        ("INVALID_ARGUMENT", "no reason given", InvalidArgument, "FIELD_INVALID", "no reason given"),
        ("INVALID_ARGUMENT", "Row 3: out of range", InvalidArgument, "FIELD_INVALID", "Row 3: out of range"),
        (
            "FAILED_PRECONDITION",
            "MODEL_KIND_MISMATCH: wrong",
            FailedPrecondition,
            "MODEL_KIND_MISMATCH",
            "wrong",
        ),
        ("UNAVAILABLE", "anything", Unavailable, "WORKERS_UNAVAILABLE", None),
        ("RESOURCE_EXHAUSTED", "OVERLOADED: 7 rows wait", Unavailable, "OVERLOADED", None),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded, "DEADLINE_EXCEEDED", None),
        ("DATA_LOSS", "ARTIFACT_CORRUPT: /srv/x is damaged", Internal, "ARTIFACT_CORRUPT", None),
        ("NOT_FOUND", "ARTIFACT_MISSING: abc", Internal, "ARTIFACT_MISSING", None),
        ("UNKNOWN", "Unexpected <class 'KeyError'>", Internal, "INTERNAL", None),
    ],
)
def test_each_status_becomes_the_error_a_caller_can_act_on(code, details, kind, reason, message):
    status = AioRpcError(grpc.StatusCode[code], Metadata(), Metadata(), details)
    error = translate(fault_of(status), "prediction")
    assert (type(error), error.reason) == (kind, reason)
    if message is not None:
        assert error.message == message
    else:
        assert details.rpartition(": ")[2] not in error.message


@pytest.mark.parametrize(
    ("code", "details", "lost"),
    [
        ("UNAVAILABLE", "Socket closed", True),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused", False),
        ("UNAVAILABLE", "DRAINING: the replica stops", False),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", False),
    ],
)
def test_a_call_is_lost_when_its_replica_may_have_begun_it_and_went_away_without_a_word(code, details, lost):
    status = AioRpcError(grpc.StatusCode[code], Metadata(), Metadata(), details)
    assert fault_of(status).lost == lost
