"""Calls of the client: deadlines, tokens, request keys, repeats, resumed streams, warnings."""

import asyncio
import uuid
import warnings

import pytest

from cohortlens.client import v1
from cohortlens.client._generated.methods import METHODS
from cohortlens.client._generated.services import AnalyticsService, ConsentService, CustomersService
from cohortlens.client.errors import (
    ApiError,
    DeadlineExceeded,
    FailedPrecondition,
    Unauthenticated,
    Unavailable,
)
from tests.fakes.client_wire import FakeWire, caller, fault

GET = v1.GetCustomerRequest(customer="c")
FOUND = v1.GetCustomerResponse(customer=v1.Customer(customer="c"))


class Signer:
    """Gives t1, t2, ...: the next one after each refusal."""

    def __init__(self, can_renew=True):
        self.count, self.can_renew = 1, can_renew

    async def token(self):
        return f"t{self.count}"

    def refused(self, token):
        assert token == f"t{self.count}"
        self.count += 1
        return self.can_renew


async def get(wire, signer=None, timeout_s=None, **options):
    calls, time = caller(wire, signer, **options)
    return await CustomersService(calls).get_customer(GET, timeout_s=timeout_s), time


async def test_a_call_carries_its_token_trace_and_the_default_deadline():
    wire = FakeWire(FOUND)
    reply, _ = await get(wire, Signer(), traceparent=lambda: "00-aa-bb-01")
    assert reply == FOUND
    metadata = {"authorization": "Bearer t1", "traceparent": "00-aa-bb-01"}
    assert wire.sent == [("/cohortlens.v1.CustomersService/GetCustomer", bytes(GET), 10.0, metadata)]


async def test_a_public_method_gets_no_token():
    wire = FakeWire(v1.ListPlansResponse())
    calls, _ = caller(wire, Signer())
    from cohortlens.client._generated.services import BillingService

    await BillingService(calls).list_plans()
    assert wire.sent[0][3] == {}


async def test_a_read_is_repeated_while_the_service_is_away_with_growing_pauses():
    wire = FakeWire(*[fault("UNAVAILABLE")] * 3, FOUND)
    reply, time = await get(wire)
    assert reply == FOUND
    assert time.slept == pytest.approx([0.1, 0.2, 0.4])
    assert [timeout for _, _, timeout, _ in wire.sent] == pytest.approx([10, 9.9, 9.7, 9.3])


async def test_a_read_is_given_up_after_four_attempts():
    wire = FakeWire(*[fault("UNAVAILABLE")] * 5)
    with pytest.raises(Unavailable):
        await get(wire)
    assert len(wire.sent) == 4


async def test_a_change_is_not_repeated_when_nobody_knows_what_became_of_it():
    wire = FakeWire(fault("UNAVAILABLE"))
    calls, _ = caller(wire)
    with pytest.raises(Unavailable):
        await AnalyticsService(calls).predict(v1.PredictRequest(customers=["c"]))
    assert len(wire.sent) == 1


async def test_any_method_waits_as_long_as_the_service_says_and_keeps_its_request_key():
    wire = FakeWire(fault("RESOURCE_EXHAUSTED", "RATE_LIMITED", 1.5), v1.PredictResponse())
    calls, time = caller(wire)
    await AnalyticsService(calls).predict(v1.PredictRequest(customers=["c"]))
    first, second = (v1.PredictRequest.parse(sent[1]).request_id for sent in wire.sent)
    assert first == second
    assert uuid.UUID(first).version == 4
    assert time.slept == [1.5]


async def test_a_key_that_the_program_chose_stays():
    wire, key, other = FakeWire(v1.PredictResponse()), str(uuid.uuid4()), v1.PredictRequest(customers=["c"])
    calls, _ = caller(wire)
    other.request_id = key
    await AnalyticsService(calls).predict(other)
    assert v1.PredictRequest.parse(wire.sent[0][1]).request_id == key


@pytest.mark.parametrize(
    "error",
    [
        fault("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", 1.0),
        fault("RESOURCE_EXHAUSTED", "RATE_LIMITED"),
        fault("INVALID_ARGUMENT"),
        fault("INTERNAL"),
        fault("UNAUTHENTICATED", "TOKEN_REVOKED"),
        fault("RESOURCE_EXHAUSTED", "RATE_LIMITED", 10.0),
    ],
    ids=lambda error: f"{error.reason} after {error.retry_delay_s}",
)
async def test_what_a_repeat_cannot_help_within_the_deadline_is_raised_at_once(error):
    wire = FakeWire(error)
    with pytest.raises(type(error)) as raised:
        await get(wire, Signer())
    assert raised.value is error
    assert len(wire.sent) == 1


async def test_repeats_stop_while_half_of_the_calls_fail_and_come_back_with_successes():
    wire = FakeWire(*[fault("UNAVAILABLE")] * 7, *[FOUND] * 40, fault("UNAVAILABLE"), FOUND)
    calls, _ = caller(wire)
    service = CustomersService(calls)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await service.get_customer(GET)
    # Four attempts, then the fifth failure in a row ends repeats: one attempt for each of the next two calls.
    assert len(wire.sent) == 4 + 1 + 1
    wire.script.pop(0)
    for _ in range(40):
        await service.get_customer(GET)
    assert await service.get_customer(GET) == FOUND


