"""The GraphQL door over the whole public API, with servicers that record what they were asked."""

from __future__ import annotations

import json
from functools import cache
from uuid import UUID

from cohortlens.core.context import Principal
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID
from gateway.composition import public_table
from gateway.graphql.door import GraphqlDoor
from tests.unit.gateway.http.support import Client, chain_of

TOKEN = {"authorization": "Bearer good"}
JSON = {"content-type": "application/json"}
EVENTS = "text/event-stream"


@cache
def all_scopes():
    scopes = {scope for method in public_table(with_reflection=False) for scope in method.policy.scopes}
    return frozenset(scopes)


async def authenticate(token, *, strict=False):
    if token not in {"good", "staff"}:
        raise Unauthenticated("the access token is not valid")
    role = "owner" if token == "good" else "platform"
    tenant = UUID(int=1) if token == "good" else PLATFORM_TENANT_ID
    return Principal(tenant, UUID(int=2), UUID(int=3), role, all_scopes(), amr=("pwd", "otp"))


class Servicer:
    """A servicer for every service: keeps what it was asked, answers what ``script`` says or an empty reply.

    ``script`` maps an RPC name to a message, an exception, an async function of (request, call), or for a
    stream to a list of them.
    """

    def __init__(self, table):
        self.by_name = {method.name: method for method in table}
        self.asked, self.calls, self.script, self.ended = [], [], {}, []

    def __getattr__(self, name):
        method = self.by_name[name]

        async def answer(request, call):
            self.asked.append((name, request))
            self.calls.append(call)
            return await self._one(self.script.get(name, method.output_class()), request, call)

        async def stream(request, call):
            self.asked.append((name, request))
            self.calls.append(call)
            try:
                for one in self.script.get(name, []):
                    found = await self._one(one, request, call)
                    if found is not None:
                        yield found
            finally:
                self.ended.append(name)

        return stream if method.server_streaming else answer

    async def _one(self, scripted, request, call):
        if isinstance(scripted, Exception):
            raise scripted
        return await scripted(request, call) if callable(scripted) else scripted


def build(*, is_production=False, drain=None):
    """(client, servicer) of a door of its own."""
    table = public_table(with_reflection=False)
    servicer = Servicer(table)
    chain = chain_of(table, dict.fromkeys(table.services(), servicer), authenticate)
    return Client(GraphqlDoor(chain, is_production=is_production, drain=drain)), servicer


async def ask(client, document, variables=None, headers=TOKEN, *, accept="", leave=None, **members):
    """One request."""
    body = {"query": document, **members} | ({} if variables is None else {"variables": variables})
    sent = JSON | dict(headers) | ({"accept": accept} if accept else {})
    return await client.request("POST", "/graphql", json.dumps(body).encode(), sent, leave=leave)


def only_error(answer):
    """The one error of an answer."""
    (error,) = answer.json["errors"]
    return error


def reason(answer):
    """The reason of the first error of an answer."""
    return answer.json["errors"][0]["extensions"]["reason"]


def events(answer):
    """The events of an answer as (name, data)."""
    found = []
    for block in answer.body.decode().split("\n\n"):
        fields = dict(line.split(":", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            data = fields.get("data", "").strip()
            found.append((fields["event"].strip(), json.loads(data) if data else None))
    return found
