"""The process: journal, parts, gRPC server, ops pages; stops within ten seconds of SIGTERM."""

from __future__ import annotations

import asyncio
import signal

import grpc

from cohortlens.core import tracing
from cohortlens.core.errors import CohortLensError
from cohortlens.core.failpoints import arm
from cohortlens.core.ops import OpsListener
from cohortlens.core.telemetry import get_logger
from sidecars.web3.calls import Guard
from sidecars.web3.composition import Parts
from sidecars.web3.config import Web3Config
from sidecars.web3.journal.pool import Journal
from sidecars.web3.sealing import Kek

MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest message either way: 500 credentials of 8 KiB, 100,000 reward ids, with room."""

CALLS_AT_ONCE = 64
"""Calls that are worked on at one time; more are refused with RESOURCE_EXHAUSTED, which callers try again."""

_GRACE_S = 5.0
_log = get_logger(__name__)


async def serve(config: Web3Config) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        CohortLensError: The journal, a key or a chain does not allow to start.
        SettingsInvalid: A setting of a part.
        OpsPortInUseError: The ops port is taken.
        OSError: The port is taken.
    """
    arm(config.failpoint, config.environment)
    tracing.begin(config, "web3")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ops = OpsListener(config.ops_bind, config.ops_port_of("web3"))
    journal = Journal(config.dsn)
    try:
        await journal.open()
        await _serve(config, journal, ops, stop)
    finally:
        await journal.close()
        await asyncio.to_thread(tracing.end)
        await asyncio.to_thread(ops.close)


async def _serve(config: Web3Config, journal: Journal, ops: OpsListener, stop: asyncio.Event) -> None:
    kek = Kek(config.kek.reveal(), config.kek_previous.reveal())
    options = (
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.so_reuseport", 0),
    )
    server = grpc.aio.server(
        interceptors=[Guard(config.token.reveal())],
        options=options,
        maximum_concurrent_rpcs=CALLS_AT_ONCE,
    )
    parts = Parts(config, journal, kek)
    try:
        await parts.open(server)
        if not server.add_insecure_port(config.listen):
            raise OSError(f"{config.listen} is taken")
        await server.start()
        ops.follow(lambda: _missing(journal, stop))
        _log.info("ready", listen=config.listen)
        await parts.run(stop)
    finally:
        # Intake ends first; a transaction at hand ends before the parts do.
        await server.stop(_GRACE_S)
        await parts.close()


async def _missing(journal: Journal, stop: asyncio.Event) -> list[str]:
    try:
        await journal.ping()
    except CohortLensError:
        return ["postgres"]
    return ["process"] if stop.is_set() else []