async def test_an_expired_token_is_renewed_once():
    wire, signer = FakeWire(fault("UNAUTHENTICATED", "TOKEN_EXPIRED"), FOUND), Signer()
    assert (await get(wire, signer))[0] == FOUND
    assert [sent[3]["authorization"] for sent in wire.sent] == ["Bearer t1", "Bearer t2"]
    wire = FakeWire(*[fault("UNAUTHENTICATED", "TOKEN_EXPIRED")] * 2)
    with pytest.raises(Unauthenticated):
        await get(wire, Signer())
    with pytest.raises(Unauthenticated):
        await get(FakeWire(fault("UNAUTHENTICATED", "TOKEN_EXPIRED")), Signer(can_renew=False))


async def test_waiting_for_a_token_ends_with_the_deadline():
    class Stuck:
        async def token(self):
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded, match="no token within the deadline"):
        await get(FakeWire(FOUND), Stuck(), timeout_s=0.01)


async def test_rows_of_all_pages_come_in_order_and_a_page_is_fetched_when_it_is_needed():
    one, two = v1.Customer(customer="1"), v1.Customer(customer="2")
    wire = FakeWire(
        v1.ListCustomersResponse(customers=[one, two], next_page_token="n"),
        v1.ListCustomersResponse(customers=[two]),
    )
    calls, _ = caller(wire)
    asked = v1.ListCustomersRequest(page_size=2)
    rows = CustomersService(calls).iter_customers(asked)
    assert [await anext(rows), await anext(rows)] == [one, two]
    assert len(wire.sent) == 1
    assert [row async for row in rows] == [two]
    second = v1.ListCustomersRequest(page_size=2, page_token="n")
    assert [sent[1] for sent in wire.sent] == [bytes(asked), bytes(second)]
    assert asked.page_token == ""


def change(token):
    return v1.WatchConsentsResponse(resume_token=token)


async def test_a_broken_stream_goes_on_behind_its_last_message():
    wire = FakeWire([change("1"), change("2"), fault("UNAVAILABLE")], [fault("UNAVAILABLE")], [change("3")])
    calls, time = caller(wire)
    found = [one.resume_token async for one in ConsentService(calls).watch_consents()]
    assert found == ["1", "2", "3"]
    tokens = [v1.WatchConsentsRequest.parse(sent[1]).resume_token for sent in wire.sent]
    assert tokens == ["", "2", "2"]
    assert time.slept == pytest.approx([0.1, 0.2])
    assert wire.sent[0][2] == 300.0


async def test_a_stream_that_cannot_go_on_breaks_after_its_first_message_and_is_repeated_before():
    part = v1.CreatePurposeRequest()
    wire = FakeWire([fault("UNAVAILABLE")], [part, fault("UNAVAILABLE")])
    calls, _ = caller(wire)
    stream = AnalyticsService(calls).download_batch_result(v1.DownloadBatchResultRequest(batch="b"))
    await anext(stream)
    with pytest.raises(Unavailable):
        await anext(stream)
    assert len(wire.sent) == 2


async def test_a_stream_that_is_left_early_is_closed():
    wire = FakeWire([change("1"), change("2")])
    calls, _ = caller(wire)
    stream = ConsentService(calls).watch_consents()
    await anext(stream)
    await stream.aclose()
    assert wire.closed == 1


async def test_uploads_and_conversations_send_every_message_once():
    async def later():
        yield v1.ScoreTensorRequest()

    wire = FakeWire(fault("UNAVAILABLE"), [v1.ScoreTensorResponse()])
    calls, _ = caller(wire)
    with pytest.raises(Unavailable):
        await CustomersService(calls).import_transactions([v1.ImportTransactionsRequest(chunk=b"a")])
    assert [one async for one in AnalyticsService(calls).score_tensor(later())] == [v1.ScoreTensorResponse()]
    assert [len(sent[1]) for sent in wire.sent] == [1, 1]


async def test_a_deprecated_method_warns_once_with_its_last_day(monkeypatch):
    monkeypatch.setattr("cohortlens.client.calls._WARNED", set())
    wire = FakeWire(FOUND, FOUND)
    wire.before = {"deprecation": "@1767225600", "sunset": "Wed, 01 Jul 2026 00:00:00 GMT"}
    calls, _ = caller(wire)
    with pytest.warns(
        DeprecationWarning, match="GetCustomer is deprecated, it is removed on Wed, 01 Jul 2026"
    ):
        await CustomersService(calls).get_customer(GET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await CustomersService(calls).get_customer(GET)


def test_every_failure_has_its_class_and_tells_fields_and_request():
    error = fault("FAILED_PRECONDITION", "CONSENT_MISSING")
    assert isinstance(error, FailedPrecondition)
    assert isinstance(error, ApiError)
    error.request_id = "r-1"
    assert str(error) == "CONSENT_MISSING: scripted (request r-1)"


def test_only_methods_that_change_nothing_are_in_the_service_config():
    from cohortlens.client.retries import service_config

    names = {one["method"] for group in service_config()["methodConfig"] for one in group["name"]}
    assert "GetCustomer" in names
    assert not names & {"Predict", "GrantConsent", "CreateSession", "ImportTransactions"}
    assert len(METHODS) > len(names)
