"""The listening sockets of several processes on the same ports; the parent holds them, the processes inherit.

A socket outlives the process that accepts from it: connections that wait when a process dies wait for the
next one instead of being cut.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

from cohortlens.core.ops import ops_socket
from cohortlens.core.telemetry import get_logger
from gateway.fleet import steering
from gateway.grpc.server import BACKLOG, PortInUseError, family_of, listen

_LOG = get_logger(__name__)


class Port:
    """One port with a listening socket for each process.

    Args:
        host: Address of this machine.
        number: Port, 0 for any free one.
        setting_name: The setting to name in the fault.
        processes: How many sockets.

    Raises:
        PortInUseError: Another program listens there; nothing listens then.
    """

    def __init__(self, host: str, number: int, setting_name: str, processes: int) -> None:
        # Sockets that may share a port would share it with another gateway: ask first as one that may not.
        with listen(host, number, setting_name) as probe:
            self.number: int = probe.getsockname()[1]
        self.sockets: list[socket.socket] = []
        try:
            for _ in range(processes):
                self.sockets.append(_shared(host, self.number, setting_name))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop to listen, as far as this process goes."""
        for one in self.sockets:
            with suppress(OSError):
                one.close()
        self.sockets.clear()


class Ports:
    """The ports of the gateway.

    Args:
        host: Address of this machine.
        http: Port of HTTP, 0 for any free one.
        grpc: Port of gRPC, 0 for any free one.
        processes: How many processes share them.
        ops: Address and port of the ops pages, which all processes accept from one socket.

    Raises:
        PortInUseError: A port is taken; nothing listens then.
        OpsPortInUseError: That of the ops pages is.
    """

    def __init__(self, host: str, http: int, grpc: int, processes: int, ops: tuple[str, int]) -> None:
        self.ops = ops_socket(*ops)
        try:
            self._listen(host, http, grpc, processes)
        except BaseException:
            self.ops.close()
            raise
        self._is_steered = True

    def _listen(self, host: str, http: int, grpc: int, processes: int) -> None:
        self.http = Port(host, http, "COHORTLENS_HTTP_PORT", processes)
        try:
            self.grpc = Port(host, grpc, "COHORTLENS_GRPC_PORT", processes)
        except BaseException:
            self.http.close()
            raise

    def handles(self, slot: int) -> tuple[int, int]:
        """File descriptors of the two listening sockets of a slot: HTTP, gRPC."""
        return self.http.sockets[slot].fileno(), self.grpc.sockets[slot].fileno()

    def steer(self, shares: Sequence[float]) -> None:
        """Give each slot its share of the next connections; nothing changes when every share is 0."""
        if not any(shares) or not self._is_steered:
            return
        try:
            for port in (self.http, self.grpc):
                steering.attach(port.sockets[0], shares)
        except OSError as error:
            # The kernel then spreads by its hash: a dead process's connections wait until it is replaced.
            self._is_steered = False
            _LOG.warning("connections_not_steered", error=str(error))

    def close(self) -> None:
        """Stop to listen, as far as this process goes."""
        self.http.close()
        self.grpc.close()
        self.ops.close()


def _shared(host: str, number: int, setting_name: str) -> socket.socket:
    made = socket.socket(family_of(host), socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, number))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise PortInUseError(host, number, setting_name) from error
    return made
