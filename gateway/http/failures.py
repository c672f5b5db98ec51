"""Failures as the OpenAPI document describes them: body and headers by status."""

from __future__ import annotations

from typing import Any

from cohortlens.core.errors import Code
from gateway.http.headers import JSON, PROBLEM
from gateway.interceptors.errors import HTTP_STATUS


def failed_response(description: str, status: int) -> dict[str, Any]:
    """The response object of a failure.

    Args:
        description: When it is answered.
        status: HTTP status; 0 for any other.
    """
    schema = {"$ref": "#/components/schemas/Status"}
    answer: dict[str, Any] = {
        "description": description,
        "content": {JSON: {"schema": schema}, PROBLEM: {"schema": {"type": "object"}}},
        "headers": {
            "X-Request-Id": {"description": "Identifier of the request.", "schema": {"type": "string"}}
        },
    }
    if status == HTTP_STATUS[Code.RESOURCE_EXHAUSTED]:
        answer["headers"]["RateLimit-Policy"] = _header("The limit: units and window in seconds.")
        answer["headers"]["RateLimit"] = _header("What is left of it, and when all of it is there again.")
    if status in {429, 503}:
        answer["headers"]["Retry-After"] = {
            "description": "Seconds after which a retry can help.",
            "schema": {"type": "integer"},
        }
    return answer


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
