"""ListAccessEntries: entries as messages, tokens bound to what the list was narrowed by, times that are none."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.audit.access_reading import AccessEntry, AccessPage
from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.errors import InvalidArgument
from cohortlens.core.paging import PageTokens
from cohortlens.core.sealing import Keyring
from cohortlens.v1 import audit_pb2 as pb
from gateway.servicers.audit_access import AccessLogServicer

ID = UUID("01930000-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 2, 3, 4, 5, 678_901, tzinfo=UTC)
LEAF = {
    "id": str(ID),
    "actor": f"user:{ID}",
    "on_behalf_of": "",
    "action": "customers.customer.read",
    "method": "/cohortlens.v1.CustomersService/GetCustomer",
    "resource": "",
    "customer_refs": ["ab" * 16],
    "outcome": "DENIED",
    "reason": "RESOURCE_NOT_FOUND",
    "request_id": "r-1",
    "address": "192.0.2.0/24",
    "at_us": 1_793_587_444_000_001,
}


class Reading:
    """Answers one entry, and that there is more."""

    def __init__(self):
        self.asked = []

    async def page(self, ctx, query, after, limit):
        self.asked.append((query, after, limit))
        return AccessPage([AccessEntry(ID, AT, json.dumps(LEAF).encode(), 7)], (5, str(ID)))


@pytest.fixture
def reading():
    return Reading()


@pytest.fixture
def servicer(reading):
    return AccessLogServicer(
        reading, PageTokens(Keyring.parse("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="))
    )


@pytest.fixture
def call():
    principal = Principal(ID, ID, ID, "owner", frozenset({"audit.read"}))
    return SimpleNamespace(context=RequestContext("r", principal, time.monotonic() + 10))


def at(text):
    made = Timestamp()
    made.FromJsonString(text)
    return made


async def test_an_entry_is_shown_with_its_leaf_and_its_seal(servicer, call):
    reply = await servicer.ListAccessEntries(pb.ListAccessEntriesRequest(), call)
    (entry,) = reply.entries
    assert (entry.entry, entry.actor, entry.reason) == (str(ID), f"user:{ID}", "RESOURCE_NOT_FOUND")
    assert entry.outcome == pb.AUDIT_OUTCOME_DENIED
    assert entry.create_time.ToJsonString() == "2026-11-02T03:04:05.678901Z"
    assert entry.access_time.ToMicroseconds() == LEAF["at_us"]
    assert (json.loads(entry.leaf), entry.seal_seq) == (LEAF, 7)


async def test_the_next_page_goes_on_in_the_same_list_only(servicer, reading, call):
    asked = pb.ListAccessEntriesRequest(actor="user:a", start_time=at("2026-11-01T00:00:00Z"), page_size=3)
    token = (await servicer.ListAccessEntries(asked, call)).next_page_token
    asked.page_token = token
    await servicer.ListAccessEntries(asked, call)
    (query, first, limit), (_, following, _) = reading.asked
    assert (query.actor, query.since, query.until) == ("user:a", datetime(2026, 11, 1, tzinfo=UTC), None)
    assert (first, following, limit) == (None, (5, str(ID)), 3)
    for other in (
        pb.ListAccessEntriesRequest(actor="user:b", start_time=asked.start_time, page_token=token),
        pb.ListAccessEntriesRequest(actor="user:a", page_token=token),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await servicer.ListAccessEntries(other, call)
        assert refused.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    "wrong", [Timestamp(seconds=2**60), Timestamp(nanos=-1), Timestamp(seconds=-(2**60))]
)
async def test_a_time_that_is_none_names_its_field(servicer, call, wrong):
    with pytest.raises(InvalidArgument) as refused:
        await servicer.ListAccessEntries(pb.ListAccessEntriesRequest(end_time=wrong), call)
    assert [one.field for one in refused.value.violations] == ["end_time"]
