"""The OpenAPI 3.1 document, built at start from the route table and the comments of the protos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from google.protobuf.descriptor import FieldDescriptor

from gateway.http.binding import HTTP_BODY
from gateway.http.codec import is_map, is_repeated, message_type
from gateway.http.comments import Comments
from gateway.http.failures import failed_response
from gateway.http.faults import HTTP_ONLY
from gateway.http.headers import JSON, NDJSON
from gateway.http.reasons import REASONS
from gateway.http.routes import Route
from gateway.http.schemas import Schema, Schemas
from gateway.http.uploads import FILE_TYPES, MULTIPART
from gateway.interceptors.entitlement import plan_reasons
from gateway.interceptors.errors import HTTP_STATUS
from gateway.interceptors.keyed import takes_key
from gateway.registry import RateClass

_STATUS: Final[Schema] = {
    "type": "object",
    "description": "A failure, as google.rpc.Status in proto JSON.",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "Canonical code, 1 to 16."},
        "message": {"type": "string", "description": "One sentence for a person."},
        "details": {
            "type": "array",
            "description": "ErrorInfo with the reason; BadRequest, RetryInfo, RequestInfo when they apply.",
            "items": {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}},
        },
    },
    "examples": [
        {
            "code": 3,
            "message": "vectors[0].values[3]: expected a number",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "FIELD_INVALID",
                    "domain": "cohortlens",
                    "metadata": {},
                }
            ],
        }
    ],
}
_RAW_REPLY: Final[Schema] = {
    "description": "The bytes themselves; Content-Type says what they are.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_PAGES: Final[dict[str, tuple[str, str, str, tuple[int, ...]]]] = {
    "/livez": ("Health_Live", "Whether the process turns", JSON, (200,)),
    "/readyz": ("Health_Ready", "Whether the process takes calls", JSON, (200, 503)),
    "/api/v1/health": ("Health_Report", "What every dependency says", JSON, (200, 503)),
    "/api/v1/openapi.json": ("Reference_Document", "This document", JSON, (200,)),
}


def build_document(routes: Sequence[Route], version: str, comments: Comments) -> dict[str, Any]:
    """The document of all routes.

    Args:
        routes: The route table.
        version: Version of the code.
        comments: Text of operations, parameters and schemas.
    """
    builder = _Builder(comments)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_path(route), {})[route.rule.verb.lower()] = builder.operation(route)
    for path, page in _PAGES.items():
        paths.setdefault(path, {})["get"] = _page_operation(*page)
    services = sorted({route.method.service for route in routes})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CohortLens",
            "version": version,
            "description": "Customer analytics as a service: segments, predictions and explanations.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server this document came from"}],
        "tags": [
            *({"name": name.rpartition(".")[2], "description": comments.of(name).text} for name in services),
            {"name": "Operations", "description": "Health and this reference."},
        ],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted({**builder.schemas.components, "Status": _STATUS}.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token (a JWT) or an API key (`cl_live_...`, `cl_test_...`).",
                },
            },
        },
        "security": [{"bearer": []}],
    }


def render_document(document: dict[str, Any]) -> bytes:
    """The document as JSON, two spaces deep."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class _Builder:
    def __init__(self, comments: Comments) -> None:
        self._comments, self.schemas = comments, Schemas(comments)

    def operation(self, route: Route) -> dict[str, Any]:
        method = route.method
        comment = self._comments.of(method.descriptor.full_name)
        service = method.service.rpartition(".")[2]
        operation: dict[str, Any] = {
            "operationId": f"{service}_{method.name}",
            "tags": [service],
            "summary": comment.summary,
            "description": comment.text,
            "parameters": self._parameters(route),
            "responses": self._responses(route),
            "x-cohortlens-rate-class": method.policy.rate_class.name.lower(),
        }
        if method.policy.public:
            operation["security"] = []
        if method.policy.scopes:
            operation["x-cohortlens-scopes"] = list(method.policy.scopes)
        if method.policy.activity:
            operation["x-cohortlens-activity"] = method.policy.activity
        if method.policy.feature:
            operation["x-cohortlens-feature"] = method.policy.feature
        if route.rule.body and method.kind != "bidi_stream":
            operation["requestBody"] = self._body(route)
        return operation

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        descriptor: Any = route.method.descriptor.input_type
        example = self._comments.of(descriptor.full_name).example or {}
        found = []
        for name in _path_names(route):
            field = descriptor.fields_by_name[name]
            parameter = self._parameter(field, "path", example)
            found.append({**parameter, "name": name, "required": True})
        if route.upload is not None:
            options = message_type(descriptor.fields_by_name[route.upload.options])
            found += [self._parameter(field, "query", {}) for field in options.fields]
        elif route.rule.body != "*":
            bound = {*_path_names(route), route.rule.body}
            found += [
                self._parameter(field, "query", example)
                for field in descriptor.fields
                if field.name not in bound
            ]
        if takes_key(route.method):
            found.append(_KEY_HEADER)
        return found

    def _parameter(self, field: FieldDescriptor, where: str, example: dict[str, Any]) -> dict[str, Any]:
        schema = self.schemas.field(field)
        parameter: dict[str, Any] = {
            "name": field.json_name,
            "in": where,
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        if is_map(field):
            parameter |= {"style": "deepObject", "explode": True}
        elif is_repeated(field):
            parameter |= {"style": "form", "explode": True}
        if field.json_name in example:
            parameter["example"] = example[field.json_name]
        return parameter

    def _body(self, route: Route) -> dict[str, Any]:
        descriptor: Any = route.method.descriptor.input_type
        if route.upload is not None:
            return _file_body()
        example = self._comments.of(descriptor.full_name).example or {}
        bound = set(_path_names(route))
        hidden = _json_names(descriptor, bound)
        shown: Any = {key: value for key, value in example.items() if key not in hidden}
        schema: Schema
        if route.rule.body != "*":
            field = descriptor.fields_by_name[route.rule.body]
            schema, shown = self.schemas.field(field), example.get(field.json_name)
        elif bound:
            schema = self.schemas.message(descriptor, bound)
        else:
            schema = self.schemas.reference(descriptor)
        media = NDJSON if route.method.client_streaming else JSON
        return {"required": True, "content": {media: {"schema": schema, "example": shown}}}

    def _responses(self, route: Route) -> dict[str, Any]:
        output: Any = route.method.descriptor.output_type
        if route.method.kind == "bidi_stream":
            return _failures(route)
        if output.full_name == HTTP_BODY:
            return {"200": _RAW_REPLY, **_failures(route)}
        comment = self._comments.of(output.full_name)
        content: dict[str, Any] = {"schema": self.schemas.reference(output)}
        if comment.example is not None:
            content["example"] = comment.example
        media = NDJSON if route.method.server_streaming else JSON
        responses: dict[str, Any] = {
            "200": {"description": comment.text or "OK", "content": {media: content}}
        }
        return {**responses, **_failures(route)}


_KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Key of the request, as `requestId`: a repeat with the same key gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}


