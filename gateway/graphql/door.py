"""The door: ``POST /graphql`` takes one document and answers one result, or a stream of them.

No cookie is read here, so a page of another site cannot call in somebody's name.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Final

from graphql import GraphQLSchema

from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import uuid7_text
from cohortlens.core.scrubbing import is_clean
from cohortlens.core.telemetry import ERRORS, get_logger
from gateway.graphql.arguments import Arguments
from gateway.graphql.calls import Admission
from gateway.graphql.documents import Documents
from gateway.graphql.exchange import Exchange, Service, refusal
from gateway.graphql.schema import build_schema
from gateway.http import faults
from gateway.http.body import ClientGone, Receive
from gateway.http.codec import Codecs
from gateway.http.comments import Comments
from gateway.http.headers import Head
from gateway.http.metrics import observe
from gateway.http.replies import HeaderList, Response, SendEvent, StatusSend
from gateway.http.requests import Request, Scope, check_head
from gateway.http.streaming import Drain
from gateway.interceptors.chain import Chain
from gateway.interceptors.errors import unexpected

PATH: Final = "/graphql"
ALLOWED: Final = ["OPTIONS", "POST"]

_LOG = get_logger(__name__)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.-]{8,64}")
# No token is shorter; a UUID is.
_LONG: Final = 37
_LIKE: Final = "/cohortlens.v1.AuthService/GetMe"


class GraphqlDoor:
    """An ASGI application for ``/graphql``.

    Args:
        chain: The chain every door runs; its table gives the fields.
        is_production: Whether only known callers may read the schema.
        drain: Tells that the process is stopping; None where nothing does.

    Attributes:
        schema: The schema.

    Raises:
        ValueError: Two methods or types would have one name.
    """

    def __init__(self, chain: Chain, *, is_production: bool, drain: Drain | None = None) -> None:
        self.schema: GraphQLSchema = build_schema(chain.table, Comments.load())
        like = chain.table.get(_LIKE) or next(iter(chain.table))
        codecs = Codecs()
        self._service = Service(
            chain=chain,
            schema=self.schema,
            documents=Documents(self.schema, hides=is_production),
            codecs=codecs,
            arguments=Arguments(codecs),
            refusing=Admission(chain, like, "Refuse", needs_token=False),
            showing=Admission(chain, like, "Introspect", needs_token=is_production),
            drain=drain,
        )

    def has(self, path: str) -> bool:
        """Whether a path is this door's."""
        return path == PATH

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Answer one request."""
        request, started, seen = Request.read(scope), time.monotonic(), StatusSend(send)
        request_id = _request_id(request.head)
        try:
            check_head(scope, request)
            if request.verb == "OPTIONS":
                await Response(204, "", b"", _allow()).write(seen)
            elif request.verb != "POST":
                raise faults.method_not_allowed(ALLOWED)
            else:
                await Exchange(self._service, request, request_id, receive, seen).run()
        except ConnectionAbortedError:
            raise
        except ClientGone:
            seen.status = seen.status or 499
        except CohortLensError as error:
            await self._refuse(request, error, request_id, seen)
        except Exception as error:
            _LOG.log(logging.ERROR, "unexpected", exc_info=error, route=PATH)
            if seen.status:
                raise
            await self._refuse(request, unexpected(), request_id, seen)
        finally:
            observe(PATH, request.verb, seen.status or 499, time.monotonic() - started)

    async def _refuse(
        self, request: Request, error: CohortLensError, request_id: str, send: StatusSend
    ) -> None:
        ERRORS.labels(error.reason).inc()
        extra: HeaderList = [(b"x-request-id", request_id.encode())]
        if error.reason == "METHOD_NOT_ALLOWED":
            extra += _allow()
        await refusal(error, request_id, extra).write(send, head_only=request.verb == "HEAD")


def _allow() -> HeaderList:
    return [(b"allow", ", ".join(ALLOWED).encode())]


def _request_id(head: Head) -> str:
    """The identifier of all calls of a request: the caller's own where it can be one."""
    given = head.get("x-request-id")
    is_taken = _REQUEST_ID.fullmatch(given) and (len(given) < _LONG or is_clean(given))
    return given if is_taken else uuid7_text()
