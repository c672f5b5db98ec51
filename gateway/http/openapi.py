"""The OpenAPI 3.1 document, built at start from the route table and the comments of the protos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.http.beside import SCHEMAS, TAGS, beside
from gateway.http.comments import Comments
from gateway.http.failures import FAILURES, HEADERS
from gateway.http.operations import PARAMETERS, Operations, path_of
from gateway.http.routes import Route

_TEXT: Final = (
    "Customer analytics as a service: segments, predictions and explanations, and what customers consent to."
)


def build_document(
    routes: Sequence[Route], version: str, comments: Comments, inference: Sequence[Route] = ()
) -> dict[str, Any]:
    """The document of all routes.

    Args:
        routes: The route table.
        version: Version of the code.
        comments: Text of operations, parameters and schemas.
        inference: The routes of the Open Inference Protocol.
    """
    operations = Operations(comments)
    paths = beside(list(inference))
    scopes: set[str] = set()
    for route in routes:
        paths.setdefault(path_of(route), {})[route.rule.verb.lower()] = operations.of(route)
        scopes.update(route.method.policy.scopes)
    services = sorted({route.method.service for route in routes})
    schemas = {**operations.schemas.components, **FAILURES, **SCHEMAS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CohortLens",
            "version": version,
            "description": _TEXT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server this document came from"}],
        "tags": [
            *({"name": name.rpartition(".")[2], "description": comments.of(name).text} for name in services),
            *TAGS,
        ],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": _security(scopes),
        },
        "security": [{"bearer": []}],
    }


def render_document(document: dict[str, Any]) -> bytes:
    """The document as JSON, two spaces deep."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _security(scopes: set[str]) -> dict[str, Any]:
    """How callers prove themselves: with a token, as a client of OAuth 2, or as the client's application."""
    known = {name: f"Methods that ask for {name}" for name in sorted(scopes)}
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token (a JWT) or an API key (`cl_live_...`, `cl_test_...`).",
        },
        "oauth2": {
            "type": "oauth2",
            "description": "An access token that a client of OAuth 2 was given.",
            "flows": {
                "clientCredentials": {"tokenUrl": "/oauth2/token", "scopes": known},
                "authorizationCode": {
                    "authorizationUrl": "/oauth2/authorize",
                    "tokenUrl": "/oauth2/token",
                    "refreshUrl": "/oauth2/token",
                    "scopes": known,
                },
            },
        },
        "client": {
            "type": "http",
            "scheme": "basic",
            "description": "Identifier and secret of a client of OAuth 2.",
        },
    }
