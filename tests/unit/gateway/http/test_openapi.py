"""The API reference: complete, true to the routes, with examples that the codec accepts, and offline."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from functools import cache

import pytest
from google.api.httpbody_pb2 import HttpBody

import cohortlens
from cohortlens.core.errors import CohortLensError
from gateway.__main__ import main
from gateway.composition import public_table
from gateway.http.codec import Codecs
from gateway.http.comments import Comments
from gateway.http.oip import build_oip_routes
from gateway.http.openapi import build_document
from gateway.http.operations import path_of
from gateway.http.reasons import REASONS
from gateway.http.routes import build_routes
from tests.unit.gateway.http.public_api import TOKEN, public_api

OTHER_DOORS = {"/graphql", "/billing/stripe/webhook", "/healthz"}
"""What other doors and other services answer; tests/e2e/openapi calls them on a running stack."""
VERBS = {"get", "put", "post", "delete", "patch"}


async def _document():
    client, recorder = public_api()
    answer = await client.request("GET", "/api/v1/openapi.json")
    assert answer.header("content-type") == "application/json"
    return answer.json, client, recorder


@cache
def _whole():
    """The document of every service, as it is committed."""
    table = public_table(with_reflection=False)
    routes, inference = build_routes(table).routes, build_oip_routes(table).routes
    return build_document(routes, "0", Comments.load(), inference)


def _operations(document):
    return [
        (path, verb, operation)
        for path, item in document["paths"].items()
        for verb, operation in item.items()
        if verb in VERBS
    ]


async def test_every_rpc_is_documented_once_with_text_policy_and_errors():
    document, _, recorder = await _document()
    found = {operation["operationId"]: operation for _, _, operation in _operations(document)}
    assert len(found) == len(_operations(document))
    for method in recorder.table:
        operation = found.pop(f"{method.service.rpartition('.')[2]}_{method.name}")
        assert operation["summary"]
        assert operation["description"]
        assert (["bearer"] in [list(one) for one in operation["security"]]) != method.policy.public
        assert operation.get("x-cohortlens-scopes", []) == list(method.policy.scopes)
        listed = json.dumps(operation["responses"])
        assert all(reason in listed for reason in method.policy.errors)
        if method.kind == "bidi_stream":
            assert "requestBody" not in operation
            assert "200" not in operation["responses"]
            assert "501" in operation["responses"]
            continue
        reply = next(iter(operation["responses"]["200"]["content"].values()))
        assert "example" in reply or reply["schema"]["format"] == "binary"
        for parameter in operation["parameters"]:
            named = parameter.get("$ref", "").rpartition("/")[2]
            assert (document["components"]["parameters"][named] if named else parameter)["description"]
        body = operation.get("requestBody", {"content": {}})["content"]
        assert all("example" in media for name, media in body.items() if name == "application/json")
    assert {name.partition("_")[0] for name in found} <= {
        "AuthService",
        "Billing",
        "ConsentService",
        "GraphQL",
        "Health",
        "OpenInferenceProtocol",
        "Reference",
    }
    # What is left of the services are second rules of methods.
    assert all(name[-2:] == "_2" for name in found if name.partition("_")[0].endswith("Service"))


async def test_every_documented_path_answers_with_a_route_of_its_own():
    document, client, _ = await _document()
    for path, verb, operation in _operations(document):
        if path in OTHER_DOORS:
            continue
        target = re.sub(r"\{[^}]*\}", "x", path)
        answer = await client.request(verb.upper(), target, headers=TOKEN)
        assert answer.status not in {404, 405}, (path, verb, answer.body)
        # Only what the document says cannot be had over HTTP is refused as such.
        refused = answer.status == 501 and "200" not in operation["responses"]
        assert refused or answer.status < 500, (path, verb, answer.body)
        if {"bearer": []} in operation["security"]:
            assert (await client.request(verb.upper(), target)).status == 401


async def test_every_route_of_the_process_is_documented_with_the_parameters_of_its_path():
    document, _, recorder = await _document()
    for route in [*build_routes(recorder.table).routes, *build_oip_routes(recorder.table).routes]:
        operation = document["paths"][path_of(route)][route.rule.verb.lower()]
        held = {one["name"] for one in operation["parameters"] if one.get("in") == "path"}
        assert held == set(re.findall(r"\{([^}]*)\}", path_of(route)))
        assert "400" in operation["responses"] or "4XX" in operation["responses"]


def test_the_printed_routes_are_the_documented_ones_and_no_others(capsys):
    assert main(["routes", "--json"]) == 0
    table = public_table(with_reflection=False)
    routes = [*build_routes(table).routes, *build_oip_routes(table).routes]
    paths = {route.rule.template.text: path_of(route) for route in routes}
    printed = [
        (paths.get(row["template"], row["template"]), row["verb"].lower())
        for row in json.loads(capsys.readouterr().out)
    ]
    assert ("/graphql", "post") in printed
    assert sorted(printed) == sorted((path, verb) for path, verb, _ in _operations(_whole()))


def test_headers_are_parameters_where_a_method_takes_them():
    document = _whole()

    def named(path, verb):
        parameters = document["paths"][path][verb]["parameters"]
        return {one["$ref"].rpartition("/")[2] for one in parameters if "$ref" in one}

    assert named("/api/v1/offers/{offer}", "patch") == {"Prefer", "IdempotencyKey", "IfMatch"}
    assert named("/api/v1/offers/{offer}", "get") == {"Prefer", "IfNoneMatch"}
    assert named("/api/v1/consents:watch", "get") == {"Prefer", "LastEventId"}
    assert named("/oauth2/token", "post") == set()
    patched = document["paths"]["/api/v1/offers/{offer}"]["patch"]["responses"]
    assert "ETAG_MISMATCH" in patched["412"]["description"]
    assert "304" in document["paths"]["/api/v1/offers/{offer}"]["get"]["responses"]


def test_a_stream_is_documented_in_each_of_its_framings():
    document = _whole()
    content = document["paths"]["/api/v1/consents:watch"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"application/x-ndjson", "application/json", "text/event-stream"}
    assert set(content["application/x-ndjson"]["schema"]["properties"]) == {"result", "error"}
    assert content["application/json"]["schema"]["items"] == {
        "$ref": "#/components/schemas/WatchConsentsResponse"
    }


def test_forms_and_failures_of_oauth_are_those_of_its_rfcs():
    document = _whole()
    token = document["paths"]["/oauth2/token"]["post"]
    assert list(token["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    failed = token["responses"]["400"]["content"]
    assert failed == {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    assert token["security"] == [{}, {"client": []}]


def test_a_text_that_need_not_be_sent_may_be_empty_and_a_choice_excludes_the_others():
    document = _whole()
    schemas = document["components"]["schemas"]
    key = schemas["PredictRequest"]["properties"]["requestId"]
    assert re.fullmatch(key["pattern"], "")
    assert re.fullmatch(key["pattern"], "3f0c9a4e-7a51-4a53-9d1e-2a5b8c9d0e1f")
    assert not re.fullmatch(key["pattern"], "3F0C9A4E-7A51-4A53-9D1E-2A5B8C9D0E1F")
    assert schemas["PredictRequest"]["properties"]["task"]["not"] == {"const": "PREDICTION_TASK_UNSPECIFIED"}
    goal = schemas["CounterfactualGoal"]
    assert {"required": ["churnBelowRatio", "segment"]} in goal["not"]["anyOf"]


async def test_every_reference_inside_the_document_leads_somewhere():
    document, _, _ = await _document()
    for reference in set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))):
        assert document["components"]["schemas"][reference]
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, property_schema in schema.get("properties", {}).items():
            described = property_schema.get("description") or "$ref" in property_schema
            assert described, (name, field)


def test_every_example_is_a_message_of_its_type():
    _, recorder = public_api()
    comments, codecs = Comments.load(), Codecs()
    for method in recorder.table:
        for cls in {method.input_class, method.output_class} - {HttpBody}:
            example = comments.of(cls.DESCRIPTOR.full_name).example
            assert example is not None, cls.DESCRIPTOR.full_name
            codecs.of(cls.DESCRIPTOR).load(cls(), example)


async def test_rules_of_the_protos_are_constraints_of_the_schemas():
    document, _, _ = await _document()
    schemas = document["components"]["schemas"]
    predict = schemas["PredictRequest"]
    assert predict["required"] == ["task"]
    assert predict["properties"]["horizonDays"] | {"description": ""} == {
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": 3650,
        "description": "",
    }
    assert predict["properties"]["customers"]["maxItems"] == 1000
    assert schemas["FeatureVector"]["properties"]["values"]["items"]["oneOf"][1]["enum"] == ["NaN"]
    assert schemas["ImportRows"]["properties"]["read"]["type"] == "string"
    assert schemas["CreateSessionRequest"]["properties"]["password"]["format"] == "password"
    promote = document["paths"]["/api/v1/models/{model}:promote"]["post"]
    body = promote["requestBody"]["content"]["application/json"]
    assert set(body["schema"]["properties"]) == {"version", "reason", "requestId", "force"}
    assert "model" not in body["example"]
    upload = document["paths"]["/api/v1/transactions:import"]["post"]
    assert {"text/csv", "multipart/form-data"} <= set(upload["requestBody"]["content"])
    columns = next(one for one in upload["parameters"] if one["name"] == "columns")
    assert (columns["style"], columns["explode"]) == ("deepObject", True)


def _error_classes():
    for package in ("identity", "customers", "registry", "analytics", "contracts", "core"):
        module = importlib.import_module(f"cohortlens.{package}")
        for info in pkgutil.iter_modules(module.__path__):
            if info.name in {"models", "errors"}:
                importlib.import_module(f"cohortlens.{package}.{info.name}")
    found, pending = [], [CohortLensError]
    while pending:
        pending += (subclasses := pending.pop().__subclasses__())
        found += [cls for cls in subclasses if cls.__module__.startswith(cohortlens.__name__)]
    return found


def test_the_documented_code_of_a_reason_is_the_one_it_is_raised_with():
    checked = set()
    for cls in _error_classes():
        if (
            cls.reason in REASONS
            and "reason" in vars(cls)
            and not cls.__module__.endswith("contracts.artifacts")
        ):
            assert cls.code is REASONS[cls.reason], cls
            checked.add(cls.reason)
    assert {"NO_ACTIVE_MODEL", "INVALID_CREDENTIALS", "FILE_EMPTY", "HORIZON_UNSUPPORTED"} <= checked


async def test_the_reference_page_loads_nothing_from_outside_and_runs_nothing_inline():
    client, _ = public_api()
    page = await client.request("GET", "/docs")
    assert page.status == 200
    text = page.body.decode()
    policy = page.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=", text)
    linked = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert linked
    for target in linked:
        assert target.startswith("/docs/")
        asset = await client.request("GET", target)
        assert (asset.status, bool(asset.body)) == (200, True)
    start = (await client.request("GET", "/docs/start.js")).body.decode()
    assert 'url: "/api/v1/openapi.json"' in start
    assert "validatorUrl: null" in start


@pytest.mark.parametrize("path", ["/docs/../../etc/passwd", "/docs/%2e%2e/__init__.py", "/docs/index.html"])
async def test_no_other_file_can_be_fetched_below_the_reference(path):
    client, _ = public_api()
    assert (await client.request("GET", path)).status == 404


def test_a_comment_is_prose_and_its_example_apart():
    comments = Comments.load()
    comment = comments.of("cohortlens.v1.ListSegmentMembersRequest")
    assert (comment.text, comment.example) == ("Members of a segment.", {"segment": "s1", "pageSize": 20})
    assert comments.of("cohortlens.v1.Import.state").text == "State of the work."
    assert comments.of("cohortlens.v1.Nothing").text == ""
