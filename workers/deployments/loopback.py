"""Keeps every gRPC listener of a replica's process on loopback.

Ray Serve 2.54 opens a server of its own in each replica on the hard-coded address ``[::]:0``. Nobody calls it
here, and no setting confines it, hence this wrapper around the one method that opens listeners.
"""

from __future__ import annotations

from typing import Any

from grpc.aio import _server

LOOPBACK = "127.0.0.1"
_WILDCARDS = ("[::]:", "0.0.0.0:")


def confined(address: str) -> str:
    """The address with a wildcard host replaced by loopback."""
    for wildcard in _WILDCARDS:
        if address.startswith(wildcard):
            return f"{LOOPBACK}:{address[len(wildcard) :]}"
    return address


def confine() -> None:
    """Confine every server that this process opens from now on; further calls change nothing."""
    server: Any = _server.Server
    if getattr(server, "confined", False):
        return
    original = server.add_insecure_port

    def add_insecure_port(self: Any, address: str) -> int:
        port: int = original(self, confined(address))
        return port

    server.add_insecure_port = add_insecure_port
    server.confined = True
