"""The clients: each calls the cases it can call and tells what came of them in the one form."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.interop.cases import BOTH_WAYS, CLIENT_STREAM, SERVER_STREAM, UNARY, Case
from tests.e2e.interop.normal import (
    DESCRIPTORS,
    HTTP_BODY,
    Outcome,
    body_of,
    documents,
    error_of,
    messages_of,
    named_as_declared,
    reply_class,
    status_of,
)

CLIENTS = Path(__file__).parent / "clients"
TOOLS = Path(sys.executable).parent
BOUND_S = 90
ALL = frozenset({UNARY, SERVER_STREAM, CLIENT_STREAM, BOTH_WAYS})
NO_DUPLEX = ALL - {BOTH_WAYS}
WEB = frozenset({UNARY, SERVER_STREAM})


@dataclass(frozen=True)
class Site:
    """A running stack.

    Attributes:
        http: Address of the HTTP port.
        grpc: Host and port of the gRPC port.
        token: An access token.
    """

    http: str
    grpc: str
    token: str


Caller = Callable[[Site, list[Case]], dict[str, Outcome]]


def run(command: list[Any], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a client to its end."""
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=BOUND_S, check=False)


def grpcurl(site: Site, cases: list[Case]) -> dict[str, Outcome]:
    """grpcurl, of Go, which asks the reflection service for every type, those of the details too."""
    return {one.id: _grpcurl(site, one) for one in cases}


def _grpcurl(site: Site, case: Case) -> Outcome:
    named = [part for name, value in case.headers(site.token).items() for part in ("-H", f"{name}: {value}")]
    command = [TOOLS / "grpcurl", "-plaintext", "-format-error", "-max-msg-sz"]
    command += [str(16 * 2**20), *named, "-d", "@", site.grpc, f"{case.service}/{case.method}"]
    done = run(command, "".join(map(json.dumps, case.requests)))
    outcome = Outcome(messages_of(case, documents(done.stdout)))
    if done.returncode:
        assert "{" in done.stderr, done.stderr
        (status,) = documents(done.stderr[done.stderr.index("{") :])
        outcome.error = error_of(status["code"], status["message"], status.get("details", []))
    return outcome


def buf(protocol: str, *more: str) -> Caller:
    """``buf curl``, of Go, in one of its protocols."""

    def call(site: Site, case: Case) -> Outcome:
        named = [
            part for name, value in case.headers(site.token).items() for part in ("-H", f"{name}: {value}")
        ]
        base = f"http://{site.grpc}" if protocol == "grpc" else site.http
        command = [TOOLS / "buf", "curl", "--protocol", protocol, "--schema", DESCRIPTORS, *more, *named]
        if case.kind == BOTH_WAYS and "--http2-prior-knowledge" not in more:
            command.append("--http2-prior-knowledge")
        command += ["-d", "@-", f"{base}/{case.service}/{case.method}"]
        done = run(command, "".join(map(json.dumps, case.requests)))
        outcome = Outcome(messages_of(case, documents(done.stdout)))
        if done.returncode:
            assert "{" in done.stderr, done.stderr
            (said,) = documents(done.stderr[done.stderr.index("{") :])
            outcome.error = error_of(said["code"], said["message"], said.get("details", []))
        return outcome

    return lambda site, cases: {one.id: call(site, one) for one in cases}


def curl_connect(site: Site, cases: list[Case]) -> dict[str, Outcome]:
    """Plain curl, which needs nothing more to speak Connect."""

    def call(case: Case) -> Outcome:
        path = f"/{case.service}/{case.method}"
        headers = case.headers(site.token) | {"content-type": "application/json"}
        status, _, body = _curl(site, "POST", path, json.dumps(case.requests[0]), headers)
        said = json.loads(body)
        if status == 200:
            return Outcome(messages_of(case, [said]))
        return Outcome(error=error_of(said["code"], said["message"], said["details"]))

    return {one.id: call(one) for one in cases}


def curl(site: Site, cases: list[Case]) -> dict[str, Outcome]:
    """Plain curl on HTTP/JSON."""

    def call(case: Case) -> Outcome:
        assert case.http is not None
        headers = case.headers(site.token) | _type(case)
        return _plain(case, *_curl(site, case.http.verb, case.http.path, case.http.body, headers))

    return {one.id: call(one) for one in cases}