# What refuses a call of a class that is not limited by how fast it comes.
_LIMITED: Final = {
    RateClass.AUTH_SENSITIVE: "LOGIN_RATE_LIMITED",
    RateClass.BULK: "CONCURRENCY_LIMITED",
}


def _failures(route: Route) -> dict[str, Any]:
    found = {
        str(status): failed_response(f"Reasons: {', '.join(reasons)}.", status)
        for status, reasons in sorted(_reasons(route).items())
    }
    return found | {"default": failed_response("Any other failure.", 0)}


def _reasons(route: Route) -> dict[int, list[str]]:
    policy = route.method.policy
    named: dict[int, list[str]] = {400: ["FIELD_INVALID", "MALFORMED_JSON", "UNKNOWN_FIELD"]}
    if not policy.public:
        named[401] = ["TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_REVOKED"]
        if policy.scopes:
            named[403] = ["SCOPE_MISSING"]
    if route.upload is not None:
        named[HTTP_ONLY["BODY_TOO_LARGE"]] = ["BODY_TOO_LARGE"]
    if takes_key(route.method):
        named[400].append("IDEMPOTENCY_KEY_REUSED")
        named[409] = ["IDEMPOTENCY_IN_PROGRESS"]
    if not policy.quiet:
        named[429] = [_LIMITED.get(policy.rate_class, "RATE_LIMITED")]
    for reason in (*policy.errors, *plan_reasons(policy)):
        status = HTTP_STATUS[REASONS[reason]]
        named.setdefault(status, [])
        if reason not in named[status]:
            named[status].append(reason)
    return named


def _file_body() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string", "format": "binary"}},
        }
    }
    content = dict.fromkeys(sorted(FILE_TYPES), binary) | {MULTIPART: form}
    text = (
        "The file itself, at most 1 GiB; gzip as Content-Encoding is inflated. Options are query parameters."
    )
    return {"required": True, "description": text, "content": content}


def _page_operation(operation_id: str, summary: str, media: str, statuses: Iterable[int]) -> dict[str, Any]:
    meanings = {200: "The answer.", 503: "Something required is missing."}
    return {
        "operationId": operation_id,
        "tags": ["Operations"],
        "summary": summary,
        "description": f"{summary}.",
        "security": [],
        "responses": {
            str(status): {
                "description": meanings[status],
                "content": {media: {"schema": {"type": "string" if media == "text/plain" else "object"}}},
            }
            for status in statuses
        },
    }


def _path(route: Route) -> str:
    """The template with plain ``{name}`` variables, as OpenAPI writes paths."""
    template = route.rule.template
    segments: list[str] = list(template.segments)
    for variable in template.variables:
        segments[variable.start : variable.end] = [f"{{{'.'.join(variable.field_path)}}}"]
    return "/" + "/".join(segments) + (f":{template.verb}" if template.verb else "")


def _path_names(route: Route) -> list[str]:
    return [variable.field_path[0] for variable in route.rule.template.variables]


def _json_names(descriptor: Any, names: Iterable[str]) -> set[str]:
    return {descriptor.fields_by_name[name].json_name for name in names}
