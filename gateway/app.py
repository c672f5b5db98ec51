"""The composition root of the gateway: services, chain, doors; start, readiness and drain of the process.

The only place of the gateway that knows which service stands behind which servicer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.settings import CoreConfig
from cohortlens.core.telemetry import configure_logging, get_logger
from gateway.config import GatewayConfig
from gateway.grpc.server import AsgiApp, Gateway, PortInUseError
from gateway.interceptors.authn import Authenticate, AuthnStep
from gateway.interceptors.chain import Chain, MethodTable, Step
from gateway.interceptors.errors import ErrorsStep
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.request_id import RequestIdStep
from gateway.interceptors.validate import ValidateStep
from gateway.servicers import health, reflection
from gateway.servicers.health import HealthBoard, HealthServicer

EXIT_OK, EXIT_FAILED, EXIT_SETTINGS, EXIT_PORT_IN_USE, EXIT_TWICE = 0, 1, 2, 3, 143
"""Exit codes: stopped as asked; failed; settings invalid; PORT_IN_USE; stopped at once by a second signal."""

_LOG = get_logger(__name__)
_RETRY_S = 1.0
_CHECK_EVERY_S = 1.0
_DOWN_AFTER_S = 5.0


@dataclass(frozen=True)
class Parts:
    """What stands behind the listeners.

    Attributes:
        chain: The chain with its servicers.
        http_app: The HTTP door.
        board: What health answers.
        check: Looks at what readiness needs; raises when it is not there.
        close: Closes pools and connections.
    """

    chain: Chain
    http_app: AsgiApp
    board: HealthBoard
    check: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


Compose = Callable[[CoreConfig, GatewayConfig], Awaitable[Parts]]


def make_chain(
    table: MethodTable,
    servicers: Mapping[str, Any],
    authenticate: Authenticate,
    board: HealthBoard,
) -> Chain:
    """The chain of the process: the real steps around ``servicers``, health and reflection.

    Args:
        table: Methods of the public API; health and reflection are in it if they are to be served.
        servicers: Servicer of each public service by full name.
        authenticate: Verifies an access token.
        board: What health answers.
    """
    health_servicer = HealthServicer(board, table.services)
    reflection_servicer = reflection.ReflectionServicer(table)
    own = {health.SERVICE: health_servicer, **dict.fromkeys(reflection.SERVICES, reflection_servicer)}
    steps: dict[str, Step] = {
        "request_id": RequestIdStep(),
        "observe": ObserveStep(),
        "errors": ErrorsStep(),
        "authn": AuthnStep(authenticate),
        "validate": ValidateStep(table),
    }
    return Chain(table, {**own, **servicers}, steps)


async def run(core: CoreConfig, config: GatewayConfig, compose: Compose) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Args:
        core: Shared settings.
        config: The gateway's settings.
        compose: Opens the services and builds chain and HTTP door; tried again while it is Unavailable.
    """
    configure_logging(core.log_level, core.log_format)
    gateway, stop = Gateway(config), asyncio.Event()
    _on_signals(stop)
    try:
        await gateway.start()
    except PortInUseError as fault:
        _LOG.error("port_in_use", reason=fault.reason, detail=str(fault))
        sys.stderr.write(f"{fault}\n")
        return EXIT_PORT_IN_USE
    tasks = [
        asyncio.create_task(_serve(core, config, compose, gateway)),
        asyncio.create_task(stop.wait()),
        asyncio.create_task(gateway.wait_failed()),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    await gateway.stop()
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            _LOG.error("gateway_failed", exc_info=error)
    _LOG.info("stopped")
    return EXIT_FAILED if failed else EXIT_OK


async def _serve(core: CoreConfig, config: GatewayConfig, compose: Compose, gateway: Gateway) -> None:
    """Open the services, let calls in, watch readiness; ends by cancellation after the drain."""
    parts = await _opened(core, config, compose)
    try:
        await gateway.open_doors(parts.chain, parts.http_app, parts.board)
        await _watch(parts)
    finally:
        await parts.close()


async def _opened(core: CoreConfig, config: GatewayConfig, compose: Compose) -> Parts:
    while True:
        try:
            return await compose(core, config)
        except Unavailable as fault:
            _LOG.warning("waiting", reason=fault.reason, detail=fault.message)
            await asyncio.sleep(_RETRY_S)


async def _watch(parts: Parts) -> None:
    """Take no calls while PostgreSQL has been away for some seconds."""
    loop = asyncio.get_running_loop()
    seen_at = loop.time()
    while True:
        try:
            async with asyncio.timeout(_CHECK_EVERY_S):
                await parts.check()
        except (CohortLensError, TimeoutError, OSError) as error:
            if parts.board.ready and loop.time() - seen_at > _DOWN_AFTER_S:
                _LOG.error("not_ready", detail=str(error))
                parts.board.block("postgres")
        else:
            seen_at = loop.time()
            if "postgres" in parts.board.blocks():
                _LOG.info("ready_again")
                parts.board.unblock("postgres")
        await asyncio.sleep(_CHECK_EVERY_S)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            # Somebody has asked twice: nothing may keep the process alive, no cleanup either.
            os._exit(EXIT_TWICE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
