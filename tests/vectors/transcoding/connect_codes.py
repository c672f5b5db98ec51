"""Vectors of the Connect protocol: the HTTP status of each of its codes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from cohortlens.core.errors import Code, CohortLensError
from gateway.http.connect import ConnectDoor
from gateway.http.routes import RouteTable
from gateway.http.rpc import Served
from gateway.registry import MethodTable, Policy, RateClass
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.client import Answer, Client
from tests.vectors.transcoding.door import chain_of
from tests.vectors.transcoding.listed import each
from tests.vectors.transcoding.schema import Schema

_EMPTY = "google.protobuf.Empty"
_SERVICE = "failing.Failing"
# Connect writes its codes like google.rpc, in lower case, but for one letter.
_CODES = {code.name.lower(): code for code in Code if code is not Code.OK} | {"canceled": Code.CANCELLED}
del _CODES["cancelled"]


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    cases = content.get("cases")
    return isinstance(cases, list) and any(
        isinstance(case, dict) and "connect_code" in case for case in cases
    )


def cases(vector: Vector) -> Iterator[Case]:
    """Let a method fail with each code, and read what the Connect door answers."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    code = _CODES[case["connect_code"]]
    error = type("Scripted", (CohortLensError,), {"code": code, "reason": "SCRIPTED"})("scripted")
    answer = asyncio.run(_answer(error))
    yield from differing(case["http_status"], answer.status)
    yield from differing(case["connect_code"], answer.json.get("code"))


async def _answer(error: CohortLensError) -> Answer:
    class Failing:
        """A service whose method fails."""

        async def Whole(self, request: Any, call: Any) -> Any:  # noqa: N802 - the name of the RPC
            raise error

    pool = Schema("failing").method("Failing", "Whole", _EMPTY, _EMPTY, {"get": "/whole"}).build()
    table = MethodTable()
    policy = Policy(public=True, rate_class=RateClass.PUBLIC)
    table.add_service(pool.FindServiceByName(_SERVICE), {"Whole": policy})
    door = ConnectDoor(Served(chain_of(table, {_SERVICE: Failing()}), RouteTable()))
    headers = {"content-type": "application/json", "connect-protocol-version": "1"}
    return await Client(door).request("POST", f"/{_SERVICE}/Whole", b"{}", headers)


CONNECT_CODES = Format("connect codes", recognises, cases, frozenset({"connect_codes"}))
"""Codes of Connect and what they are over HTTP."""
