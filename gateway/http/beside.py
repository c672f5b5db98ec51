"""Operations of the OpenAPI document that no HTTP rule stands for: health, GraphQL, notifications, OIP.

Pages for people are no part of it: they answer browsers, and change as they like.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.http.docs import DOCUMENT_PATH
from gateway.http.failures import failed_response, headers_named
from gateway.http.headers import JSON
from gateway.http.operations import path_of
from gateway.http.routes import Route
from gateway.http.streaming import EVENTS
from gateway.http.webhooks import PATH as WEBHOOK_PATH

OPERATIONS: Final = "Operations"
GRAPHQL: Final = "GraphQL"
INFERENCE: Final = "OpenInferenceProtocol"
TAGS: Final = [
    {"name": OPERATIONS, "description": "Health, this reference, and what the payment provider calls."},
    {"name": GRAPHQL, "description": "The methods of this API as one GraphQL schema."},
    {
        "name": INFERENCE,
        "description": "The Open Inference Protocol, version 2, for clients that speak it; its bodies are "
        "those of the protocol.",
        "externalDocs": {"url": "https://github.com/kserve/open-inference-protocol"},
    },
]
"""Tags of these operations."""

_OPEN: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {}]
_OBJECT: Final = {"type": "object", "additionalProperties": True}
_MAYBE: Final = {"type": ["object", "null"], "additionalProperties": True}
_FAULTS: Final = {
    "type": "array",
    "description": "What went wrong; extensions hold code, reason, httpStatus, requestId and details.",
    "items": {
        "type": "object",
        "required": ["message"],
        "properties": {"message": {"type": "string"}},
        "additionalProperties": True,
    },
}
_ANSWER: Final = {
    "type": "object",
    "description": "A result of the GraphQL specification.",
    "properties": {
        "data": {
            "type": ["object", "null"],
            "description": "What was asked for; null where a field that cannot be null failed.",
            "additionalProperties": True,
        },
        "errors": _FAULTS,
        "extensions": _OBJECT | {"description": "What the service adds."},
    },
}
_OIP_FAILURE: Final = {
    "type": "object",
    "description": "A failure, as the protocol writes it.",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "Reason and sentence."}},
}
SCHEMAS: Final = {"GraphQLAnswer": _ANSWER, "InferenceFailure": _OIP_FAILURE}
"""Schemas that only these operations use."""


def beside(inference: list[Route]) -> dict[str, dict[str, Any]]:
    """These operations by path and verb.

    Args:
        inference: The routes of the Open Inference Protocol.
    """
    paths: dict[str, dict[str, Any]] = {
        "/livez": {"get": _page("Health_Live", "Whether the process turns")},
        "/readyz": {"get": _page("Health_Ready", "Whether the process takes calls", unready=True)},
        "/healthz": {"get": _healthz()},
        "/api/v1/health": {"get": _page("Health_Report", "What every dependency says", unready=True)},
        DOCUMENT_PATH: {"get": _page("Reference_Document", "This document")},
        "/graphql": {"post": _graphql()},
        WEBHOOK_PATH: {"post": _webhook()},
    }
    for route in inference:
        item = paths.setdefault(path_of(route), {})
        item[route.rule.verb.lower()] = _inference(route)
    return paths


def _page(name: str, summary: str, *, unready: bool = False) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": _answer("The answer.", _OBJECT)}
    if unready:
        answers["503"] = _answer("Something required is missing.", _OBJECT)
    answers["4XX"] = failed_response("The request is no HTTP request for this path.", 0)
    return {
        "operationId": name,
        "tags": [OPERATIONS],
        "summary": summary,
        "description": f"{summary}.",
        "security": [],
        "responses": answers,
    }


def _healthz() -> dict[str, Any]:
    operation = _page("Health_Check", "What gRPC health says of a service", unready=True)
    operation["parameters"] = [
        {
            "name": "service",
            "in": "query",
            "description": "Full name of the service; empty for the process.",
            "schema": {"type": "string"},
        }
    ]
    return operation


def _graphql() -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["query"],
        "properties": {
            "query": {"type": "string", "minLength": 1, "description": "The document, at most 64 KiB."},
            "variables": {
                "type": ["object", "null"],
                "additionalProperties": True,
                "description": "By name.",
            },
            "operationName": {"type": ["string", "null"], "description": "Which operation of the document."},
            "extensions": {
                "type": ["object", "null"],
                "additionalProperties": True,
                "description": "Ignored.",
            },
        },
    }
    schema = {"$ref": "#/components/schemas/GraphQLAnswer"}
    answers = {
        "200": {
            "description": "The result, with errors of single fields. A subscription answers with events.",
            "content": {JSON: {"schema": schema}, EVENTS: {"schema": {"type": "string"}}},
        }
    }
    for status, text in (
        ("400", "The document cannot be run: syntax, unknown fields, limits."),
        ("401", "No field may be had without a token."),
        ("default", "Any other failure."),
    ):
        answers[status] = _answer(text, schema)
    return {
        "operationId": "GraphQL_Execute",
        "tags": [GRAPHQL],
        "summary": "Runs a GraphQL document",
        "description": "Runs a GraphQL document: each root field is one call of the method of its name, with "
        "its policy and limits.",
        "security": _OPEN,
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": body, "example": {"query": "{ plans { plans { plan } } }"}}},
        },
        "responses": answers,
    }


def _webhook() -> dict[str, Any]:
    signature = {
        "name": "Stripe-Signature",
        "in": "header",
        "required": True,
        "description": "Time and signature of the notification, as the payment provider makes them.",
        "schema": {"type": "string", "minLength": 1},
    }
    return {
        "operationId": "Billing_ReceiveNotification",
        "tags": [OPERATIONS],
        "summary": "Takes a notification of the payment provider",
        "description": "Takes a notification of the payment provider, at most 1 MiB; it is stored before the "
        "answer. There is no such path where no payment provider is set.",
        "security": [],
        "parameters": [signature],
        "requestBody": {"required": True, "content": {JSON: {"schema": _OBJECT}}},
        "responses": {
            "200": _answer("Stored.", _OBJECT),
            "400": failed_response("Reasons: WEBHOOK_SIGNATURE_INVALID.", 400),
            "503": failed_response("Try again later.", 503),
            "default": failed_response("Any other failure.", 0),
        },
    }


def _inference_name(route: Route) -> str:
    """The method's name and what tells its rules apart."""
    rule, name = route.rule, route.method.name
    bound = {variable.field_path[0] for variable in rule.template.variables}
    suffix = "_OfVersion" if {"version", "model_version"} & bound else ""
    if "region" in rule.template.segments:
        suffix += "_OfRegion"
    if not bound and name in {"ModelStatistics", "TraceSetting"}:
        suffix += "_OfServer"
    if rule.verb == "POST" and name in {"TraceSetting", "LogSettings"}:
        suffix += "_Set"
    return f"{INFERENCE}_{name}{suffix}"


def _inference(route: Route) -> dict[str, Any]:
    method, rule = route.method, route.rule
    failure = {"$ref": "#/components/schemas/InferenceFailure"}
    operation: dict[str, Any] = {
        "operationId": _inference_name(route),
        "tags": [INFERENCE],
        "summary": f"{method.name} of the protocol",
        "description": f"{method.name} of the Open Inference Protocol.",
        "security": [] if method.policy.public else [{"bearer": []}],
        "parameters": [
            {
                "name": variable.field_path[0],
                "in": "path",
                "required": True,
                "description": "As the protocol names it.",
                "schema": {"type": "string", "minLength": 1},
            }
            for variable in rule.template.variables
        ],
        "responses": {
            "200": {"description": "The answer of the protocol.", "content": {"*/*": {"schema": {}}}},
            "4XX": _answer("The request cannot be answered.", failure),
            "default": _answer("Any other failure.", failure),
        },
    }
    if rule.verb == "POST":
        operation["requestBody"] = {"content": {JSON: {"schema": _OBJECT}}}
    return operation


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": headers_named("X-Request-Id"),
        "content": {JSON: {"schema": schema}},
    }
