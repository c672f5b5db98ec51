"""Deprecated methods: what refuses the start, what every answer says, and what is answered after the end."""

from __future__ import annotations

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from cohortlens.core.telemetry import DEPRECATED_CALLS
from cohortlens.v1 import common_pb2
from gateway.http.routes import build_routes
from gateway.http.transcoding import HttpDoor
from gateway.registry import MethodTable, MethodTableInvalid
from tests.vectors.transcoding.client import Client
from tests.vectors.transcoding.door import chain_of

DAY_S = 86_400
SINCE = 1_767_225_600  # 2026-01-01
REMOVED = SINCE + 181 * DAY_S  # 2026-07-01
END = {"since": "2026-01-01", "removed": "2026-07-01", "link": "/docs/guides/old"}


def table_of(name, end, *, deprecated=True):
    """A table with one method that goes as ``end`` says."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"tests/{name}.proto",
        package=f"tests.{name}",
        syntax="proto3",
        dependency=["cohortlens/v1/common.proto", "google/api/annotations.proto"],
    )
    file.message_type.add(name="Empty")
    method = file.service.add(name="Things").method.add(
        name="Old", input_type=f".tests.{name}.Empty", output_type=f".tests.{name}.Empty"
    )
    method.options.deprecated = deprecated
    method.options.Extensions[annotations_pb2.http].get = "/old"
    policy = method.options.Extensions[common_pb2.policy]
    policy.access, policy.rate_class = common_pb2.ACCESS_PUBLIC, common_pb2.RATE_CLASS_READ
    if end is not None:
        method.options.Extensions[common_pb2.deprecation].CopyFrom(common_pb2.Deprecation(**end))
    table = MethodTable()
    table.add_public_api([descriptor_pool.Default().AddSerializedFile(file.SerializeToString())])
    return table


@pytest.mark.parametrize(
    ("name", "end", "deprecated", "said"),
    [
        ("no_day", None, True, "is deprecated and names no day on which it goes"),
        ("kept", END, False, "has an end and is not deprecated"),
        ("short", {**END, "removed": "2026-06-29"}, True, "goes less than 180 days after it is deprecated"),
        ("no_date", {**END, "since": "soon"}, True, "has an end with since: 'soon', no day such as"),
        ("no_link", {**END, "link": ""}, True, "names no page that says what to use instead"),
        ("injected", {**END, "link": "/a>; x"}, True, "names no page that says what to use instead"),
    ],
)  # fmt: skip
def test_an_end_that_is_not_declared_in_full_refuses_the_start(name, end, deprecated, said):
    with pytest.raises(MethodTableInvalid) as caught:
        table_of(f"end_{name}", end, deprecated=deprecated)
    (fault,) = caught.value.faults
    assert said in fault
    assert fault.startswith(f"tests/end_{name}.proto: tests.end_{name}.Things.Old")


class Things:
    """Answers, and counts how often."""

    def __init__(self):
        self.calls = 0

    async def Old(self, request, call):  # noqa: N802
        self.calls += 1
        return call.method.output_class()


async def test_a_deprecated_method_says_when_it_goes_and_is_refused_from_that_day_on(monkeypatch):
    table, things, now = table_of("goes", END), Things(), [REMOVED - 1.0]
    before = DEPRECATED_CALLS.labels("/tests.goes.Things/Old").value
    chain = chain_of(table, {"tests.goes.Things": things})
    monkeypatch.setattr(chain.steps["request_id"], "_clock", lambda: now[0])
    client = Client(HttpDoor(chain, build_routes(table), {}))
    for status, called in ((200, 1), (410, 1)):
        answer = await client.request("GET", "/old")
        assert (answer.status, things.calls) == (status, called)
        assert answer.header("deprecation") == f"@{SINCE}"
        assert answer.header("sunset") == "Wed, 01 Jul 2026 00:00:00 GMT"
        assert answer.header("link") == '</docs/guides/old>; rel="deprecation"'
        now[0] = REMOVED
    assert (answer.reason, answer.json["code"]) == ("METHOD_REMOVED", 12)
    assert DEPRECATED_CALLS.labels("/tests.goes.Things/Old").value == before + 2
