"""Who may call is decided on the method that a request resolved to, never on the text of its path."""

from __future__ import annotations

import pytest

from gateway.grpc.asgi import GrpcDoor
from tests.unit.gateway.http.public_api import build, public_api

CLOSED = [("GET", "/api/v1/customers"), ("GET", "/api/v1/users/me"), ("DELETE", "/api/v1/sessions/current")]
OVERRIDES = ["x-http-method-override", "x-http-method", "x-method-override", "_method"]
REWRITES = ["x-original-url", "x-rewrite-url", "x-forwarded-path", "x-forwarded-prefix", "x-original-path"]


def tricks(path):
    first, rest = path[1:].split("/", 1)
    return [
        path.upper(),
        path.replace("/api", "//api"),
        path.replace("v1/", "v1//"),
        f"/{first}%2F{rest}",
        f"/{first}%2f{rest}",
        f"/{first}\\{rest}",
        f"{path}/",
        f"{path}%00",
        f"{path};x=1",
        f"{path}%3Fx",
        f"{path}/.",
        f"/api/v1/sessions/..{path.removeprefix('/api/v1')}",
        f"/api/v1/health/..{path.removeprefix('/api/v1')}",
        f"/docs/..{path}",
        f"/docs/%2e%2e{path}",
        f"/.{path}",
        f"{path}:refresh",
        f"/livez{path}",
        f"/v2{path}",
        f"{path}.json",
        path.replace("a", "%61", 1),
        path.replace("s", "%73"),
        f"http://evil.example{path}",
    ]


@pytest.mark.parametrize(("verb", "path"), CLOSED)
async def test_no_spelling_of_a_path_gets_past_the_token(verb, path):
    api, recorder = public_api()
    reached = []
    for target in [path, *tricks(path)]:
        answer = await api.request(verb, target)
        reached += [target] if recorder.asked or answer.status < 400 else []
        recorder.asked.clear()
    assert reached == []


@pytest.mark.parametrize("name", OVERRIDES)
async def test_no_header_and_no_parameter_changes_the_verb(name):
    api, recorder = public_api()
    for target in ("/api/v1/sessions/current", f"/api/v1/sessions/current?{name}=DELETE"):
        answer = await api.request("GET", target, b"", {name: "DELETE", "authorization": "Bearer good"})
        assert answer.status in (400, 404, 405)
    assert recorder.asked == []


@pytest.mark.parametrize("name", REWRITES)
async def test_no_header_changes_the_path(name):
    api, recorder = public_api()
    answer = await api.request("GET", "/livez", b"", {name: "/api/v1/customers"})
    assert answer.body == b'{"status":"ok"}'
    answer = await api.request("GET", "/api/v1/customers", b"", {name: "/livez"})
    assert answer.status == 401
    assert recorder.asked == []


@pytest.mark.parametrize(
    "name", ["x-tenant-id", "x-internal-tenant", "x-cohortlens-role", "grpc-metadata-x-internal-role"]
)
async def test_no_header_makes_a_caller(name):
    api, recorder = public_api()
    assert (await api.request("GET", "/api/v1/customers", b"", {name: "owner"})).status == 401
    assert recorder.asked == []


async def test_no_spelling_of_a_grpc_path_gets_past_the_token():
    api, recorder = build()
    chain = api.app._ours._chain
    path = "/cohortlens.v1.CustomersService/ListCustomers"
    spellings = [
        path, path.lower(), path.upper(), f"/{path}", f"{path}/", path.replace("/List", "//List"), f"{path}%00",
        path.replace("/List", "%2FList"), f"/x{path}", path[1:], "/cohortlens.v1.AuthService/../CustomersService/ListCustomers",
        "/cohortlens.v1.CustomersService/listCustomers", "/CustomersService/ListCustomers",
    ]  # fmt: skip
    for spelling in spellings:
        sent = []

        async def receive():
            return {"type": "http.request", "body": bytes(5), "more_body": False}

        async def send(event, sent=sent):
            sent.append(event)

        scope = {
            "type": "http", "http_version": "2", "method": "POST", "path": spelling,
            "headers": [(b"content-type", b"application/grpc")], "client": ("192.0.2.7", 1),
        }  # fmt: skip
        await GrpcDoor(chain)(scope, receive, send)
        pairs = dict(pair for event in sent for pair in event.get("headers", []))
        assert pairs[b"grpc-status"] in (b"12", b"16"), spelling
    assert recorder.asked == []
