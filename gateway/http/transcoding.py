"""The HTTP door: a request line finds its RPC, the chain runs it, the reply goes out as JSON.

Only what has no route is answered here; every other fault is raised inside the chain, so that it is logged
and counted like any other and nobody without a token learns of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from cohortlens.core.errors import CohortLensError, InvalidArgument
from cohortlens.core.ids import uuid7
from cohortlens.core.telemetry import ERRORS, get_logger
from gateway.http import faults, headers
from gateway.http.binding import refuse
from gateway.http.body import ClientGone, Receive
from gateway.http.encodings import packed
from gateway.http.exchange import Exchange
from gateway.http.metrics import observe
from gateway.http.replies import HeaderList, Response, SendEvent, StatusSend, failure
from gateway.http.requests import Request, Scope, check_head
from gateway.http.routes import Route, RouteTable, method_of
from gateway.http.scalars import JsonFault
from gateway.http.streaming import Drain
from gateway.http.templates import Match, PathUndecodable
from gateway.interceptors.chain import Chain
from gateway.interceptors.errors import unexpected
from gateway.interceptors.languages import localized

Handler = Callable[["Request"], Awaitable[Response]]

_LOG = get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")


class HttpDoor:
    """An ASGI application for ``http`` scopes.

    Args:
        chain: The chain every door runs.
        routes: The route table.
        pages: Answers beside the RPCs by path (health, metrics, reference); they take GET and HEAD.
        drain: Tells that the process is stopping; None where nothing does.

    Attributes:
        exchange: What runs one call; another form of bodies and errors has one of its own.
    """

    exchange: ClassVar[type[Exchange]] = Exchange

    def __init__(
        self, chain: Chain, routes: RouteTable, pages: Mapping[str, Handler], drain: Drain | None = None
    ) -> None:
        self._chain, self._routes, self._pages, self._drain = chain, routes, dict(pages), drain

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Answer one request."""
        request, started = Request.read(scope), time.monotonic()
        seen = StatusSend(send)
        route = "unmatched"
        try:
            route = await self._answer(scope, request, receive, seen)
        except ConnectionAbortedError:
            # A stream that cannot be ended well is torn off by the server.
            raise
        except ClientGone:
            seen.status = seen.status or 499
        except CohortLensError as error:
            await self._refuse(request, error, seen)
        except JsonFault as fault:
            await self._refuse(request, refuse(fault), seen)
        except Exception as error:
            _LOG.log(logging.ERROR, "unexpected", exc_info=error, route=route)
            if seen.status:
                # The answer has begun: only tearing the connection down keeps it from looking complete.
                raise
            await self._refuse(request, unexpected(), seen)
        finally:
            observe(route, request.verb, seen.status or 499, time.monotonic() - started)

    async def _refuse(self, request: Request, error: CohortLensError, send: StatusSend) -> None:
        ERRORS.labels(error.reason).inc()
        error.localized = localized(error, request.head.get("accept-language"))
        given = request.head.get("x-request-id")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid7())
        extra: HeaderList = [(b"x-request-id", request_id.encode())]
        if error.reason == "METHOD_NOT_ALLOWED":
            extra.append((b"allow", ", ".join(self.methods(request.path)).encode()))
        answer = self.failed(request, error, request_id, extra)
        await answer.write(send, head_only=request.verb == "HEAD")

    def failed(
        self, request: Request, error: CohortLensError, request_id: str, extra: HeaderList
    ) -> Response:
        """The answer to what reached no method."""
        return failure(error, request_id, problem=headers.wants_problem(request.head), headers=extra)

    async def _answer(self, scope: Scope, request: Request, receive: Receive, send: StatusSend) -> str:
        """Answer a request; returns the template of its route."""
        check_head(scope, request)
        page = self._pages.get(request.path)
        if page is not None and request.verb in {"GET", "HEAD"}:
            response = await packed(await page(request), request.head)
            await response.write(send, head_only=request.verb == "HEAD")
            return request.path
        match = self._match(request)
        if match is not None:
            exchange = self.exchange(self._chain, self._routes, request, match, receive, send, self._drain)
            await exchange.run()
            return match.template.text
        allowed = self.methods(request.path)
        if not allowed:
            raise faults.route_not_found()
        if request.verb != "OPTIONS":
            raise faults.method_not_allowed(allowed)
        await Response(204, "", b"", [(b"allow", ", ".join(allowed).encode())]).write(send)
        return "options"

    def _match(self, request: Request) -> Match[Route] | None:
        router = self._routes.router
        if not request.path.startswith("/"):
            raise InvalidArgument("the path must start with a slash", reason="PATH_ENCODING_INVALID")
        request.verb = method_of(self._routes, request)
        try:
            found = router.match(request.verb, request.path)
            if found is None and request.verb == "HEAD":
                found = router.match("GET", request.path)
        except PathUndecodable:
            raise InvalidArgument(
                "the path is not percent-encoded UTF-8", reason="PATH_ENCODING_INVALID"
            ) from None
        return found

    def methods(self, path: str) -> list[str]:
        """The HTTP methods that a raw path takes, sorted; none for a path that nothing has."""
        verbs = set(self._routes.router.methods(path)) | ({"GET"} if path in self._pages else set())
        if "GET" in verbs:
            verbs.add("HEAD")
        return sorted(verbs | {"OPTIONS"}) if verbs else []
