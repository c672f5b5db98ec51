"""The HTTP door over the public API: what binds, what is refused, how answers look."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core import errors
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


@pytest.mark.parametrize(
    ("verb", "target", "body", "reason", "field"),
    [
        ("POST", PROMOTE, b'{"model":"prediction","version":1}', "FIELD_CONFLICT", "model"),
        ("POST", PROMOTE, b'{"model":"segmentation","version":1}', "FIELD_CONFLICT", "model"),
        ("POST", f"{PROMOTE}?version=2", b'{"version":1}', "FIELD_CONFLICT", "version"),
        ("POST", PROMOTE, b'{"version":1,"ver":2}', "UNKNOWN_FIELD", ""),
        ("POST", PROMOTE, b'{"version":1,"version":1}', "DUPLICATE_FIELD", ""),
        ("POST", "/api/v1/predict", b'{"horizonDays":1,"horizon_days":1}', "DUPLICATE_FIELD", "horizon_days"),
        ("POST", PROMOTE, b'{"version":1} x', "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"version":NaN}', "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"version":1,}', "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'\xef\xbb\xbf{"version":1}', "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"reason":"\xff"}', "MALFORMED_JSON", ""),
        ("POST", PROMOTE, '{"version":1}'.encode("utf-16"), "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"reason":"\\ud800"}', "MALFORMED_JSON", "reason"),
        ("POST", PROMOTE, b"[" * 10_000 + b"]" * 10_000, "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"a":' * 101 + b"1" + b"}" * 101, "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"version":' + b"9" * 5000 + b"}", "MALFORMED_JSON", ""),
        ("POST", PROMOTE, b'{"version":1e400}', "FIELD_INVALID", "version"),
        ("POST", PROMOTE, b'{"version":99999999999}', "FIELD_INVALID", "version"),
        ("POST", PROMOTE, b'{"version":true}', "FIELD_INVALID", "version"),
        ("POST", PROMOTE, b'{"version":1.5}', "FIELD_INVALID", "version"),
        ("POST", PROMOTE, b'{"version":" 1"}', "FIELD_INVALID", "version"),
        ("POST", PROMOTE, b"null", "FIELD_INVALID", None),
        (
            "POST",
            "/api/v1/predict",
            b'{"vectors":[{"values":[1,2,"x"]}]}',
            "FIELD_INVALID",
            "vectors[0].values[2]",
        ),
        (
            "POST",
            "/api/v1/predict",
            b'{"vectors":[{"values":[1e999]}]}',
            "FIELD_INVALID",
            "vectors[0].values[0]",
        ),
        ("POST", "/api/v1/predict", b'{"task":"SPEND"}', "FIELD_INVALID", "task"),
        ("POST", "/api/v1/predict", b'{"customers":[null]}', "FIELD_INVALID", "customers[0]"),
        ("GET", "/api/v1/customers?page_size=1&pageSize=1", b"", "DUPLICATE_FIELD", "pageSize"),
        ("GET", "/api/v1/customers?pagesize=1", b"", "UNKNOWN_PARAMETER", "pagesize"),
        ("GET", "/api/v1/customers?page_size=1.5e", b"", "FIELD_INVALID", "page_size"),
        ("GET", "/api/v1/customers?page_size=%zz", b"", "PATH_ENCODING_INVALID", ""),
        ("GET", "/api/v1/customers?page_size.x=1", b"", "FIELD_INVALID", "page_size.x"),
        ("GET", "/api/v1/customers/a?customer=a", b"", "FIELD_CONFLICT", "customer"),
        ("GET", "/api/v1/customers/%ff", b"", "PATH_ENCODING_INVALID", ""),
        ("GET", "/api/v1/customers/%4", b"", "PATH_ENCODING_INVALID", ""),
        ("GET", "/api/v1/customers?" + "&".join(["page_size=1"] * 257), b"", "TOO_MANY_PARAMETERS", ""),
        ("GET", "/api/v1/customers", b"{}", "BODY_NOT_ALLOWED", ""),
        ("DELETE", "/api/v1/customers/a", b'{"customer":"b"}', "BODY_NOT_ALLOWED", ""),
        ("GET", "/api/v1/models/prediction/versions/x", b"", "FIELD_INVALID", "version"),
    ],
)
async def test_a_faulty_request_is_refused_with_its_reason_and_never_reaches_the_servicer(
    api, verb, target, body, reason, field
):
    client, recorder = api
    answer = await client.request(verb, target, body, TOKEN)
    assert answer.status == 400
    assert answer.reason == reason
    assert recorder.asked == []
    violations = [
        one["field"] for detail in answer.json["details"] for one in detail.get("fieldViolations", ())
    ]
    if field is not None:
        assert violations == ([field] if field else [])


@pytest.mark.parametrize(
    ("verb", "target", "status", "reason"),
    [
        ("GET", "/nothing", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/v1/customers/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/v1//customers", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/v1/x/../customers", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/API/v1/customers", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/" * 16_000, 404, "ROUTE_NOT_FOUND"),
        ("GET", "/" * 64_000, 414, "URI_TOO_LONG"),
        ("GET", "/api/v1/customers?" + "x" * 17_000, 414, "URI_TOO_LONG"),
        ("DELETE", "/api/v1/predict", 405, "METHOD_NOT_ALLOWED"),
        ("BREW", "/api/v1/predict", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/livez", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_a_request_line_without_a_route_says_why(api, verb, target, status, reason):
    client, recorder = api
    answer = await client.request(verb, target, headers=TOKEN)
    assert (answer.status, answer.reason) == (status, reason)
    assert recorder.asked == []
    assert (answer.header("allow") is not None) == (status == 405)


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ([("h", "v")] * 101, 431, "HEADERS_TOO_LARGE"),
        ([("h", "v" * 33_000)], 431, "HEADERS_TOO_LARGE"),
        ({**TOKEN, "content-type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({**TOKEN, "content-type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({**TOKEN, "content-type": "application/json; charset=latin-1"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({**JSON, "content-encoding": "br"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({**JSON, "accept": "text/html"}, 406, "NOT_ACCEPTABLE"),
        ({**JSON, "accept": "application/json;q=0"}, 406, "NOT_ACCEPTABLE"),
        ({**JSON, "content-length": str(5 * 2**20)}, 413, "BODY_TOO_LARGE"),
        ({**JSON, "grpc-timeout": "1"}, 400, "DEADLINE_INVALID"),
        ({**JSON, "x-request-timeout": "0"}, 400, "DEADLINE_INVALID"),
        ({**JSON, "x-request-timeout": "-1"}, 400, "DEADLINE_INVALID"),
        ({"content-type": "application/json"}, 401, "TOKEN_INVALID"),
        ({"authorization": "Bearer bad", "content-type": "text/plain"}, 401, "TOKEN_INVALID"),
    ],
)
async def test_faulty_headers_have_their_own_status(api, headers, status, reason):
    client, recorder = api
    answer = await client.request("POST", "/api/v1/segmentationRuns", b"{}", headers)
    assert (answer.status, answer.reason) == (status, reason)
    assert recorder.asked == []
    assert (answer.header("www-authenticate") is not None) == (status == 401)


async def test_nobody_without_a_token_makes_us_read_a_body(api):
    client, _ = api
    answer = await client.request("POST", "/api/v1/predict", pieces=[b"{"] * 50)
    assert answer.status == 401
    assert client.asked["asked"] == 0


async def test_a_json_body_beyond_4_mib_is_refused_before_the_rest_is_read(api):
    client, _ = api
    pieces = [b" " * 2**20] * 64
    answer = await client.request("POST", "/api/v1/predict", headers=JSON, pieces=pieces)
    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")
    assert client.asked["asked"] == 5


async def test_a_gzip_body_is_inflated_and_a_bomb_stops_at_the_limit(api):
    client, recorder = api
    headers = {**JSON, "content-encoding": "gzip"}
    body = gzip.compress(b'{"customers":["a"],"task":2}')
    answer = await client.request("POST", "/api/v1/predict", body, headers)
    assert answer.status == 200
    assert recorder.asked[0][1].customers == ["a"]
    bomb = gzip.compress(b" " * 2**26, 1)
    assert len(bomb) < 2**20
    answer = await client.request("POST", "/api/v1/predict", bomb, headers)
    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")
    for broken in (body[:-4], b"no gzip at all", body[:-8] + bytes(8)):
        answer = await client.request("POST", "/api/v1/predict", broken, headers)
        assert (answer.status, answer.reason) == (400, "FIELD_INVALID")


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
    before = (await client.request("GET", "/metrics")).body.decode().count(failed)
    await client.app(scope, receive, send)
    after = (await client.request("GET", "/metrics")).body.decode().count(failed)
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
    assert recorder.calls[0].metadata == {
        "authorization": ["Bearer good"],
        "shop": ["north"],
        "x-forwarded-for": ["192.0.2.7"],
    }


async def test_what_the_door_knows_is_in_the_metrics_by_template_never_by_path(api):
    client, _ = api
    await client.request("GET", "/api/v1/customers/external:secret-name", headers=TOKEN)
    await client.request("GET", "/not/a/path-of-ours")
    text = (await client.request("GET", "/metrics")).body.decode()
    assert 'gateway_http_requests_total{code="200",method="GET",route="/api/v1/customers/{customer}"}' in text
    assert 'route="unmatched"' in text
    assert "secret-name" not in text
    assert "path-of-ours" not in text


def test_an_error_text_may_hold_anything_a_caller_sent():
    error = errors.InvalidArgument("\ud800", violations=(errors.Violation("f\ud800", "d"),))
    assert json.loads(faults.render(error, "r", problem=False)[2])["message"] == "\\ud800"
