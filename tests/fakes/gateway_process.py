"""A gateway process over the echo service: ``python -m tests.fakes.gateway_process [slow|never|hasty]``.

``slow`` has no services until a line arrives on stdin; ``never`` fails to open them; ``hasty`` loses patience
with slow clients after a second. SIGUSR1 lets calls that
wait go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from cohortlens.core.config import read
from cohortlens.core.errors import Unavailable
from cohortlens.core.settings import CoreConfig
from gateway import composition
from gateway.__main__ import serve
from gateway.config import GatewayConfig
from gateway.grpc import server
from gateway.http import metrics
from gateway.servicers import health, reflection
from gateway.servicers.health import HealthBoard
from tests.fakes.echo import EchoServicer, authenticate, echo_table


def compose_for(mode):
    allowed = asyncio.Event()

    async def compose(core, config):
        if mode == "never":
            raise RuntimeError("the services are broken")
        if mode == "slow":
            _watch_stdin(allowed)
            if not allowed.is_set():
                raise Unavailable("not yet", reason="DATABASE_UNAVAILABLE")
        table = echo_table()
        health.add_health(table)
        reflection.add_reflection(table)
        board = HealthBoard(table.services())
        servicer = EchoServicer()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, servicer.release.set)
        chain = composition.make_chain(table, {"tests.echo.Echo": servicer}, authenticate, board)

        async def http(scope, receive, send):
            path = scope["path"]
            body = await metrics.page() if path == "/metrics" else b""
            status = 200 if board.ready or path == "/livez" else 503
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        async def check():
            return None

        async def close():
            sys.stdout.write("closed\n")
            sys.stdout.flush()

        return composition.Parts(chain, http, board, check, close)

    return compose


def _watch_stdin(allowed):
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: (loop.remove_reader(sys.stdin.fileno()), allowed.set()))


if __name__ == "__main__":
    mode = sys.argv[1] if len(sys.argv) > 1 else "ready"
    if mode == "hasty":
        server.PATIENCE = server.Patience(head_s=1.0, body_s=1.0, stall_s=1.0, handshake_s=1.0, idle_s=75.0)
    core, config = read(CoreConfig, os.environ), read(GatewayConfig, os.environ)
    command = [sys.executable, "-m", "tests.fakes.gateway_process", *sys.argv[1:]]
    sys.exit(serve(core, config, compose_for(mode), command))
