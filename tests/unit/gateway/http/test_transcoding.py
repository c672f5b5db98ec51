"""The HTTP door over the public API: what binds, what is refused, how answers look."""

from __future__ import annotations

import asyncio
import json

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core import errors
from cohortlens.core.telemetry import metrics_text
from cohortlens.v1 import analytics_pb2, auth_pb2, models_pb2
from gateway.http import body as http_body
from gateway.http import faults
from gateway.interceptors.errors import rpc_status
from tests.unit.gateway.http.public_api import TOKEN, public_api

JSON = {**TOKEN, "content-type": "application/json"}


@pytest.fixture
def api():
    return public_api()


async def test_a_json_body_reaches_the_servicer_as_its_message_and_the_reply_comes_back_as_json(api):
    client, recorder = api
    recorder.script["Predict"] = analytics_pb2.PredictResponse(
        predictions=[analytics_pb2.Prediction(customer="c", value=12.5, horizon_days=90)]
    )
    body = b'{"task":"PREDICTION_TASK_SPEND","customers":["external:1"],"horizonDays":90}'
    answer = await client.request("POST", "/api/v1/predict", body, JSON)
    assert answer.status == 200
    assert recorder.asked == [
        (
            "Predict",
            analytics_pb2.PredictRequest(
                task=analytics_pb2.PREDICTION_TASK_SPEND, customers=["external:1"], horizon_days=90
            ),
        )
    ]
    found = answer.json["predictions"][0]
    assert (found["value"], found["horizonDays"], found["externalId"]) == (12.5, 90, "")
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert "default-src 'none'" in answer.header("content-security-policy")
    assert answer.header("server") is None


@pytest.mark.parametrize(
    ("verb", "target", "name", "expected"),
    [
        ("GET", "/api/v1/customers/external%3A1:features", "GetFeatures", {"customer": "external:1"}),
        ("GET", "/api/v1/customers/external:a%2Fb", "GetCustomer", {"customer": "external:a/b"}),
        ("GET", "/api/v1/customers/external%3Afeatures", "GetCustomer", {"customer": "external:features"}),
        (
            "GET",
            "/api/v1/customers?pageSize=7&page_token=t",
            "ListCustomers",
            {"pageSize": 7, "pageToken": "t"},
        ),
        (
            "GET",
            "/api/v1/predictions?customer=external%3Aa+b&task=1",
            "ListPredictions",
            {"customer": "external:a b", "task": "PREDICTION_TASK_PURCHASES"},
        ),
        (
            "GET",
            "/api/v1/models/prediction/versions/3",
            "GetModelVersion",
            {"model": "prediction", "version": 3},
        ),
        ("GET", "/.well-known/jwks.json", "GetJwks", {}),
    ],
)
async def test_path_and_query_bind_to_the_fields_they_name(api, verb, target, name, expected):
    client, recorder = api
    answer = await client.request(verb, target, headers=TOKEN)
    assert answer.status == 200, answer.body
    ((asked, message),) = recorder.asked
    assert asked == name
    assert message == json_format.ParseDict(expected, type(message)())


PROMOTE = "/api/v1/models/prediction:promote"


async def test_an_empty_body_is_an_empty_message_only_without_a_content_type(api):
    client, recorder = api
    answer = await client.request("POST", "/api/v1/segmentationRuns", b"", TOKEN)
    assert (answer.status, len(recorder.asked)) == (200, 1)
    answer = await client.request("POST", "/api/v1/segmentationRuns", b"", JSON)
    assert (answer.status, answer.reason) == (400, "MALFORMED_JSON")


async def test_head_answers_like_get_without_the_body_and_options_lists_the_verbs(api):
    client, _ = api
    get = await client.request("GET", "/api/v1/users/me", headers=TOKEN)
    head = await client.request("HEAD", "/api/v1/users/me", headers=TOKEN)
    assert (head.status, head.body, head.header("content-length")) == (200, b"", str(len(get.body)))
    failed = await client.request("HEAD", "/api/v1/users/me")
    assert (failed.status, failed.body) == (401, b"")
    options = await client.request("OPTIONS", "/api/v1/customers/a")
    assert (options.status, options.header("allow")) == (204, "DELETE, GET, HEAD, OPTIONS")


