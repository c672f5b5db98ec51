"""Failures as the OpenAPI document describes them: body, headers and reasons by status."""

from __future__ import annotations

from typing import Any, Final

from cohortlens.core.errors import Code
from gateway.http.conditional import MISMATCH, etag_path
from gateway.http.faults import HTTP_ONLY
from gateway.http.headers import JSON, PROBLEM
from gateway.http.oauth import is_oauth
from gateway.http.reasons import REASONS
from gateway.http.routes import Route
from gateway.http.schemas import Schema
from gateway.interceptors.entitlement import plan_reasons
from gateway.interceptors.errors import HTTP_STATUS
from gateway.interceptors.keyed import takes_key
from gateway.registry import RateClass

_DETAIL: Final[Schema] = {
    "type": "object",
    "description": "One detail; its type says which fields it has.",
    "required": ["@type"],
    "properties": {"@type": {"type": "string"}},
    "additionalProperties": True,
}
_DETAILS: Final[Schema] = {
    "type": "array",
    "description": "ErrorInfo with the reason; BadRequest, RetryInfo, RequestInfo when they apply.",
    "items": _DETAIL,
}
_EXAMPLE_DETAIL: Final = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "FIELD_INVALID",
    "domain": "cohortlens",
    "metadata": {},
}
_CODE: Final[Schema] = {"type": "integer", "description": "Canonical code, 1 to 16."}
FAILURES: Final[dict[str, Schema]] = {
    "Status": {
        "type": "object",
        "description": "A failure, as google.rpc.Status in proto JSON.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": _CODE,
            "message": {"type": "string", "description": "One sentence for a person."},
            "details": _DETAILS,
        },
        "examples": [
            {"code": 3, "message": "vectors[0].values[3]: expected a number", "details": [_EXAMPLE_DETAIL]}
        ],
    },
    "Problem": {
        "type": "object",
        "description": "The same failure as RFC 9457 writes it, for Accept: application/problem+json.",
        "required": ["type", "title", "status", "detail", "code", "reason"],
        "properties": {
            "type": {"type": "string", "description": "Address of the page about the reason."},
            "title": {"type": "string", "description": "The reason in words."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "One sentence for a person."},
            "instance": {"type": "string", "description": "Identifier of the request."},
            "code": _CODE,
            "reason": {"type": "string", "description": "The reason, as in ErrorInfo."},
            "details": _DETAILS,
        },
        "additionalProperties": True,
    },
    "OAuthError": {
        "type": "object",
        "description": "A failure of an endpoint of OAuth 2, as RFC 6749 5.2 writes it.",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "description": "A code of RFC 6749, 6750 or 7009."},
            "error_description": {"type": "string", "description": "One sentence for a developer."},
        },
        "examples": [{"error": "invalid_grant", "error_description": "the code is not known or was used"}],
    },
}
"""Schemas of failures by name."""


def _header(description: str, kind: str = "string") -> Schema:
    return {"description": description, "schema": {"type": kind}}


HEADERS: Final[dict[str, Schema]] = {
    "X-Request-Id": _header("Identifier of the request."),
    "RateLimit-Policy": _header("The limit: units and window in seconds."),
    "RateLimit": _header("What is left of it, and when all of it is there again."),
    "Retry-After": _header("Seconds after which a retry can help.", "integer"),
    "ETag": _header("Tag of the reply, for If-None-Match; replies of more than 1 MiB have none."),
}
"""Headers of answers by name."""


def headers_named(*names: str) -> dict[str, Schema]:
    """References to headers of ``HEADERS``."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def failed_response(description: str, status: int, *, oauth: bool = False) -> dict[str, Any]:
    """The response object of a failure.

    Args:
        description: When it is answered.
        status: HTTP status; 0 for any other.
        oauth: Whether an endpoint of OAuth 2 answers it.
    """
    names = ["X-Request-Id"]
    if status == HTTP_STATUS[Code.RESOURCE_EXHAUSTED]:
        names += ["RateLimit-Policy", "RateLimit"]
    if status in {429, 503}:
        names.append("Retry-After")
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Status"}}}
    content[PROBLEM] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if oauth:
        content = {JSON: {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    return {"description": description, "headers": headers_named(*names), "content": content}


def failures_of(route: Route) -> dict[str, Any]:
    """The failures of a route by status, with the reasons of its policy, and ``default`` for all others."""
    oauth = is_oauth(route.rule.template.text)
    found = {
        str(status): failed_response(f"Reasons: {', '.join(reasons)}.", status, oauth=oauth)
        for status, reasons in sorted(_reasons(route).items())
    }
    return found | {"default": failed_response("Any other failure.", 0, oauth=oauth)}


# What refuses a call of a class that is not limited by how fast it comes.
_LIMITED: Final = {
    RateClass.AUTH_SENSITIVE: "LOGIN_RATE_LIMITED",
    RateClass.BULK: "CONCURRENCY_LIMITED",
}


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
        named[400] += ["FIELD_CONFLICT", "IDEMPOTENCY_KEY_REUSED"]
        named[409] = ["IDEMPOTENCY_IN_PROGRESS"]
    if takes_condition(route):
        named[412] = [MISMATCH]
    if route.method.descriptor.GetOptions().deprecated:
        named[410] = ["METHOD_REMOVED"]
    if not policy.quiet:
        named[429] = [_LIMITED.get(policy.rate_class, "RATE_LIMITED")]
    for reason in (*policy.errors, *plan_reasons(policy)):
        status = HTTP_STATUS[REASONS[reason]]
        named.setdefault(status, [])
        if reason not in named[status]:
            named[status].append(reason)
    return named


def takes_condition(route: Route) -> bool:
    """Whether a route takes ``If-Match``: it changes what its request names with an etag."""
    is_read = route.rule.verb in {"GET", "HEAD"}
    return not is_read and bool(etag_path(route.method.descriptor.input_type))
