"""Canaries in everything a caller can send: no log file of the stack and no page of metrics holds one."""

from __future__ import annotations

import http.client
import json
import urllib.request
from urllib.parse import urlsplit

import grpc
import pytest

from cohortlens.v1 import auth_pb2, auth_pb2_grpc

CANARY = "canary7x"
EMAIL = f"{CANARY}.owner@corner.example"
PASSWORD = f"{CANARY} wore a hat 42"
KEY = "cl_live_0a1b2c3d4e5f_" + (CANARY * 6)[:43] + "abcdef"
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnk3eCJ9." + CANARY * 4


def send(stack, verb, path, body=None, headers=None):
    connection = http.client.HTTPConnection(urlsplit(stack.http).netloc, timeout=20)
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(verb, path, data, {"content-type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


@pytest.fixture(scope="module")
def planted(stack):
    """Send canaries through registration, log-in, failing calls and headers; answers of failures."""
    account = {"displayName": "Corner", "email": EMAIL, "password": PASSWORD, "acceptTermsVersion": "2026-11"}
    failures = [send(stack, "POST", "/api/v1/tenants:register", account) for _ in range(2)]
    token = stack.mailed_token(EMAIL)
    failures.append(send(stack, "POST", "/api/v1/auth:verifyEmail", {"token": token + "x"}))
    send(stack, "POST", "/api/v1/auth:verifyEmail", {"token": token})
    wrong = {"email": EMAIL, "password": f"{PASSWORD} not"}
    failures += [send(stack, "POST", "/api/v1/sessions", wrong) for _ in range(2)]
    _, text = send(stack, "POST", "/api/v1/sessions", {"email": EMAIL, "password": PASSWORD})
    tokens = json.loads(text)["tokens"]
    for refresh in (tokens["refreshToken"], tokens["refreshToken"], "AQ" + CANARY * 6 + "AAAAA"):
        failures.append(send(stack, "POST", "/api/v1/sessions:refresh", {"refreshToken": refresh}))
    for authorization in (
        f"Bearer {JWT}",
        f"Bearer {KEY}",
        f"Basic {CANARY}{CANARY}",
        f"Bearer {CANARY}{CANARY}",
    ):
        failures.append(send(stack, "GET", "/api/v1/users/me", headers={"authorization": authorization}))
    odd = {"user-agent": f"tool {KEY} {EMAIL}", "x-request-id": JWT[:64], "cookie": f"s={CANARY}"}
    failures.append(send(stack, "GET", f"/api/v1/users/me?password={CANARY}", headers=odd))
    failures.append(
        send(stack, "POST", "/api/v1/sessions", b'{"email": "%s", "password": [1]}' % EMAIL.encode())
    )
    failures.append(send(stack, "POST", "/api/v1/sessions", {"email": EMAIL, "password": f"{PASSWORD}\0"}))
    with grpc.insecure_channel(stack.grpc) as channel:
        request = auth_pb2.CreateSessionRequest(email=EMAIL, password=f"{PASSWORD} no")
        metadata = [("authorization", f"Bearer {KEY}"), ("x-note", PASSWORD)]
        with pytest.raises(grpc.RpcError) as caught:
            auth_pb2_grpc.AuthServiceStub(channel).CreateSession(request, metadata=metadata, timeout=20)
        failures.append((400, caught.value.details()))
    return {"failures": failures, "secrets": [token, tokens["accessToken"], tokens["refreshToken"]]}


def secrets_in(text, planted):
    found = [one for one in (CANARY, EMAIL, PASSWORD, *planted["secrets"]) if one in text]
    # The public part of a token is no secret; its signature is.
    return found + [one for one in planted["secrets"] if one.rsplit(".", 1)[-1] in text]


def test_no_log_file_holds_a_secret(stack, planted):
    logs = [path for path in (stack.data_dir / "logs").rglob("*") if path.is_file()]
    logs += [path for path in stack.data_dir.rglob("*.log") if path.is_file()]
    assert {"gateway.log", "jobs.log"} <= {path.name for path in logs}
    assert "CreateSession" in (stack.data_dir / "logs" / "gateway.log").read_text()
    leaks = {path.name: secrets_in(path.read_text(errors="replace"), planted) for path in logs}
    assert {name: found for name, found in leaks.items() if found} == {}


def test_no_secret_of_the_installation_is_in_a_log_file(stack):
    stored = json.loads((stack.data_dir / "secrets.json").read_text())
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    secrets = [value for value in stored.values() if value] + [account["password"]]
    for path in (stack.data_dir / "logs").rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert [number for number, one in enumerate(secrets) if one in text] == [], path.name


def test_no_page_of_metrics_holds_a_secret(stack, planted):
    for port in (stack.ops, stack.ops + 1, stack.ops + 2):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert secrets_in(answer.read().decode(), planted) == []


def test_no_refusal_repeats_a_secret(planted):
    refused = [text for status, text in planted["failures"] if status >= 400]
    assert len(refused) >= 9
    assert [text for text in refused if secrets_in(text, planted)] == []


def test_metrics_are_on_the_ops_ports_only_and_probes_on_both(stack):
    assert send(stack, "GET", "/metrics")[0] == 404
    assert send(stack, "GET", "/livez")[0] == 200
    for port in (stack.ops, stack.ops + 1, stack.ops + 2):
        for path in ("/livez", "/readyz"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                assert answer.status == 200