async def test_a_method_override_header_changes_nothing(api):
    client, recorder = api
    headers = {**TOKEN, "x-http-method-override": "DELETE"}
    await client.request("GET", "/api/v1/customers/a", headers=headers)
    assert [name for name, _ in recorder.asked] == ["GetCustomer"]


async def test_lenient_handling_drops_unknown_names_only(api):
    client, recorder = api
    headers = {**JSON, "prefer": "respond-async, handling=lenient"}
    answer = await client.request("POST", PROMOTE, b'{"version":1,"newField":{"a":1}}', headers)
    assert (answer.status, answer.header("preference-applied")) == (200, "handling=lenient")
    assert recorder.asked[0][1] == models_pb2.PromoteModelRequest(model="prediction", version=1)
    answer = await client.request("GET", "/api/v1/customers?newParameter=1&page_size=2", headers=headers)
    assert (answer.status, recorder.asked[1][1].page_size) == (200, 2)
    answer = await client.request("POST", PROMOTE, b'{"version":1,"model":"x"}', headers)
    assert (answer.status, answer.reason) == (400, "FIELD_CONFLICT")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("no such customer"), 404),
        (errors.PermissionDenied("not allowed", metadata={"scope": "x"}), 403),
        (errors.FailedPrecondition("no active model", reason="NO_ACTIVE_MODEL"), 400),
        (errors.Aborted("lost a race"), 409),
        (errors.AlreadyExists("it is there"), 409),
        (errors.Unavailable("busy", retry_delay_s=0.2), 503),
        (errors.ResourceExhausted("too fast", retry_delay_s=2.5), 429),
        (errors.InvalidArgument("bad", violations=(errors.Violation("a[0].b", "wrong"),)), 400),
        (errors.Internal("ours"), 500),
    ],
)
async def test_a_failure_has_one_body_whatever_the_door(api, error, status):
    client, recorder = api
    recorder.script["GetMe"] = error
    headers = {**TOKEN, "x-request-id": "request-0001"}
    answer = await client.request("GET", "/api/v1/users/me", headers=headers)
    assert answer.status == status
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RequestInfo):
        assert kind.DESCRIPTOR.full_name in answer.body.decode()
    assert json_format.ParseDict(answer.json, status_pb2.Status()) == rpc_status(error, "request-0001")
    retry = answer.header("retry-after")
    assert retry == ({0.2: "1", 2.5: "3"}[error.retry_delay_s] if error.retry_delay_s else None)


async def test_problem_details_come_on_request(api):
    client, recorder = api
    recorder.script["GetMe"] = errors.NotFound("gone")
    headers = {**TOKEN, "accept": "application/problem+json", "x-request-id": "request-0001"}
    answer = await client.request("GET", "/api/v1/users/me", headers=headers)
    assert answer.header("content-type") == "application/problem+json"
    body = answer.json
    assert (body["status"], body["reason"], body["code"]) == (404, "RESOURCE_NOT_FOUND", 5)
    assert (body["type"], body["detail"], body["instance"]) == (
        "/docs/errors/RESOURCE_NOT_FOUND",
        "gone",
        "request-0001",
    )


async def test_a_fault_of_ours_shows_nothing_of_itself(api):
    client, recorder = api
    recorder.script["GetMe"] = RuntimeError("password=hunter2 at /srv/x.py")
    answer = await client.request("GET", "/api/v1/users/me", headers=TOKEN)
    assert (answer.status, answer.reason) == (500, "INTERNAL")
    assert b"hunter2" not in answer.body
    assert b"/srv" not in answer.body


async def test_a_reply_without_a_json_form_is_a_fault_of_ours_not_a_broken_answer(api):
    client, recorder = api
    reply = auth_pb2.GetMeResponse()
    reply.create_time.seconds = 10**15
    recorder.script["GetMe"] = reply
    answer = await client.request("GET", "/api/v1/users/me", headers=TOKEN)
    assert (answer.status, answer.reason) == (500, "INTERNAL")


async def test_the_deadline_of_the_caller_ends_the_call(api):
    client, recorder = api

    async def forever(request, call):
        await asyncio.Event().wait()

    recorder.script["GetMe"] = forever
    headers = {**TOKEN, "x-request-timeout": "5", "grpc-timeout": "20m"}
    answer = await client.request("GET", "/api/v1/users/me", headers=headers)
    assert (answer.status, answer.reason) == (504, "DEADLINE_EXCEEDED")


