"""A gateway process whose HTTP door serves a small service: ``python -m tests.fakes.http_process``.

``GET /hold/{n}`` answers after a while, ``GET /lines/{n}`` sends ``n`` messages, ``GET /follow`` never ends and
can go on behind a token. At its end the process prints how many calls of each began and ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from cohortlens.core.config import read
from cohortlens.core.settings import CoreConfig
from gateway import composition
from gateway.__main__ import serve
from gateway.config import GatewayConfig
from gateway.http.codec import Codecs
from gateway.http.routes import RouteTable
from gateway.http.transcoding import HttpDoor
from gateway.registry import MethodTable, Policy, RateClass
from gateway.servicers.health import HealthBoard
from tests.vectors.transcoding.door import chain_of, http_options
from tests.vectors.transcoding.schema import Schema, message_class

SERVICE = "work.Work"
HOLD_S, STEP_S = 0.2, 0.02


def _pool():
    schema = Schema("work").message("In", {"n": "int32", "resume_token": "string"})
    schema.message("Out", {"n": "int32", "resume_token": "string"})
    schema.method("Work", "Hold", "In", "Out", {"get": "/hold/{n}"})
    for name, path in (("Lines", "/lines/{n}"), ("Follow", "/follow")):
        schema.method("Work", name, "In", "Out", {"get": path}, streams=(False, True))
    return schema.build()


POOL = _pool()


class Worker:
    """Counts the calls that begin and that end well."""

    def __init__(self):
        self.begun, self.ended = (
            dict.fromkeys(("Hold", "Lines", "Follow"), 0),
            dict.fromkeys(("Hold", "Lines"), 0),
        )
        self.out = message_class(POOL, "work.Out")

    async def Hold(self, request, call):
        self.begun["Hold"] += 1
        await asyncio.sleep(HOLD_S)
        self.ended["Hold"] += 1
        return self.out(n=request.n)

    async def Lines(self, request, call):
        self.begun["Lines"] += 1
        for number in range(request.n):
            yield self.out(n=number)
            await asyncio.sleep(STEP_S)
        self.ended["Lines"] += 1

    async def Follow(self, request, call):
        self.begun["Follow"] += 1
        number = int(request.resume_token or 0)
        while True:
            number += 1
            yield self.out(n=number, resume_token=str(number))
            await asyncio.sleep(STEP_S)


async def compose(core, config):
    table = MethodTable()
    service = POOL.FindServiceByName(SERVICE)
    policy = Policy(public=True, rate_class=RateClass.READ)
    table.add_service(service, {method.name: policy for method in service.methods})
    board, worker = HealthBoard(table.services()), Worker()
    routes = RouteTable(strict=Codecs(POOL), lenient=Codecs(POOL, lenient=True))
    for method in table:
        routes.add(method, http_options(method.descriptor))
    chain = chain_of(table, {SERVICE: worker})

    async def check():
        return None

    async def close():
        sys.stdout.write(json.dumps({"event": "closed", "begun": worker.begun, "ended": worker.ended}) + "\n")
        sys.stdout.flush()

    return composition.Parts(chain, HttpDoor(chain, routes, {}, board), board, check, close)


if __name__ == "__main__":
    core, config = read(CoreConfig, os.environ), read(GatewayConfig, os.environ)
    sys.exit(serve(core, config, compose, [sys.executable, "-m", "tests.fakes.http_process"]))
