"""The process of the gateway: start, readiness and drain of what ``composition`` makes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from cohortlens import __version__
from cohortlens.core import tracing
from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.ops import OpsListener, OpsPortInUseError
from cohortlens.core.settings import CoreConfig
from cohortlens.core.telemetry import BUILD_INFO, get_logger
from gateway.composition import Compose, Parts
from gateway.config import GatewayConfig
from gateway.fleet.link import Link
from gateway.fleet.membership import Membership
from gateway.grpc.internal import internal_listener
from gateway.grpc.server import Gateway, PortInUseError
from gateway.http import metrics
from gateway.servicers.health import HealthBoard

EXIT_OK, EXIT_FAILED, EXIT_SETTINGS, EXIT_PORT_IN_USE, EXIT_TWICE = 0, 1, 2, 3, 143
"""Exit codes: stopped as asked; failed; settings invalid; PORT_IN_USE; stopped at once by a second signal."""

_LOG = get_logger(__name__)
_RETRY_S = 1.0
_CHECK_EVERY_S = 1.0
_DOWN_AFTER_S = 5.0
# With 64 calls under way the default of 700 starts a collection every few calls: a seventh of all CPU time.
_GC_THRESHOLDS = (20_000, 10, 10)


def _json_line(line: dict[str, Any]) -> str:
    # A line per call: orjson writes it in a tenth of the standard library's time.
    return orjson.dumps(line, default=str).decode()


async def run(core: CoreConfig, config: GatewayConfig, compose: Compose, link: Link | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Args:
        core: Shared settings.
        config: The gateway's settings.
        compose: Opens the services and builds chain and HTTP door; tried again while it is Unavailable.
        link: Place among several processes; None for the only one.
    """
    member, stop = Membership(link), asyncio.Event()
    member.configure_logging(core, _json_line)
    BUILD_INFO.labels(__version__).set(1)
    tracing.begin(core, "gateway")
    internal = internal_listener(config, is_shared=link is not None)
    gateway = (
        Gateway(config, link.sockets(), waits=link.waits, internal=internal)
        if link is not None
        else Gateway(config, internal=internal)
    )
    _on_signals(stop)
    try:
        ops = OpsListener(
            core.ops_bind, core.ops_port_of("gateway"), link.ops_socket() if link is not None else None
        )
        await gateway.start()
    except (PortInUseError, OpsPortInUseError) as fault:
        _LOG.error("port_in_use", reason=fault.reason, detail=str(fault))
        sys.stderr.write(f"{fault}\n")
        return EXIT_PORT_IN_USE
    await member.join()
    ops.follow(_starting, metrics.page)
    tasks = [
        asyncio.create_task(_serve(core, config, compose, gateway, member, ops)),
        asyncio.create_task(stop.wait()),
        asyncio.create_task(gateway.wait_failed()),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    await member.draining()
    await gateway.stop()
    await member.leave()
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            _LOG.error("gateway_failed", exc_info=error)
            if isinstance(error, CohortLensError):
                sys.stderr.write(f"{error.reason}: {error.message}\n")
    await asyncio.to_thread(tracing.end)
    await asyncio.to_thread(ops.close)
    _LOG.info("stopped")
    return EXIT_FAILED if failed else EXIT_OK


async def _starting() -> list[str]:
    return ["process"]


async def _serve(
    core: CoreConfig,
    config: GatewayConfig,
    compose: Compose,
    gateway: Gateway,
    member: Membership,
    ops: OpsListener,
) -> None:
    """Open the services, let calls in, watch readiness; ends by cancellation after the drain."""
    parts = await _opened(core, config, compose)
    try:
        _settle_memory()
        await gateway.open_doors(parts.chain, parts.http_app, parts.board)
        ops.follow(parts.missing or _missing_of(parts.board))
        member.ready()
        await _watch(parts)
    finally:
        await parts.close()


def _missing_of(board: HealthBoard) -> Callable[[], Awaitable[list[str]]]:
    async def missing() -> list[str]:
        return [] if board.ready else ["process"]

    return missing


def _settle_memory() -> None:
    """Spare the collector what lives as long as the process, and runs that only find calls under way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


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
        except Exception as error:
            # Whatever a check stumbles over means not ready; it must never end the process.
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