async def test_a_caller_who_leaves_cancels_the_call(api):
    client, recorder = api
    entered, cancelled, leave = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def forever(request, call):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    recorder.script["GetMe"] = forever
    task = asyncio.create_task(client.request("GET", "/api/v1/users/me", headers=TOKEN, leave=leave))
    async with asyncio.timeout(5):
        await entered.wait()
        leave.set()
        answer = await task
        await cancelled.wait()
    assert answer.status == 0
    assert recorder.calls[0].code is errors.Code.CANCELLED


async def test_a_caller_who_leaves_before_the_body_is_complete_is_cancelled_without_an_answer(api):
    client, recorder = api
    sent = []
    events = [{"type": "http.request", "body": b'{"version', "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return events.pop(0)

    async def send(event):
        sent.append(event)

    path = "/api/v1/segmentationRuns"
    headers = [(b"authorization", b"Bearer good"), (b"content-type", b"application/json")]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": path, "headers": headers}
    failed = 'grpc_server_handled_total{grpc_code="CANCELLED",grpc_method="StartSegmentation"'
    before = metrics_text().decode().count(failed)
    await client.app(scope, receive, send)
    after = metrics_text().decode().count(failed)
    assert (sent, recorder.asked) == ([], [])
    assert (before, after) == (0, 1)


async def test_a_body_that_stops_arriving_is_given_up(api, monkeypatch):
    client, recorder = api
    monkeypatch.setattr(http_body, "BODY_TIMEOUT_S", 0.02)
    first = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent = []

    async def receive():
        return first.pop() if first else await asyncio.Event().wait()

    async def send(event):
        sent.append(event)

    path = "/api/v1/segmentationRuns"
    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": path,
        "headers": [(b"authorization", b"Bearer good")],
    }
    async with asyncio.timeout(5):
        await client.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert recorder.asked == []


async def test_tokens_are_never_cached_and_other_replies_only_privately(api):
    client, _ = api
    body = json.dumps({"email": "a@b.example", "password": "correct horse battery staple"}).encode()
    answer = await client.request("POST", "/api/v1/sessions", body)
    assert (answer.status, answer.header("cache-control")) == (200, "no-store")
    answer = await client.request("GET", "/api/v1/users/me", headers=TOKEN)
    assert answer.header("cache-control") == "private, no-cache"


async def test_metadata_headers_cannot_pass_for_the_transport_or_the_caller(api):
    client, recorder = api
    headers = {
        **TOKEN,
        "grpc-metadata-authorization": "Bearer other",
        "grpc-metadata-grpc-timeout": "1n",
        "grpc-metadata-x-cohortlens-tenant": "other",
        "grpc-metadata-x-forwarded-for": "203.0.113.9",
        "grpc-metadata-cookie": "a=b",
        "grpc-metadata-shop": "north",
        "cookie": "a=b",
        "x-cohortlens-tenant": "other",
    }
    answer = await client.request("GET", "/api/v1/users/me", headers=headers)
    assert answer.status == 200
    assert recorder.calls[0].metadata.decoded() == {
        "authorization": ["Bearer good"],
        "shop": ["north"],
        "x-forwarded-for": ["192.0.2.7"],
    }
    text = metrics_text().decode()
    for family in ("authorization", "grpc-", "x-cohortlens-", "x-forwarded-", "cookie"):
        assert f'gateway_dropped_headers_total{{header="{family}"}}' in text


async def test_what_the_door_knows_is_in_the_metrics_by_template_never_by_path(api):
    client, _ = api
    await client.request("GET", "/api/v1/customers/external:secret-name", headers=TOKEN)
    await client.request("GET", "/not/a/path-of-ours")
    text = metrics_text().decode()
    assert 'gateway_http_requests_total{code="200",method="GET",route="/api/v1/customers/{customer}"}' in text
    assert 'route="unmatched"' in text
    assert 'gateway_errors_total{reason="ROUTE_NOT_FOUND"}' in text
    assert "secret-name" not in text
    assert "path-of-ours" not in text


def test_an_error_text_may_hold_anything_a_caller_sent():
    error = errors.InvalidArgument("\ud800", violations=(errors.Violation("f\ud800", "d"),))
    assert json.loads(faults.render(error, "r", problem=False)[2])["message"] == "\\ud800"
