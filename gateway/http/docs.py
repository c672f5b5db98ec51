"""The API reference in the browser: Swagger UI from the installed package, nothing from outside.

The page holds no inline script or style, and its policy lets the browser fetch from this origin only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final

from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from gateway.http.headers import JSON
from gateway.http.replies import Response
from gateway.http.requests import Request

DOCUMENT_PATH: Final = "/api/v1/openapi.json"
PAGE_PATH: Final = "/docs"

_POLICY: Final = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_CACHE: Final = (b"cache-control", b"public, max-age=3600")
_ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_PAGE: Final = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CohortLens API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# validatorUrl null: otherwise the page would send its address to a validator on the network.
_START: Final = b"""window.addEventListener("load", function () {
  window.ui = SwaggerUIBundle({
    url: "/api/v1/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    persistAuthorization: false,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout"
  });
});
"""

Page = Callable[[Request], Awaitable[Response]]


def pages(document: bytes) -> dict[str, Page]:
    """The reference's pages by path.

    Args:
        document: The OpenAPI document, JSON.
    """
    fixed = {
        DOCUMENT_PATH: Response(200, JSON, document, [(b"cache-control", b"public, no-cache")]),
        PAGE_PATH: Response(200, "text/html; charset=utf-8", _PAGE, [_POLICY, _CACHE]),
        f"{PAGE_PATH}/start.js": Response(200, "text/javascript; charset=utf-8", _START, [_POLICY, _CACHE]),
    }
    found = {path: _always(response) for path, response in fixed.items()}
    for name in _ASSETS:
        found[f"{PAGE_PATH}/{name}"] = _asset_page(name)
    return found


def _always(response: Response) -> Page:
    async def answer(_: Request) -> Response:
        return response

    return answer


def _asset_page(name: str) -> Page:
    async def answer(_: Request) -> Response:
        return Response(200, _ASSETS[name], _asset(name), [_POLICY, _CACHE])

    return answer


@lru_cache(maxsize=len(_ASSETS))
def _asset(name: str) -> bytes:
    return bytes((swagger_ui_path / name).read_bytes())
