"""What browsers of other sites may do: nothing unless listed, and never with cookies."""

from __future__ import annotations

import pytest

from cohortlens.core.config import SettingsInvalid, read
from cohortlens.identity.oauth.models import InvalidGrant
from gateway.config import GatewayConfig
from gateway.http.cors import guarded
from tests.unit.gateway.http.public_api import TOKEN, public_api
from tests.unit.gateway.http.support import Client

LISTED, FOREIGN = "https://shop.example", "https://evil.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def behind(origins="", *, is_secure=False):
    api, recorder = public_api()
    return Client(
        guarded(api.app, origins, is_secure=is_secure, is_page="/page".__eq__, methods=api.app.methods)
    ), recorder


async def names(api, verb="GET", target="/api/v1/customers", **headers):
    answer = await api.request(
        verb, target, b"", {**TOKEN, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )
    return answer, {name.decode() for name, _ in answer.headers}


@pytest.mark.parametrize("verb", ["GET", "OPTIONS"])
async def test_without_a_setting_no_origin_is_told_anything(verb):
    api, _ = behind()
    _, told = await names(api, verb, origin=LISTED, **PREFLIGHT)
    assert not {name for name in told if name.startswith("access-control")}


async def test_a_listed_origin_may_read_and_a_foreign_one_may_not():
    api, _ = behind(f"{LISTED}, https://other.example:8443")
    answer, told = await names(api, origin=LISTED)
    assert answer.header("access-control-allow-origin") == LISTED
    assert (b"vary", b"Origin") in answer.headers
    assert "x-request-id" in answer.header("access-control-expose-headers")
    assert "access-control-allow-credentials" not in told
    for foreign in (
        FOREIGN,
        "null",
        "*",
        LISTED.upper(),
        f"{LISTED}:8443",
        "http://shop.example",
        f"{LISTED}.evil",
    ):
        answer, told = await names(api, origin=foreign)
        assert answer.status == 200
        assert not {name for name in told if name.startswith("access-control")}


async def test_a_preflight_is_answered_before_authentication_and_reaches_no_servicer():
    api, recorder = behind(LISTED)
    answer = await api.request("OPTIONS", "/api/v1/customers", b"", {"origin": LISTED, **PREFLIGHT})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-max-age") == "600"
    assert answer.header("access-control-allow-methods") == "GET, HEAD, OPTIONS"
    assert "authorization" in answer.header("access-control-allow-headers")
    refused = await api.request("OPTIONS", "/api/v1/customers", b"", {"origin": FOREIGN, **PREFLIGHT})
    assert refused.status == 403
    assert not [name for name, _ in refused.headers if name.startswith(b"access-control")]
    assert recorder.asked == []


async def test_all_origins_may_read_when_the_setting_says_so_but_none_without_a_name():
    api, _ = behind("*")
    for origin, told in ((FOREIGN, "*"), ("null", None)):
        answer, _ = await names(api, origin=origin)
        assert answer.header("access-control-allow-origin") == told
        preflight = await api.request("OPTIONS", "/api/v1/predict", b"", {"origin": origin, **PREFLIGHT})
        assert (preflight.status, preflight.header("access-control-allow-origin")) == (
            204 if told else 403,
            told,
        )
    assert read(GatewayConfig, {"COHORTLENS_CORS_ORIGINS": "*"}).faults() == []


async def test_a_preflight_names_the_methods_of_its_path_and_the_headers_of_every_protocol():
    api, _ = behind(LISTED)
    for path, methods in (
        ("/api/v1/predict", "OPTIONS, POST"),
        ("/cohortlens.v1.ModelsService/GetTrainingRun", "GET, POST"),
        ("/cohortlens.v1.ModelsService/StartTraining", "POST"),
        ("/elsewhere", "GET, HEAD, POST, PUT"),
    ):
        answer = await api.request("OPTIONS", path, b"", {"origin": LISTED, **PREFLIGHT})
        assert answer.header("access-control-allow-methods").startswith(methods)
    headers = answer.header("access-control-allow-headers").split(", ")
    assert {"connect-protocol-version", "x-grpc-web", "last-event-id", "if-match", "prefer"} <= set(headers)


ENDPOINTS = (
    ("POST", "/oauth2/token", b"grant_type=authorization_code&code=x"),
    ("POST", "/oauth2/revoke", b"token=x"),
    ("GET", "/.well-known/oauth-authorization-server", b""),
    ("GET", "/.well-known/jwks.json", b""),
)


@pytest.mark.parametrize(("verb", "target", "form"), ENDPOINTS)
async def test_a_public_client_in_a_browser_may_use_the_endpoints_of_oauth(verb, target, form):
    api, recorder = behind(LISTED)
    kind = {"content-type": "application/x-www-form-urlencoded"} if form else {}
    for origin, is_told in ((LISTED, True), (FOREIGN, False), ("null", False)):
        asks = {"origin": origin, "access-control-request-method": verb}
        preflight = await api.request(
            "OPTIONS", target, b"", {**asks, "access-control-request-headers": "content-type"}
        )
        answer = await api.request(verb, target, form, {"origin": origin, **kind})
        assert (preflight.status, answer.status) == (204 if is_told else 403, 200)
        for one in (preflight, answer):
            assert one.header("access-control-allow-origin") == (origin if is_told else None)
            assert one.header("access-control-allow-credentials") is None
            assert one.header("vary") == "Origin"
        assert ("content-type" in (preflight.header("access-control-allow-headers") or "")) is is_told
    # Its errors it must be able to read as well.
    recorder.script = {one.name: InvalidGrant("used") for one in recorder.table}
    refused = await api.request(verb, target, form, {"origin": LISTED, **kind})
    assert (refused.status, refused.header("access-control-allow-origin")) == (400, LISTED)


@pytest.mark.parametrize("target", ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json"])
async def test_what_a_cache_keeps_for_a_program_it_does_not_hand_to_a_browser(target):
    api, _ = behind(LISTED)
    first = await api.request("GET", target, b"", {})
    assert "public" in first.header("cache-control")
    assert (first.header("vary"), first.header("access-control-allow-origin")) == ("Origin", None)
    known = {"if-none-match": first.header("etag"), "origin": LISTED}
    again = await api.request("GET", target, b"", known)
    assert (again.status, again.header("access-control-allow-origin")) == (304, LISTED)


@pytest.mark.parametrize("verb", ["GET", "POST", "OPTIONS"])
async def test_no_script_of_another_site_reads_a_page_of_ours(verb):
    api, _ = behind(LISTED, is_secure=True)
    answer, told = await names(api, verb, "/page", origin=LISTED, **PREFLIGHT)
    assert not {name for name in told if name.startswith("access-control")}
    assert answer.header("strict-transport-security") is not None


async def test_hsts_is_sent_over_tls_only_and_on_every_answer():
    for is_secure in (True, False):
        api, _ = behind(is_secure=is_secure)
        for target in ("/api/v1/customers", "/livez", "/nowhere", "/v2", "/docs"):
            answer, _ = await names(api, target=target)
            assert (answer.header("strict-transport-security") is not None) == is_secure, target


async def test_every_answer_forbids_sniffing_framing_and_referrers():
    api, _ = behind()
    for target in ("/api/v1/customers", "/livez", "/nowhere", "/v2", "/docs", "/api/v1/openapi.json"):
        answer, _ = await names(api, target=target)
        assert answer.header("x-content-type-options") == "nosniff", target
        assert answer.header("referrer-policy") == "no-referrer", target
        assert "frame-ancestors 'none'" in answer.header("content-security-policy"), target
        assert answer.header("server") is None


@pytest.mark.parametrize("target", ["/api/v1/sessions", "/api/v1/sessions:refresh"])
async def test_answers_with_tokens_are_kept_by_no_cache(target):
    api, _ = behind()
    body = (
        b'{"refreshToken": "x"}'
        if "refresh" in target
        else b'{"email": "a@b.example", "password": "xxxxxxxxxxxx"}'
    )
    answer = await api.request("POST", target, body, {"content-type": "application/json"})
    assert answer.status == 200
    assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "shop.example", "https://shop.example/", "https://*.shop.example", "https://u@shop.example",
     "ftp://shop.example", "https://shop.example:99999", "https://SHOP.example"],
)  # fmt: skip
def test_an_origin_that_is_none_stops_the_start(origin):
    config = read(GatewayConfig, {"COHORTLENS_CORS_ORIGINS": f"{LISTED} {origin}"})
    (fault,) = config.faults()
    assert origin in fault


def test_origins_in_their_plain_form_are_taken():
    origins = "https://shop.example,http://127.0.0.1:3000 http://[::1]:3000"
    assert read(GatewayConfig, {"COHORTLENS_CORS_ORIGINS": origins}).faults() == []


def test_half_of_tls_or_files_that_are_no_certificate_stop_the_start(tmp_path):
    file = tmp_path / "x.pem"
    file.write_text("no certificate")
    for settings in ({"TLS_CERT": file}, {"TLS_KEY": file}, {"TLS_CERT": file, "TLS_KEY": file}):
        environ = {f"COHORTLENS_{name}": str(path) for name, path in settings.items()}
        try:
            faults = read(GatewayConfig, environ).faults()
        except SettingsInvalid as invalid:
            faults = invalid.faults
        assert len(faults) == 1
