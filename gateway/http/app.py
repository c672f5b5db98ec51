"""Puts the HTTP door together: routes, health, reference."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version as installed_version
from typing import Protocol

from gateway.http import docs
from gateway.http.body import Receive
from gateway.http.comments import Comments
from gateway.http.health import Check, HealthMonitor, healthz_page
from gateway.http.limited import AddressGate
from gateway.http.oauth import OAuthDoor, is_oauth
from gateway.http.oip import OipDoor, build_oip_routes, is_oip
from gateway.http.openapi import build_document, render_document
from gateway.http.pages.door import PageDoor
from gateway.http.replies import SendEvent
from gateway.http.requests import Scope
from gateway.http.routes import build_routes
from gateway.http.rpc import Served
from gateway.http.rpc_doors import RpcDoors
from gateway.http.streaming import Drain
from gateway.http.transcoding import Handler, HttpDoor
from gateway.http.webhooks import WebhookDoor
from gateway.interceptors.chain import Chain


class OwnDoor(Protocol):
    """A door that answers some paths by itself."""

    def has(self, path: str) -> bool:
        """Whether a path is this door's."""

    def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> Awaitable[None]:
        """Answer one request."""


class HttpDoors:
    """The doors of the HTTP listener by path: ``/v2`` is the Open Inference Protocol, all else ours.

    Args:
        ours: Serves the public API and the operators' pages.
        oip: Serves the Open Inference Protocol.
        oauth: Serves the endpoints of OAuth 2.
        pages: Serves the pages for people; None for none.
        missing: Names what keeps the process from being ready.
        webhook: Takes the payment provider's notifications; None where nobody could sign them.
        graphql: Serves GraphQL; None for none.
        rpcs: Serves Connect and gRPC-Web; None for neither.
    """

    def __init__(
        self,
        ours: HttpDoor,
        oip: OipDoor,
        oauth: OAuthDoor,
        pages: PageDoor | None,
        missing: Callable[[], Awaitable[list[str]]],
        webhook: WebhookDoor | None = None,
        graphql: OwnDoor | None = None,
        rpcs: RpcDoors | None = None,
    ) -> None:
        self.missing = missing
        self._ours, self._oip, self._oauth, self._pages = ours, oip, oauth, pages
        self._webhook, self._graphql, self._rpcs = webhook, graphql, rpcs

    def methods(self, path: str) -> list[str]:
        """The HTTP methods of a raw path, for pages of other sites; none for a path without a route."""
        if self._rpcs is not None and self._rpcs.has(path):
            return self._rpcs.methods(path)
        if is_oauth(path):
            return self._oauth.methods(path)
        return (self._oip if is_oip(path) else self._ours).methods(path)

    def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> Awaitable[None]:
        """Answer one request."""
        path = scope["path"]
        if self._webhook is not None and self._webhook.has(path):
            return self._webhook(scope, receive, send)
        if self._pages is not None and self._pages.has(path):
            return self._pages(scope, receive, send)
        if self._graphql is not None and self._graphql.has(path):
            return self._graphql(scope, receive, send)
        if self._rpcs is not None and self._rpcs.has(path):
            return self._rpcs(scope, receive, send)
        if is_oauth(path):
            return self._oauth(scope, receive, send)
        return (self._oip if is_oip(path) else self._ours)(scope, receive, send)


def build_http_app(
    chain: Chain,
    checks: Sequence[Check],
    serving: Callable[[], bool],
    people: PageDoor | None = None,
    webhook: WebhookDoor | None = None,
    gate: AddressGate | None = None,
    drain: Drain | None = None,
    graphql: OwnDoor | None = None,
) -> HttpDoors:
    """The ASGI application of the HTTP listener; takes ``http`` scopes only.

    Args:
        chain: The chain every door runs; its table gives the routes.
        checks: What the process depends on.
        serving: Whether the process takes calls: started, not draining.
        people: The pages for people; None for none.
        webhook: Takes the payment provider's notifications; None for none.
        gate: Limits what is answered beside the RPCs, but for the probes; None for no limit (tests).
        drain: Tells that the process is stopping; None where nothing does.
        graphql: Serves GraphQL, which stands above this door; None for none.

    Raises:
        TemplateInvalid: An HTTP rule of the protos is wrong; names file, RPC and rule.
    """
    version = installed_version("cohortlens")
    routes = build_routes(chain.table)
    monitor = HealthMonitor(checks, serving, version)
    inference = build_oip_routes(chain.table).routes
    document = render_document(build_document(routes.routes, version, Comments.load(), inference))
    pages: dict[str, Handler] = {"/api/v1/health": monitor.report, **docs.pages(document)}
    if gate is not None:
        pages = {path: gate.around(handler) for path, handler in pages.items()}
    pages |= {"/livez": monitor.livez, "/readyz": monitor.readyz}
    healthz = healthz_page(chain)
    if healthz is not None:
        pages["/healthz"] = healthz
    return HttpDoors(
        HttpDoor(chain, routes, pages, drain),
        OipDoor(chain),
        OAuthDoor(chain),
        people,
        monitor.missing,
        webhook,
        graphql,
        RpcDoors(Served(chain, routes)),
    )
