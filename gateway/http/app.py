"""Puts the HTTP door together: routes, health, reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version as installed_version

from gateway.http import docs
from gateway.http.comments import Comments
from gateway.http.health import Check, HealthMonitor, healthz_page
from gateway.http.openapi import build_document, render_document
from gateway.http.routes import build_routes
from gateway.http.transcoding import Handler, HttpDoor
from gateway.interceptors.chain import Chain


def build_http_app(chain: Chain, checks: Sequence[Check], serving: Callable[[], bool]) -> HttpDoor:
    """The ASGI application of the HTTP listener; takes ``http`` scopes only.

    Args:
        chain: The chain every door runs; its table gives the routes.
        checks: What the process depends on.
        serving: Whether the process takes calls: started, not draining.

    Raises:
        TemplateInvalid: An HTTP rule of the protos is wrong; names file, RPC and rule.
    """
    version = installed_version("cohortlens")
    routes = build_routes(chain.table)
    monitor = HealthMonitor(checks, serving, version)
    document = render_document(build_document(routes.routes, version, Comments.load()))
    pages: dict[str, Handler] = {
        "/livez": monitor.livez,
        "/readyz": monitor.readyz,
        "/api/v1/health": monitor.report,
        "/metrics": monitor.metrics,
        **docs.pages(document),
    }
    healthz = healthz_page(chain)
    if healthz is not None:
        pages["/healthz"] = healthz
    return HttpDoor(chain, routes, pages)
