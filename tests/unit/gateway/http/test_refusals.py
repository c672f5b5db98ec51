"""What the HTTP door refuses: hostile bodies, paths, parameters and headers, each with its status and reason."""

from __future__ import annotations

import gzip

import pytest

from tests.unit.gateway.http.public_api import TOKEN, public_api

JSON = {**TOKEN, "content-type": "application/json"}


@pytest.fixture
def api():
    return public_api()


PROMOTE = "/api/v1/models/prediction:promote"


@pytest.mark.parametrize(
    ("verb", "target", "body", "reason", "field"),
    [
        ("POST", PROMOTE, b'{"model":"prediction","version":1}', "FIELD_CONFLICT", "model"),
        ("POST", PROMOTE, b'{"model":"segmentation","version":1}', "FIELD_CONFLICT", "model"),
        ("POST", f"{PROMOTE}?version=2", b'{"version":1}', "FIELD_CONFLICT", "version"),
        ("POST", PROMOTE, b'{"version":1,"ver":2}', "UNKNOWN_FIELD", "ver"),
        ("POST", "/api/v1/predict", b'{"vectors":[{"value":[1]}]}', "UNKNOWN_FIELD", "vectors[0].value"),
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
    ("verb", "target", "body", "meant"),
    [
        ("POST", "/api/v1/predict", b'{"customer":["external:4"]}', "customers"),
        ("GET", "/api/v1/customers?pagesize=1", b"", "pageSize"),
    ],
)
async def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(api, verb, target, body, meant):
    client, _ = api
    answer = await client.request(verb, target, body, headers=JSON)
    assert answer.status == 400
    assert f"did you mean '{meant}'?" in answer.json["message"]


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
