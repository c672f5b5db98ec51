"""The public API behind the HTTP door, with servicers that record what they were asked."""

from __future__ import annotations

from functools import cache
from uuid import UUID

from cohortlens.core.context import Principal
from cohortlens.core.errors import Unauthenticated
from cohortlens.v1 import analytics_pb2, auth_pb2, customers_pb2, models_pb2
from gateway.http.app import build_http_app
from gateway.registry import MethodTable
from tests.unit.gateway.http.support import Client, chain_of

SCOPES = frozenset({"customers.read", "customers.write", "analytics.read", "analytics.run", "models.write"})
TOKEN = {"authorization": "Bearer good"}
PRINCIPAL = Principal(UUID(int=1), UUID(int=2), UUID(int=3), "owner", SCOPES)
FILES = [module.DESCRIPTOR for module in (analytics_pb2, auth_pb2, customers_pb2, models_pb2)]


async def authenticate(token, *, strict=False):
    if token != "good":
        raise Unauthenticated("the access token is not valid")
    return PRINCIPAL


class Recorder:
    """A servicer for every service: keeps requests, answers with what ``script`` says or an empty reply.

    ``script`` maps an RPC name to a message, an exception, or an async function of (request, call);
    ``streams`` maps the name of a client stream to an async function of (requests, call).
    """

    def __init__(self, table):
        self.table, self.asked, self.script = table, [], {}
        self.calls, self.streams = [], {}

    def __getattr__(self, name):
        method = next(one for one in self.table if one.name == name)

        async def answer(request, call):
            self.calls.append(call)
            if name in self.streams:
                return await self.streams[name](request, call)
            if method.client_streaming:
                messages = [one async for one in request]
                self.asked.append((name, messages))
            else:
                self.asked.append((name, request))
            scripted = self.script.get(name)
            if isinstance(scripted, Exception):
                raise scripted
            if callable(scripted):
                return await scripted(request, call)
            return scripted if scripted is not None else method.output_class()

        async def chat(requests, call):
            self.calls.append(call)
            async for request in requests:
                self.asked.append((name, request))
                yield method.output_class()

        return chat if method.kind == "bidi_stream" else answer


def public_api():
    """(client, recorder) of the whole public API, the recorder empty."""
    client, recorder = _built()
    recorder.asked, recorder.calls, recorder.script, recorder.streams = [], [], {}, {}
    return client, recorder


@cache
def _built():
    return build()


def build(checks=(), serving=lambda: True):
    """(client, recorder) of a public API of its own, with health checks."""
    table = MethodTable()
    table.add_public_api(FILES)
    recorder = Recorder(table)
    chain = chain_of(table, dict.fromkeys(table.services(), recorder), authenticate)
    return Client(build_http_app(chain, list(checks), serving)), recorder