def _curl(
    site: Site, verb: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    sent = [] if body is None else ["--data-binary", "@-"]
    command = ["curl", "-s", "-X", verb, *named, *sent, "-w", "\n%{http_code} %{content_type}"]
    done = subprocess.run(
        [*command, site.http + path],
        input=(body or "").encode(),
        capture_output=True,
        timeout=BOUND_S,
        check=True,
    )
    answer, _, told = done.stdout.rpartition(b"\n")
    status, _, kind = told.decode().partition(" ")
    return int(status), kind, answer


def _type(case: Case) -> dict[str, str]:
    assert case.http is not None
    return {"content-type": case.http.content_type} if case.http.content_type else {}


def _plain(case: Case, status: int, kind: str, body: bytes) -> Outcome:
    """The outcome of an answer of HTTP/JSON."""
    if status == 200 and reply_class(case).DESCRIPTOR.full_name == HTTP_BODY:
        return Outcome([body_of(kind, body)])
    said = json.loads(body)
    if status == 200:
        return Outcome(messages_of(case, [said]))
    return Outcome(error=error_of(said["code"], said["message"], said["details"]))


def _node(script: str, site: Site, cases: list[Case], **given: str) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules").exists():
        pytest.skip("NOT CHECKED: clients of npm; next: apt-get install -y nodejs npm && make setup-dev")
    said = {"descriptors": str(DESCRIPTORS), "cases": told_to_scripts(site, cases), **given}
    done = run([node, CLIENTS / script], json.dumps(said))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def told_to_scripts(site: Site, cases: list[Case]) -> list[dict[str, Any]]:
    """The cases as a script takes them."""
    found = []
    for one in cases:
        headers = one.headers(site.token)
        http = None if one.http is None else asdict(one.http)
        called = {"id": one.id, "service": one.service, "method": one.method, "requests": one.requests}
        found.append({**called, "headers": headers, "http": http})
    return found


def outcomes(cases: list[Case], told: dict[str, Any]) -> dict[str, Outcome]:
    """What a script of Connect or gRPC told, in the one form."""
    found = {}
    for one in cases:
        said = told[one.id]
        outcome = found[one.id] = Outcome(messages_of(one, said["messages"]))
        error = said.get("error")
        if error is None:
            continue
        if "status" in error:
            outcome.error = status_of(error["status"])
            assert (outcome.error["code"], outcome.error["message"]) == (error["code"], error["message"])
        else:
            outcome.error = error_of(error["code"], error["message"], error["details"])
    return found


def grpc_js(site: Site, cases: list[Case]) -> dict[str, Outcome]:
    """@grpc/grpc-js with @grpc/proto-loader."""
    declared = [replace(one, requests=named_as_declared(one)) for one in cases]
    return outcomes(cases, _node("grpc_js.mjs", site, declared, target=site.grpc))


def connect_node(protocol: str) -> Caller:
    """@connectrpc/connect-node in one of its protocols."""

    def call(site: Site, cases: list[Case]) -> dict[str, Outcome]:
        given = {"protocol": protocol, "http": site.http, "grpc": f"http://{site.grpc}"}
        return outcomes(cases, _node("connect_node.mjs", site, cases, **given))

    return call


def fetched(cases: list[Case], told: dict[str, Any]) -> dict[str, Outcome]:
    """What a page that fetched told, in the one form."""
    return {
        one.id: _plain(one, said["status"], said["type"], base64.b64decode(said["body"]))
        for one in cases
        for said in [told[one.id]]
    }


CALLERS: dict[str, tuple[Caller, frozenset[str]]] = {
    "grpcurl": (grpcurl, ALL),
    "buf curl of gRPC": (buf("grpc", "--http2-prior-knowledge"), ALL),
    "buf curl of gRPC-Web": (buf("grpcweb"), NO_DUPLEX),
    "buf curl of Connect": (buf("connect"), ALL),
    "grpc-js": (grpc_js, ALL),
    "connect-node of gRPC": (connect_node("grpc"), ALL),
    "connect-node of gRPC-Web": (connect_node("grpc-web"), NO_DUPLEX),
    "connect-node of Connect in JSON": (connect_node("connect-json"), NO_DUPLEX),
    "connect-node of Connect in Protobuf": (connect_node("connect-proto"), ALL),
    "curl of Connect": (curl_connect, frozenset({UNARY})),
    "curl": (curl, NO_DUPLEX),
}
"""Every client but the pages, with the kinds of calls that its protocol has."""
PAGES: dict[str, frozenset[str]] = {
    "connect-json": WEB,
    "connect-proto": WEB,
    "grpc-web": WEB,
    "fetch": NO_DUPLEX,
}
"""What the page in Chromium calls with, and the kinds of calls it can make so."""
