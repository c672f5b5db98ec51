"""Vectors of failures: the HTTP status, the body and the last line of a stream that a gRPC code becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2

from cohortlens.core.errors import Code, CohortLensError, QuotaViolation, Violation
from gateway.http.headers import Head
from gateway.http.health import healthz_page
from gateway.http.requests import Request
from gateway.registry import MethodTable
from gateway.servicers.health import add_health
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.client import Answer, Client
from tests.vectors.transcoding.door import chain_of, door_for
from tests.vectors.transcoding.listed import each
from tests.vectors.transcoding.schema import Schema

_KEYS = frozenset({"grpc_code", "healthz"})
_EMPTY = "google.protobuf.Empty"


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    cases = content.get("cases")
    return isinstance(cases, list) and any(isinstance(case, dict) and _KEYS & case.keys() for case in cases)


def cases(vector: Vector) -> Iterator[Case]:
    """Let a method of a service fail as each case says, and read what the HTTP door answers."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    if "healthz" in case:
        yield from differing(case["http_status"], asyncio.run(_health_status(case["healthz"])))
        return
    answer = asyncio.run(_answer(_error(case), stream=case.get("in_stream", False)))
    yield from differing(case["http_status"], answer.status)
    if "content_type" in case:
        yield from differing(case["content_type"], answer.header("content-type"))
    if case.get("in_stream"):
        last = json.loads(answer.body.splitlines()[-1])
        yield from _status_faults(case["last_line"]["error"], last.get("error", {}))
        return
    wanted = {"code": int(Code[case["grpc_code"]])}
    if "message" in case:
        wanted["message"] = case["message"]
    yield from _status_faults(wanted, answer.json)
    given = {detail["@type"] for detail in answer.json["details"]}
    for missing in sorted(set(case.get("details_types", ())) - given):
        yield f"expected a detail of type {missing}, found {sorted(given)}"


def _status_faults(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        if name != "details":
            yield from (f"{name}: {fault}" for fault in differing(value, found.get(name)))


def _error(case: Mapping[str, Any]) -> CohortLensError:
    """The fault of a case, with whatever makes the details that it asks for."""
    kinds = {kind.rpartition(".")[2] for kind in case.get("details_types", ())}
    error_class = type(
        "Scripted", (CohortLensError,), {"code": Code[case["grpc_code"]], "reason": "SCRIPTED"}
    )
    error: CohortLensError = error_class(
        case.get("message", "scripted"),
        violations=(Violation("field", "scripted"),) if "BadRequest" in kinds else (),
        retry_delay_s=1.0 if "RetryInfo" in kinds else None,
    )
    if "QuotaFailure" in kinds:
        error.quota = (QuotaViolation("tenant", "scripted", "calls", "scripted", 1),)
    return error


class _Failing:
    """A service whose method fails: at once, or after the first message of its stream."""

    def __init__(self, error: CohortLensError) -> None:
        self._error = error

    async def Whole(self, request: Any, call: Any) -> Any:  # noqa: N802 - the name of the RPC
        raise self._error

    async def Stream(self, request: Any, call: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield empty_pb2.Empty()
        raise self._error


async def _answer(error: CohortLensError, *, stream: bool) -> Answer:
    schema = Schema("failing")
    schema.method("Failing", "Whole", _EMPTY, _EMPTY, {"get": "/whole"})
    schema.method("Failing", "Stream", _EMPTY, _EMPTY, {"get": "/stream"}, streams=(False, True))
    door = door_for(schema.build(), ["failing.Failing"], _Failing(error))
    return await Client(door).request("GET", "/stream" if stream else "/whole")


class _Health:
    """The health service with an answer from the case."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said

    async def Check(self, request: Any, call: Any) -> Any:  # noqa: N802
        if "rpc_error" in self._said:
            raise _error({"grpc_code": self._said["rpc_error"]})
        return health_pb2.HealthCheckResponse(status=self._said["status"])

    Watch = List = Check


async def _health_status(said: Mapping[str, str]) -> int:
    table = MethodTable()
    add_health(table)
    page = healthz_page(chain_of(table, {"grpc.health.v1.Health": _Health(said)}))
    assert page is not None
    return (await page(Request("GET", "/healthz", "service=shop", Head(), ""))).status


ERRORS = Format("errors", recognises, cases, frozenset({"errors"}))
"""Codes and what they are over HTTP."""
